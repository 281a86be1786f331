"""A job that takes the result of an equal one: it has succeeded, and nothing is run.

The version that the other job made is the result if it is where the caller wants it; else the job makes a version of
its own in its target, with the same files, the lineage of its own inputs, an edge ``reused_from`` to the other version,
and copies of the measurements, which keep the job that took them.
"""

from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.vocabulary import JobState, LineageRole, MetricSource
from zoo_server.audit.services import record_event
from zoo_server.catalog.models import Metric, Report, Version
from zoo_server.catalog.services import add_metric, add_parent, add_report, seal_version
from zoo_server.jobs.models import Job, JobInput
from zoo_server.jobs.result_cache import CachedResult
from zoo_server.jobs.selectors import facts_of
from zoo_server.jobs.services.listeners import tell_after_commit
from zoo_server.jobs.services.publication import (
    Publication,
    add_lineage,
    add_strategy,
    make_version,
    publication_of,
)
from zoo_server.jobs.services.transitions import move
from zoo_server.rest.principals import Principal


def reuse_result(*, principal: Principal, job: Job, cached: CachedResult) -> Job:
    """End a job that was just made, in the caller's transaction, with the result of another."""
    work = publication_of(job)
    version = cached.version
    if version is not None and str(version.repository) != next(iter(job.outputs.values()), None):
        version = _copied(work, version, cached.job_id)
    subject = work.measured.version if work.measured else version
    source = cached.measured or cached.version
    if subject is not None and source is not None and subject.pk != source.pk:
        _copy_measurements(work, source, subject, cached.job_id)
    if version is not None and version.job_id == job.pk:
        version = seal_version(principal=work.owner, version=version)
    move(job, JobState.SUCCEEDED, cached_from_id=cached.job_id, finished_at=Now())
    details: dict[str, Any] = {"from": str(cached.job_id), "result": str(version) if version else None}
    record_event(actor=principal, action="job.reused", subject=job, team=job.team.name, details=details)
    tell_after_commit(job)
    return job


def _copied(work: Publication, source: Version, made_by: UUID) -> Version:
    """A draft in the job's target with everything that the source has."""
    files = [(file.path, file.held()) for file in source.files.select_related("blob")]
    artifacts = [
        ArtifactDescription.model_validate(facts_of(artifact))
        for artifact in source.artifacts.prefetch_related("files")
    ]
    notes = f"Made by {work.job.operation.name}, job {made_by}; taken from the result cache by job {work.job.pk}."
    version = make_version(work, files, artifacts, notes)
    add_lineage(work, version)
    add_parent(principal=work.owner, version=version, role=LineageRole.REUSED_FROM, parent=source)
    add_strategy(work, version, made_by=made_by)
    return version


def _copy_measurements(work: Publication, source: Version, subject: Version, made_by: UUID) -> None:
    """What the other job measured, said of ``subject``; once, however often it is reused for it."""
    if Metric.objects.filter(version=subject, job_id=made_by).exists():
        return
    artifact = work.measured.artifact if work.measured else subject.artifacts.first()
    datasets = _counterparts(work, made_by)
    for metric in Metric.objects.filter(version=source, job_id=made_by, source=MetricSource.MEASURED).order_by("id"):
        add_metric(
            principal=work.owner,
            version=subject,
            name=metric.name,
            value=metric.value,
            source=MetricSource.MEASURED,
            dataset=datasets.get(metric.dataset_id) if metric.dataset_id else None,
            split=metric.split,
            artifact=artifact,
            runtime=metric.runtime,
            device=metric.device,
            details=metric.details | {"reused_by": str(work.job.pk)},
            job_id=made_by,
        )
    for report in Report.objects.filter(version=source, job_id=made_by).order_by("id"):
        add_report(
            principal=work.owner,
            version=subject,
            kind=report.kind,
            content=report.content,
            dataset=datasets.get(report.dataset_id) if report.dataset_id else None,
            split=report.split,
            artifact=artifact,
            runtime=report.runtime,
            device=report.device,
            job_id=made_by,
        )


def _counterparts(work: Publication, made_by: UUID) -> dict[UUID, Version]:
    """By version that went into the other job, the version that went into this one in its place: equal in content."""
    own = {(item.port, item.position): item.version for items in work.inputs.values() for item in items}
    theirs = JobInput.objects.filter(job_id=made_by).values_list("port", "position", "version_id")
    return {version_id: own[port, position] for port, position, version_id in theirs}
