"""The fence around an attempt: who may act on it, and what a repeated report means."""

from typing import Any
from uuid import UUID

from zoo_sdk.errors import Conflict, LeaseLost, NotFound
from zoo_sdk.vocabulary import FailureCause, JobState
from zoo_server.jobs.models import Job, JobAttempt, Worker
from zoo_server.jobs.services.clock import database_now
from zoo_server.jobs.services.stored import storable
from zoo_server.jobs.services.workers import require_worker
from zoo_server.rest.principals import Principal


class ReportDiffers(Conflict):
    """The attempt has ended with another report than this one."""

    code = "report-differs"


def locked_job(job_id: UUID) -> Job:
    """The job, locked until the end of the transaction; raises :class:`NotFound`.

    FOR NO KEY UPDATE: rows that refer to the job (its events) need not wait for it.
    """
    rows = Job.objects.select_for_update(of=("self",), no_key=True)
    job = rows.select_related("operation", "team", "owner", "created_by").filter(pk=job_id).first()
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    return job


def check_fence(*, principal: Principal, job: Job, attempt: int) -> None:
    """Raise :class:`LeaseLost` unless the caller's worker owns attempt ``attempt`` of the job and it is running."""
    require_worker(principal)
    owned = job.owner is not None and job.owner.user_id == principal.user_id
    if not (owned and job.state == JobState.RUNNING and job.attempt == attempt):
        raise lease_lost(job.pk, attempt)


def fenced(*, principal: Principal, job_id: UUID, attempt: int) -> dict[str, Any]:
    """The fence as plain conditions on the job's own columns.

    No joins: PostgreSQL re-checks only conditions on the row itself when an UPDATE had to wait for another.
    """
    workers = list(Worker.objects.filter(user_id=require_worker(principal)).values_list("pk", flat=True))
    return {"pk": job_id, "state": JobState.RUNNING, "attempt": attempt, "owner_id__in": workers}


def lease_lost(job_id: UUID, attempt: int) -> LeaseLost:
    """The error for an attempt that is not, or no longer, the caller's."""
    return LeaseLost(
        f"Attempt {attempt} of job {job_id} is not yours, or no longer: it ended, or its lease ran out.",
        hint="Stop the work and drop its results.",
        facts={"job": str(job_id), "attempt": attempt},
    )


def is_repeated(*, principal: Principal, job: Job, attempt: int, report_digest: str) -> bool:
    """Whether this very report has ended the attempt already.

    Raises:
        ReportDiffers: the attempt ended with another report.
        LeaseLost: the attempt is another user's.

    """
    require_worker(principal)
    row = JobAttempt.objects.select_related("worker").filter(job=job, number=attempt).first()
    if row is None or not row.report_digest:
        return False
    if row.worker is None or row.worker.user_id != principal.user_id:
        raise lease_lost(job.pk, attempt)
    if row.report_digest != report_digest:
        raise ReportDiffers(
            f"Attempt {attempt} of job {job.pk} has ended as {row.state} with another report.",
            hint="Nothing is left to do: drop this report.",
            facts={"job": str(job.pk), "attempt": attempt, "state": row.state},
        )
    return True


def close_attempt(
    *,
    job: Job,
    state: JobState,
    cause: FailureCause | None = None,
    error: dict[str, Any] | None = None,
    environment: dict[str, Any] | None = None,
    report_digest: str = "",
) -> None:
    """End the job's current attempt."""
    JobAttempt.objects.filter(job=job, number=job.attempt).update(
        state=state,
        cause=cause or "",
        error=storable(error),
        environment=storable(environment or {}),
        report_digest=report_digest,
        finished_at=database_now(),
    )
