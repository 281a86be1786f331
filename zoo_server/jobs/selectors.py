"""Reading operations, workers, jobs, attempts and events: what a caller may see, in a fixed number of queries."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import BooleanField, ExpressionWrapper, Prefetch, Q, QuerySet
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from zoo_sdk.errors import NotFound, UnknownName
from zoo_sdk.vocabulary import JobState
from zoo_server.accounts.permissions import of_own_teams
from zoo_server.catalog.models import Artifact, Metric, Version, VersionFile
from zoo_server.jobs.models import Job, JobAttempt, JobEvent, JobInput, Operation, Worker
from zoo_server.jobs.services.attempts import check_fence
from zoo_server.rest.principals import Principal

EVENT_KINDS = ("progress", "metric", "log", "state")
SILENCE_LEASES = 2
"""A worker that was silent for so many leases counts as gone."""


@dataclass(frozen=True)
class JobFilters:
    """What ``GET jobs`` narrows by; None means any."""

    state: str | None = None
    operation: str | None = None
    team: str | None = None


def visible_jobs(*, principal: Principal) -> QuerySet[Job]:
    """The jobs of the caller's teams; all for superusers."""
    rows = Job.objects.select_related("team", "operation", "owner", "created_by")
    return rows.filter(of_own_teams(principal))


def visible_job(*, principal: Principal, job_id: UUID) -> Job:
    """The job; raises :class:`NotFound` also when the caller may not see it."""
    job = visible_jobs(principal=principal).filter(pk=job_id).first()
    if job is None:
        raise NotFound(f"There is no job {job_id} that you may see.", hint="See `zoo jobs` for your teams' jobs.")
    return job


def with_details(jobs: QuerySet[Job]) -> QuerySet[Job]:
    """``jobs`` with their inputs, in a fixed number of queries."""
    inputs = JobInput.objects.select_related("version__repository__team").prefetch_related(
        Prefetch("artifact", Artifact.objects.prefetch_related("files"))
    )
    return jobs.select_related("team", "operation", "owner", "created_by").prefetch_related(Prefetch("inputs", inputs))


def filtered_jobs(*, principal: Principal, filters: JobFilters) -> QuerySet[Job]:
    """The visible jobs that match, with details."""
    rows = visible_jobs(principal=principal)
    if filters.state is not None:
        rows = rows.filter(state=filters.state)
    if filters.operation is not None:
        rows = rows.filter(operation__name=filters.operation)
    if filters.team is not None:
        rows = rows.filter(team__name=filters.team)
    return with_details(rows)


def results_of(jobs: Iterable[Job]) -> dict[UUID, Version]:
    """The versions that these jobs made or took from the result cache, by job id."""
    found = list(jobs)
    makers = {job.pk for job in found} | {job.cached_from_id for job in found if job.cached_from_id}
    rows = Version.objects.select_related("repository__team").filter(job_id__in=makers)
    made = {version.job_id: version for version in rows}
    results = {job.pk: made.get(job.pk) or made.get(job.cached_from_id) for job in found}
    return {job_id: version for job_id, version in results.items() if version is not None}


def measurements_of(jobs: Iterable[Job]) -> dict[UUID, list[Metric]]:
    """What these jobs measured, or took from the result cache, by job id: of the version that they made or measured.

    Two queries and those of :func:`results_of`; ``jobs`` come with their operation.
    """
    found = list(jobs)
    subjects = {job_id: version.pk for job_id, version in results_of(found).items()}
    ports = {(job.pk, port["name"]) for job in found for port in job.operation.manifest["inputs"] if port["measured"]}
    for item in JobInput.objects.filter(job__in=found, position=0).order_by("port"):
        if (item.job_id, item.port) in ports:
            subjects[item.job_id] = item.version_id
    makers = {job.pk: job.cached_from_id or job.pk for job in found}
    by_subject: dict[tuple[UUID | None, UUID | None], list[Metric]] = {}
    rows = Metric.objects.filter(job_id__in=set(makers.values()), version_id__in=set(subjects.values()))
    for metric in rows.order_by("id"):
        by_subject.setdefault((metric.job_id, metric.version_id), []).append(metric)
    return {job_id: by_subject.get((maker, subjects.get(job_id)), []) for job_id, maker in makers.items()}


