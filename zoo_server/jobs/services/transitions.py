"""The arrows between a job's states, each a compare-and-set; see :mod:`zoo_server.jobs.models` for the allowed ones."""

from typing import Any

from django.db.models.functions import Now

from zoo_sdk.errors import Conflict
from zoo_sdk.vocabulary import RETRYABLE_CAUSES, FailureCause, JobState
from zoo_server.audit.services import record_event
from zoo_server.jobs.models import Job, JobDispatch
from zoo_server.jobs.services.attempts import close_attempt
from zoo_server.jobs.services.backoff import backoff_seconds
from zoo_server.jobs.services.clock import in_seconds
from zoo_server.jobs.services.dispatch import ring_after_commit
from zoo_server.jobs.services.listeners import tell_after_commit
from zoo_server.jobs.services.stored import storable
from zoo_server.rest.principals import Principal


def move(job: Job, state: JobState, **changes: Any) -> None:
    """Set the job's state if it is still in the state, and at the attempt, that ``job`` says; then refresh ``job``."""
    rows = Job.objects.filter(pk=job.pk, state=job.state, attempt=job.attempt)
    if not rows.update(state=state, **changes):
        raise Conflict(f"Job {job.pk} is no longer {job.state} at attempt {job.attempt}.", facts={"job": str(job.pk)})
    job.refresh_from_db()


def end_job(
    *,
    actor: Principal,
    job: Job,
    state: JobState,
    cause: FailureCause | None = None,
    error: dict[str, Any] | None = None,
) -> None:
    """Move the job to a final state and record it.  The attempt is closed by the caller."""
    number = job.attempt
    move(
        job,
        state,
        owner=None,
        lease_until=None,
        cause=cause or "",
        error=storable(error),
        finished_at=Now(),
    )
    JobDispatch.objects.filter(job=job).delete()
    details: dict[str, Any] = {"attempt": number}
    if cause:
        details["cause"] = cause.value
    if error:
        details["code"] = storable(str(error.get("code", "")))
    record_event(actor=actor, action=f"job.{state.value}", subject=job, team=job.team.name, details=details)
    tell_after_commit(job)


def queue_again(*, actor: Principal, job: Job, delay_seconds: float, reason: str, **changes: Any) -> None:
    """Back to ``queued``, due in ``delay_seconds``, with a new bell in the outbox."""
    move(
        job,
        JobState.QUEUED,
        owner=None,
        lease_until=None,
        available_at=in_seconds(delay_seconds),
        **changes,
    )
    JobDispatch.objects.update_or_create(
        job=job, defaults={"due_at": in_seconds(delay_seconds), "sent_at": None, "times_sent": 0}
    )
    details = {"reason": reason, "attempt": job.attempt, "delay_seconds": round(delay_seconds, 1)}
    record_event(actor=actor, action="job.requeued", subject=job, team=job.team.name, details=details)
    if delay_seconds <= 0:
        ring_after_commit(job)


def attempt_failed(
    *,
    actor: Principal,
    job: Job,
    cause: FailureCause,
    error: dict[str, Any],
    environment: dict[str, Any] | None = None,
    report_digest: str = "",
) -> None:
    """End the running attempt: again later if the cause may go away and attempts are left, else for good.

    A job that somebody wants cancelled is not tried again; whatever stopped it, it ends as cancelled, unless it failed
    by itself for a reason that another attempt would meet as well.
    """
    cancelling = job.cancel_requested_at is not None
    if cancelling and (cause == FailureCause.CANCELLED or cause in RETRYABLE_CAUSES):
        state, again, cause = JobState.CANCELLED, False, FailureCause.CANCELLED
    else:
        state, again = JobState.FAILED, cause in RETRYABLE_CAUSES and job.attempt < job.max_attempts
    close_attempt(job=job, state=state, cause=cause, error=error, environment=environment, report_digest=report_digest)
    if again:
        delay = backoff_seconds(attempt=job.attempt)
        queue_again(
            actor=actor,
            job=job,
            delay_seconds=delay,
            reason=cause.value,
            cause=cause,
            error=storable(error),
            progress={},
        )
    else:
        end_job(actor=actor, job=job, state=state, cause=cause, error=error)
