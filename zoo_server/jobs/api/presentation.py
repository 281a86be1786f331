"""From rows to the bodies of the job routes."""

from collections.abc import Container
from typing import Any

from django.conf import settings

from zoo_sdk.operations import OperationManifest
from zoo_server.catalog.models import Artifact, Version
from zoo_server.jobs.api.bodies import (
    JobAttemptBody,
    JobBody,
    JobErrorBody,
    JobEventBody,
    JobInputBody,
    OperationBody,
    RunningJobBody,
    WorkerBody,
)
from zoo_server.jobs.models import Job, JobAttempt, JobEvent, Operation, Worker
from zoo_server.jobs.selectors import facts_of


def job_body(job: Job, result: Version | None, waiting_for: str | None) -> JobBody:
    """The job with its result, and what it waits for (a job from ``with_details``)."""
    return JobBody(
        id=job.pk,
        team=job.team.name,
        operation=job.operation.name,
        operation_version=job.operation.version,
        state=job.state,
        params=job.params,
        seed=job.seed,
        inputs=[
            JobInputBody(
                port=item.port,
                reference=str(item.version),
                artifact=_main_path(item.artifact),
                weight=item.weight,
            )
            for item in job.inputs.all()
        ],
        outputs=job.outputs,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        priority=job.priority,
        gpus=job.gpus,
        queue=job.queue,
        waiting_for=waiting_for,
        owner=job.owner.name if job.owner else None,
        lease_until=job.lease_until,
        available_at=job.available_at,
        time_limit_seconds=job.time_limit_seconds,
        cancel_requested=job.cancel_requested_at is not None,
        progress=job.progress,
        cause=job.cause or None,
        error=_error(job.error),
        result=str(result) if result else None,
        cached_from=job.cached_from_id,
        mlflow_run_id=job.mlflow_run_id or None,
        mlflow_url=mlflow_url(job),
        created_by=job.created_by.username,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )


def mlflow_url(job: Job) -> str | None:
    """The page of the job's MLflow run (MLflow finds the experiment itself)."""
    uri = settings.ZOO_MLFLOW_TRACKING_URI
    return f"{uri.rstrip('/')}/#/runs/{job.mlflow_run_id}" if uri and job.mlflow_run_id else None


def attempt_body(attempt: JobAttempt) -> JobAttemptBody:
    """One attempt."""
    return JobAttemptBody(
        number=attempt.number,
        worker=attempt.worker_name,
        state=attempt.state,
        cause=attempt.cause or None,
        error=_error(attempt.error),
        environment=attempt.environment,
        started_at=attempt.started_at,
        finished_at=attempt.finished_at,
    )


def event_body(event: JobEvent) -> JobEventBody:
    """One event."""
    return JobEventBody(
        id=event.pk,
        attempt=event.attempt,
        number=event.number,
        time=event.time,
        kind=event.kind,
        body=event.body,
    )


def operation_body(operation: Operation, *, with_workers: bool) -> OperationBody:
    """One operation (from ``operations_with_workers``); workers are named to signed-in callers only."""
    manifest = OperationManifest.model_validate(operation.manifest)
    workers = list(operation.workers.all())
    return OperationBody(
        name=operation.name,
        version=operation.version,
        summary=manifest.summary,
        digest=operation.digest,
        queue=manifest.queue,
        manifest=manifest,
        workers=[worker.name for worker in workers] if with_workers else [],
        available=any(_alive(worker) for worker in workers),
    )


def worker_body(worker: Worker, *, visible_teams: Container[object] | None) -> WorkerBody:
    """One worker (from ``all_workers``); ``visible_teams`` None: the caller sees every job."""
    running = list(worker.running_jobs.all())
    seen = [job for job in running if visible_teams is None or job.team_id in visible_teams]
    return WorkerBody(
        name=worker.name,
        queues=worker.queues,
        isolation=worker.isolation,
        gpus=worker.gpus,
        operations=[str(operation) for operation in worker.operations.all()],
        registered_at=worker.registered_at,
        last_seen_at=worker.last_seen_at,
        alive=_alive(worker),
        busy=len(running),
        running=[RunningJobBody(id=job.pk, operation=job.operation.name) for job in seen],
    )


def _alive(worker: Worker) -> bool:
    alive: bool = getattr(worker, "alive", False)
    return alive


def _error(error: dict[str, Any] | None) -> JobErrorBody | None:
    return JobErrorBody.model_validate(error) if error else None


def _main_path(artifact: Artifact | None) -> str | None:
    return facts_of(artifact)["files"][0] if artifact else None