def attempts_of(job: Job) -> QuerySet[JobAttempt]:
    """The job's attempts, first one first."""
    return job.attempts.order_by("number")


def events_after(job: Job, *, after: int, kind: str | None, limit: int) -> list[JobEvent]:
    """The job's events with an id above ``after``, in the order in which they were received."""
    rows = JobEvent.objects.filter(job=job, pk__gt=after).order_by("pk")
    if kind is not None:
        rows = rows.filter(kind=kind)
    return list(rows[:limit])


def living_since() -> CombinedExpression:
    """Who said something after this moment, two leases ago by the database's clock, is alive."""
    return Now() - timedelta(seconds=SILENCE_LEASES * settings.ZOO_LEASE_SECONDS)


def all_workers() -> QuerySet[Worker]:
    """Every worker, with ``alive``."""
    alive = ExpressionWrapper(Q(last_seen_at__gt=living_since()), output_field=BooleanField())
    running = Job.objects.filter(state=JobState.RUNNING).select_related("operation", "team").order_by("pk")
    operations = Operation.objects.only("id", "name", "version").order_by("name", "-version")
    return Worker.objects.annotate(alive=alive).prefetch_related(
        Prefetch("operations", operations), Prefetch("running_jobs", running)
    )


def newest_operations() -> QuerySet[Operation]:
    """The newest version of every operation that a registered worker offers: what a submission by name means."""
    newest = Operation.objects.filter(workers__isnull=False).order_by("name", "-version").distinct("name")
    return Operation.objects.filter(pk__in=newest.values("pk")).order_by("name")


def operations_with_workers() -> QuerySet[Operation]:
    """The newest operations, with the workers that offer them."""
    workers = all_workers().prefetch_related(None).order_by("name")
    return newest_operations().prefetch_related(Prefetch("workers", workers))


def get_operation(*, name: str) -> Operation:
    """The newest offered version of that operation; raises :class:`NotFound` with the nearest known names."""
    found = operations_with_workers().filter(name=name).first()
    if found is None:
        near = UnknownName("operation", name[:100], newest_operations().values_list("name", flat=True))
        raise NotFound(near.detail, hint=near.hint)
    return found


def assigned_inputs(job: Job) -> list[JobInput]:
    """The job's inputs with all that a worker needs to fetch them."""
    rows = job.inputs.select_related("version__repository__team").prefetch_related(
        "version__files__blob", Prefetch("artifact", Artifact.objects.prefetch_related("files__blob"))
    )
    return list(rows.order_by("port", "position"))


def facts_of(artifact: Artifact) -> dict[str, Any]:
    """An artifact's fields as :class:`zoo_sdk.artifacts.ArtifactDescription` has them (files need prefetching)."""
    names = ("name", "format", "precision", "runtime", "signature", "preprocessing", "details")
    files = sorted(artifact.files.all(), key=lambda file: (file.position, file.path))
    return {name: getattr(artifact, name) for name in names} | {"files": [file.path for file in files]}


def input_blob(*, principal: Principal, job_id: UUID, attempt: int, sha256: str) -> VersionFile:
    """A file of the job's inputs by its digest, for the worker that runs the attempt.

    Models: the selected artifact's files; data sets: all files.

    Raises:
        LeaseLost: the attempt is not the caller's any more.
        NotFound: no input of this job has such a file (knowing a digest opens nothing else).

    """
    job = Job.objects.select_related("owner").filter(pk=job_id).first()
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    check_fence(principal=principal, job=job, attempt=attempt)
    inputs = JobInput.objects.filter(job=job)
    wanted = Q(artifact__in=inputs.exclude(artifact=None).values("artifact"))
    wanted |= Q(version__in=inputs.filter(artifact=None).values("version"))
    found = VersionFile.objects.select_related("blob").filter(wanted, blob_id=sha256).first()
    if found is None:
        raise NotFound(f"No input of job {job_id} has a file {sha256}.", facts={"sha256": sha256})
    return found
