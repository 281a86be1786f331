"""How jobs end other than well: a failure report, a cancellation; and the retry that somebody asks for."""

from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from zoo_sdk.errors import Conflict
from zoo_sdk.messages import FailureReport, MlflowRunReport
from zoo_sdk.vocabulary import FINAL_JOB_STATES, FailureCause, JobState, Scope
from zoo_server.accounts.permissions import require_in_team
from zoo_server.audit.services import record_event
from zoo_server.jobs.models import Job, JobAttempt
from zoo_server.jobs.selectors import visible_job
from zoo_server.jobs.services.attempts import check_fence, is_repeated, lease_lost, locked_job
from zoo_server.jobs.services.leases import is_overtime
from zoo_server.jobs.services.stored import digest_of, storable
from zoo_server.jobs.services.transitions import attempt_failed, end_job, queue_again
from zoo_server.jobs.services.workers import require_worker
from zoo_server.rest.principals import Principal

RUN_ID_LENGTH = 64


class WrongJobState(Conflict):
    """The job is not in a state in which this can be done to it."""

    code = "wrong-job-state"


def fail_job(*, principal: Principal, job_id: UUID, attempt: int, report: FailureReport) -> Job:
    """End the attempt as failed or cancelled: tried again later only for causes that may go away.

    Idempotent: the same report again changes nothing.  ``cancelled`` without anybody having asked for it counts as the
    time limit if that has passed, else as ``infrastructure`` (the worker stopped it for a reason of its own).

    Raises:
        LeaseLost: the attempt is not the caller's any more.
        ReportDiffers: it has ended with another report.

    """
    digest = digest_of(report)
    with transaction.atomic():
        job = locked_job(job_id)
        if is_repeated(principal=principal, job=job, attempt=attempt, report_digest=digest):
            return job
        check_fence(principal=principal, job=job, attempt=attempt)
        keep_run_id(job, report.mlflow_run_id)
        cause = report.cause
        if cause == FailureCause.CANCELLED and job.cancel_requested_at is None:
            cause = FailureCause.TIME_LIMIT if is_overtime(job, 0) else FailureCause.INFRASTRUCTURE
        attempt_failed(
            actor=principal,
            job=job,
            cause=cause,
            error={"code": report.code, "message": report.message, "facts": report.facts},
            environment=report.environment,
            report_digest=digest,
        )
    return job


def report_mlflow_run(*, principal: Principal, job_id: UUID, attempt: int, report: MlflowRunReport) -> Job:
    """Keep the id of the job's MLflow run, also after the attempt's end; a later attempt's id is not overwritten."""
    require_worker(principal)
    with transaction.atomic():
        job = locked_job(job_id)
        row = JobAttempt.objects.select_related("worker").filter(job=job, number=attempt).first()
        if row is None or row.worker is None or row.worker.user_id != principal.user_id:
            raise lease_lost(job_id, attempt)
        if attempt == job.attempt or not job.mlflow_run_id:
            keep_run_id(job, report.mlflow_run_id)
    return job


def keep_run_id(job: Job, run_id: str | None) -> None:
    """Note the job's MLflow run, if the report names one."""
    if run_id and run_id != job.mlflow_run_id:
        job.mlflow_run_id = storable(run_id)[:RUN_ID_LENGTH]
        Job.objects.filter(pk=job.pk).update(mlflow_run_id=job.mlflow_run_id)


def cancel_job(*, principal: Principal, job_id: UUID) -> Job:
    """Cancel: a queued job at once, a running one by telling its worker at the next heartbeat.  Asking twice is fine.

    Raises:
        WrongJobState: the job has ended.

    """
    _authorise(principal, job_id)
    with transaction.atomic():
        job = locked_job(job_id)
        if job.state in FINAL_JOB_STATES:
            raise WrongJobState(
                f"Job {job_id} has ended: it is {job.state}.",
                hint="Nothing is left to cancel.",
                facts={"state": job.state},
            )
        if job.state == JobState.QUEUED:
            error = {"code": "cancelled", "message": f"Cancelled by {principal.name} before a worker had it."}
            Job.objects.filter(pk=job.pk).update(cancel_requested_at=Now())
            end_job(actor=principal, job=job, state=JobState.CANCELLED, cause=FailureCause.CANCELLED, error=error)
        elif job.cancel_requested_at is None:
            Job.objects.filter(pk=job.pk).update(cancel_requested_at=Now())
            job.refresh_from_db()
            record_event(actor=principal, action="job.cancel_requested", subject=job, team=job.team.name)
    return job


def retry_job(*, principal: Principal, job_id: UUID) -> Job:
    """Queue a failed or cancelled job once more, at once, with one more attempt allowed.

    Raises:
        WrongJobState: the job has not failed and was not cancelled.

    """
    _authorise(principal, job_id)
    with transaction.atomic():
        job = locked_job(job_id)
        if job.state not in {JobState.FAILED, JobState.CANCELLED}:
            raise WrongJobState(
                f"Job {job_id} is {job.state}: only failed and cancelled jobs can be tried again.",
                facts={"state": job.state},
            )
        queue_again(
            actor=principal,
            job=job,
            delay_seconds=0,
            reason=f"retried by {principal.name}",
            max_attempts=F("max_attempts") + 1,
            cancel_requested_at=None,
            cause="",
            error=None,
            progress={},
            finished_at=None,
        )
    return job


def _authorise(principal: Principal, job_id: UUID) -> None:
    job = visible_job(principal=principal, job_id=job_id)
    require_in_team(principal=principal, team=job.team, scope=Scope.SUBMIT)
