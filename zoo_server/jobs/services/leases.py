"""The life of an attempt on the worker's side: claim, heartbeat, release, and what happens when a worker is lost."""

import logging
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, Q
from django.db.models.expressions import Value
from django.db.models.functions import Now

from zoo_sdk.errors import Conflict, NotFound
from zoo_sdk.messages import GPUS_NEEDED, HeartbeatReply
from zoo_sdk.vocabulary import FailureCause, JobState
from zoo_server.jobs.models import Job, JobAttempt, JobDispatch, Worker
from zoo_server.jobs.services.attempts import check_fence, close_attempt, fenced, lease_lost, locked_job
from zoo_server.jobs.services.clock import database_now, in_seconds
from zoo_server.jobs.services.locks import sole_runner
from zoo_server.jobs.services.transitions import attempt_failed, queue_again
from zoo_server.jobs.services.workers import require_worker
from zoo_server.rest.principals import SYSTEM, Principal

LOG = logging.getLogger(__name__)
OVERTIME_SECONDS = 60
"""After its time limit and this, an attempt is told to stop; the worker should have stopped it long before."""
HARD_OVERTIME_SECONDS = 300
"""After its time limit and this, an attempt that still runs is ended here."""
EXPIRE_LIMIT = 200


class NotClaimable(Conflict):
    """The job is not waiting for a worker: drop the message."""

    code = "not-claimable"


class UnknownWorker(Conflict):
    """The registry does not know this worker: it must register first."""

    code = "unknown-worker"


class OperationNotOffered(Conflict):
    """The worker did not register the job's operation in this version."""

    code = "operation-not-offered"


class GpusNeeded(Conflict):
    """The job needs more GPUs than the worker has set aside: set them aside, and claim again."""

    code = GPUS_NEEDED


def claim_job(*, principal: Principal, job_id: UUID, worker_name: str, gpus: int = 0) -> Job:
    """Give the job to the worker: one compare-and-set, so exactly one of many claimers gets it.

    ``gpus``: how many the worker has set aside for it.

    Raises:
        GpusNeeded: it could have the job, with more GPUs.
        NotFound: there is no such job.
        UnknownWorker: the name is not registered by the token's user; register, then claim again.
        OperationNotOffered: the worker did not register this operation version.
        NotClaimable: it is running, ended, cancelled or not yet due: drop the message.

    """
    worker = Worker.objects.filter(name=worker_name, user_id=require_worker(principal)).first()
    if worker is None:
        raise UnknownWorker(f"No worker {worker_name!r} of yours is registered.", hint="Register it, then claim again.")
    operation = Job.objects.filter(pk=job_id).values_list("operation_id", "operation__name").first()
    if operation is None:
        raise NotFound(f"There is no job {job_id}.")
    if not worker.operations.filter(pk=operation[0]).exists():
        raise OperationNotOffered(f"{worker.name} did not register {operation[1]} in the version of job {job_id}.")
    with transaction.atomic():
        # Conditions on the row's own columns only: PostgreSQL re-checks just those after waiting for another claimer.
        due = Job.objects.filter(
            pk=job_id,
            state=JobState.QUEUED,
            available_at__lte=Now(),
            cancel_requested_at__isnull=True,
            gpus__lte=gpus,
        )
        claimed = due.update(
            state=JobState.RUNNING,
            attempt=F("attempt") + 1,
            owner=worker,
            lease_until=in_seconds(settings.ZOO_LEASE_SECONDS),
            started_at=Now(),
            progress={},
        )
        if not claimed:
            raise _refusal(job_id, gpus)
        job = Job.objects.select_related("operation", "team", "owner", "created_by").get(pk=job_id)
        JobAttempt.objects.create(job=job, number=job.attempt, worker=worker, worker_name=worker.name)
        JobDispatch.objects.filter(job_id=job_id).delete()
        Worker.objects.filter(pk=worker.pk).update(last_seen_at=Now())
    return job


def _refusal(job_id: UUID, gpus: int) -> Conflict:
    job = Job.objects.get(pk=job_id)
    is_due = job.state == JobState.QUEUED and job.available_at <= database_now()
    if is_due and job.cancel_requested_at is None and job.gpus > gpus:
        return GpusNeeded(
            f"Job {job_id} needs {job.gpus} GPUs; the worker has set {gpus} aside.",
            hint="Set so many aside and claim again, or leave it to a larger worker.",
            facts={"gpus": job.gpus},
        )
    facts = {"state": job.state, "attempt": job.attempt, "available_at": job.available_at.isoformat()}
    why = "not due yet" if job.state == JobState.QUEUED else f"{job.state} at attempt {job.attempt}"
    return NotClaimable(f"Job {job_id} cannot be claimed: it is {why}.", hint="Drop the message.", facts=facts)


