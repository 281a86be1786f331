"""Uploads of an attempt: ordinary upload sessions of the job's team, bound to the attempt."""

from uuid import UUID

from zoo_sdk.errors import NotFound
from zoo_server.artifacts.models import Upload
from zoo_server.artifacts.services import open_upload
from zoo_server.jobs.models import Job
from zoo_server.jobs.services.attempts import check_fence
from zoo_server.rest.principals import Principal


def open_attempt_upload(
    *, principal: Principal, job_id: UUID, attempt: int, size: int, sha256: str, filename: str
) -> Upload:
    """A session for bytes that the attempt made; complete at once if the job's team holds them already.

    ``finish`` takes files from completed sessions of this attempt and of the job's earlier ones.

    Raises:
        LeaseLost: the attempt is not the caller's any more.
        InsufficientStorage: there is no room.

    """
    job = Job.objects.select_related("owner", "team").filter(pk=job_id).first()
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    check_fence(principal=principal, job=job, attempt=attempt)
    return open_upload(
        principal=principal,
        team=job.team,
        size=size,
        sha256=sha256,
        filename=filename,
        attempt=(job.pk, attempt),
    )
