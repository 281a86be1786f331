"""What a worker gets for a claimed job: parameters, inputs with their files, limits and tags."""

from django.conf import settings

from zoo_sdk.artifacts import ArtifactDescription, DatasetDescription, FileEntry
from zoo_sdk.messages import AssignedInput, Assignment
from zoo_server.jobs.models import Job, JobInput
from zoo_server.jobs.selectors import assigned_inputs, facts_of


def assignment_of(job: Job) -> Assignment:
    """The answer to a claim.  Models come with the selected artifact's files, data sets with all of theirs."""
    inputs: dict[str, list[AssignedInput]] = {}
    for item in assigned_inputs(job):
        inputs.setdefault(item.port, []).append(_assigned(item))
    return Assignment(
        job_id=job.pk,
        attempt=job.attempt,
        team=job.team.name,
        operation=job.operation.name,
        operation_version=job.operation.version,
        params=job.params,
        seed=job.seed,
        inputs={port: tuple(items) for port, items in inputs.items()},
        gpus=job.gpus,
        lease_seconds=settings.ZOO_LEASE_SECONDS,
        time_limit_seconds=job.time_limit_seconds,
        mlflow_experiment=f"zoo/{job.team.name}",
        mlflow_run_id=job.mlflow_run_id or None,
        tags=_tags(job),
    )


def _assigned(item: JobInput) -> AssignedInput:
    files = list((item.artifact or item.version).files.all())
    return AssignedInput(
        reference=str(item.version),
        version_id=item.version.pk,
        artifact=ArtifactDescription.model_validate(facts_of(item.artifact)) if item.artifact else None,
        dataset=DatasetDescription.model_validate(item.version.dataset) if item.version.dataset else None,
        weight=item.weight,
        files=tuple(FileEntry(path=file.path, sha256=file.held().sha256, size=file.held().size) for file in files),
    )


def _tags(job: Job) -> dict[str, str]:
    """Tags of the MLflow run that lead back to the job."""
    return {
        "zoo.job": str(job.pk),
        "zoo.job_url": f"{settings.ZOO_PUBLIC_URL}/api/v1/jobs/{job.pk}",
        "zoo.team": job.team.name,
        "zoo.operation": job.operation.name,
        "zoo.operation_version": str(job.operation.version),
        "zoo.attempt": str(job.attempt),
        "zoo.seed": str(job.seed),
        "zoo.gpus": str(job.gpus),
        "zoo.output": next(iter(job.outputs.values()), ""),
        "zoo.submitted_by": job.created_by.username,
        **job.tags,
    }