def heartbeat(*, principal: Principal, job_id: UUID, attempt: int) -> HeartbeatReply:
    """Renew the lease and say whether to go on: ``cancel`` when somebody wants that, or long after the time limit.

    Raises:
        LeaseLost: the attempt is not the caller's any more: stop at once.

    """
    seconds = settings.ZOO_LEASE_SECONDS
    rows = Job.objects.filter(**fenced(principal=principal, job_id=job_id, attempt=attempt))
    if not rows.update(lease_until=in_seconds(seconds)):
        raise lease_lost(job_id, attempt)
    job = Job.objects.get(pk=job_id)
    Worker.objects.filter(running_jobs=job_id).update(last_seen_at=Now())
    stop = job.cancel_requested_at is not None or is_overtime(job, OVERTIME_SECONDS)
    return HeartbeatReply(command="cancel" if stop else "run", lease_seconds=seconds)


def is_overtime(job: Job, grace_seconds: float) -> bool:
    """Whether the running attempt is past its time limit by more than ``grace_seconds``, by the database's clock."""
    if job.started_at is None:
        return False
    return database_now() > job.started_at + timedelta(seconds=job.time_limit_seconds + grace_seconds)


def release_job(*, principal: Principal, job_id: UUID, attempt: int) -> Job:
    """The worker is shutting down: back to ``queued`` at once; the attempt does not count against ``max_attempts``.

    The attempt's number is not used again, so ``max_attempts`` grows by one instead.  A job that somebody wants
    cancelled ends here.
    """
    with transaction.atomic():
        job = locked_job(job_id)
        check_fence(principal=principal, job=job, attempt=attempt)
        error = {"code": "released", "message": "The worker was shutting down and gave the job back."}
        if job.cancel_requested_at is not None:
            attempt_failed(actor=principal, job=job, cause=FailureCause.CANCELLED, error=error)
            return job
        close_attempt(job=job, state=JobState.CANCELLED, cause=FailureCause.CANCELLED, error=error)
        queue_again(
            actor=principal,
            job=job,
            delay_seconds=0,
            reason="released",
            max_attempts=F("max_attempts") + 1,
            progress={},
        )
    return job


def expire_leases() -> int:
    """End the attempts whose lease ran out, and those far beyond their time limit.  Returns how many."""
    with sole_runner("expire_leases") as alone:
        if not alone:
            return 0
        limit = ExpressionWrapper(
            F("started_at")
            + F("time_limit_seconds") * Value(timedelta(seconds=1), output_field=DurationField())
            + Value(timedelta(seconds=HARD_OVERTIME_SECONDS), output_field=DurationField()),
            output_field=DateTimeField(),
        )
        lost = (
            Job.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
            .select_related("operation", "team", "owner")
            .annotate(stop_at=limit)
            .filter(Q(lease_until__lt=Now()) | Q(stop_at__lt=Now()), state=JobState.RUNNING)
            .order_by("lease_until")[:EXPIRE_LIMIT]
        )
        expired = 0
        for job in lost:
            try:
                with transaction.atomic():
                    _expire(job)
                expired += 1
            except Exception:  # one odd job must not keep all others from being rescued
                LOG.exception("The lease of job %s could not be ended.", job.pk)
        return expired


def _expire(job: Job) -> None:
    if is_overtime(job, HARD_OVERTIME_SECONDS):
        seconds = job.time_limit_seconds
        message = f"The attempt ran longer than its limit of {seconds} s and did not stop when told to."
        attempt_failed(
            actor=SYSTEM, job=job, cause=FailureCause.TIME_LIMIT, error={"code": "time-limit", "message": message}
        )
        return
    name = job.owner.name if job.owner else "a worker that is gone"
    message = f"{name} did not renew the lease of attempt {job.attempt} until {job.lease_until:%Y-%m-%d %H:%M:%S} UTC."
    attempt_failed(
        actor=SYSTEM,
        job=job,
        cause=FailureCause.WORKER_LOST,
        error={"code": "worker-lost", "message": message, "facts": {"worker": name}},
    )
