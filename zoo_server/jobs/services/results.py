"""A finished attempt reports what it made: the version is made and the job ends in one transaction."""

import logging
from typing import Any
from uuid import UUID

from django.db import DataError, transaction
from pydantic import ValidationError

from zoo_sdk.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from zoo_sdk.messages import FinishReport
from zoo_sdk.vocabulary import FailureCause, JobState
from zoo_server.jobs.cache_keys import cache_key
from zoo_server.jobs.models import Job
from zoo_server.jobs.services.attempts import check_fence, close_attempt, is_repeated, locked_job
from zoo_server.jobs.services.outcomes import keep_run_id
from zoo_server.jobs.services.publication import InvalidReport, publish
from zoo_server.jobs.services.stored import digest_of
from zoo_server.jobs.services.transitions import attempt_failed, end_job
from zoo_server.rest.principals import Principal

LOG = logging.getLogger(__name__)
REPORT_FAULTS = (InvalidInput, Conflict, NotFound, PermissionDenied, DataError, ValueError)
"""What a wrong report meets on its way.  DataError and ValueError: a value that PostgreSQL or JSON cannot hold."""


def finish_job(*, principal: Principal, job_id: UUID, attempt: int, report: FinishReport) -> Job:
    """Make the job's version from the report, and end the job: everything or nothing.

    Idempotent: the same report again answers with the job as it is and makes nothing.  A report that does not hold what
    the operation promised (an output missing, an unknown metric, a file that was not uploaded ...) fails the job with
    the cause ``plugin_error``: look at the ``state`` of the answer.  A cancellation that came too late is ignored.

    Raises:
        LeaseLost: the attempt is not the caller's any more: drop the results.
        ReportDiffers: the attempt has ended with another report.

    """
    digest = digest_of(report)
    with transaction.atomic():
        job = locked_job(job_id)
        if is_repeated(principal=principal, job=job, attempt=attempt, report_digest=digest):
            return job
        check_fence(principal=principal, job=job, attempt=attempt)
        keep_run_id(job, report.mlflow_run_id)
        try:
            with transaction.atomic():
                version = publish(job, report)
        except REPORT_FAULTS as error:
            LOG.warning("The report of job %s, attempt %d, is refused.", job_id, attempt, exc_info=error)
            attempt_failed(
                actor=principal,
                job=job,
                cause=FailureCause.PLUGIN_ERROR,
                error=_as_error(error),
                environment=report.environment,
                report_digest=digest,
            )
            return job
        LOG.info("Job %s made %s.", job_id, version)
        _keep_for_others(job, report)
        close_attempt(job=job, state=JobState.SUCCEEDED, environment=report.environment, report_digest=digest)
        end_job(actor=principal, job=job, state=JobState.SUCCEEDED)
    return job


def _keep_for_others(job: Job, report: FinishReport) -> None:
    """From now on an equal job may take this result, if the environment is known and nobody forbade it."""
    if job.work_digest and report.environment_digest:
        key = cache_key(work_digest=job.work_digest, environment_digest=report.environment_digest)
        Job.objects.filter(pk=job.pk).update(cache_key=key)


def _as_error(error: Exception) -> dict[str, Any]:
    if isinstance(error, ValidationError):
        return {"code": InvalidReport.code, "message": f"The report is not valid: {error}"[:8000]}
    code = getattr(error, "code", InvalidReport.code)
    return {"code": code, "message": f"The report is not valid: {error}", "facts": getattr(error, "facts", {})}
