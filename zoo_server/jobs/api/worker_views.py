"""The worker API: bodies are those of :mod:`zoo_sdk.messages`.

Every attempt route is fenced: the token's user owns the worker that owns the job, the attempt is the job's current one,
and the job is running; else 409 ``lease-lost``.  A lease that ran out but was not yet taken away can still be renewed.
"""

from uuid import UUID

from django.conf import settings
from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_sdk.messages import (
    Assignment,
    ClaimRequest,
    EventBatch,
    FailureReport,
    FinishReport,
    HeartbeatReply,
    MlflowRunReport,
    RegistrationReply,
    WorkerRegistration,
)
from zoo_sdk.vocabulary import Scope
from zoo_server.artifacts.api.serializers import BytesSerializer, UploadSerializer
from zoo_server.artifacts.api.views import opened_upload_response
from zoo_server.artifacts.downloads import blob_response
from zoo_server.jobs import selectors
from zoo_server.jobs.api import bodies
from zoo_server.jobs.api.routes import WorkerView, answer, parsed
from zoo_server.jobs.api.views import described
from zoo_server.jobs.assignments import assignment_of
from zoo_server.jobs.services.events import record_events
from zoo_server.jobs.services.leases import claim_job, heartbeat, release_job
from zoo_server.jobs.services.outcomes import fail_job, report_mlflow_run
from zoo_server.jobs.services.results import finish_job
from zoo_server.jobs.services.transfers import open_attempt_upload
from zoo_server.jobs.services.workers import register_worker
from zoo_server.rest.principals import principal_of
from zoo_server.rest.serializers import validated

BEATS_PER_LEASE = 3


class RegistrationView(WorkerView):
    """A worker makes itself known."""

    operations = {"POST": "worker_register"}

    @extend_schema(request=WorkerRegistration, responses=RegistrationReply)
    def post(self, request: Request) -> Response:
        """Register, at the start and while idle every `heartbeat_seconds`; 409 `operation-clash`."""
        worker = register_worker(principal=principal_of(request), registration=parsed(WorkerRegistration, request))
        lease = settings.ZOO_LEASE_SECONDS
        return answer(
            RegistrationReply(
                worker_id=worker.pk,
                lease_seconds=lease,
                heartbeat_seconds=max(1, lease // BEATS_PER_LEASE),
                mlflow_tracking_uri=settings.ZOO_MLFLOW_TRACKING_URI,
            )
        )


class ClaimView(WorkerView):
    """A worker takes a job."""

    operations = {"POST": "worker_claim"}

    @extend_schema(request=ClaimRequest, responses=Assignment)
    def post(self, request: Request, job_id: UUID) -> Response:
        """Claim it; 409 `gpus-needed`: with so many GPUs set aside; any other 409: drop the message."""
        claim = parsed(ClaimRequest, request)
        principal = principal_of(request)
        job = claim_job(principal=principal, job_id=job_id, worker_name=claim.worker, gpus=claim.gpus)
        return answer(assignment_of(job))


class HeartbeatView(WorkerView):
    """An attempt is alive."""

    operations = {"POST": "worker_heartbeat"}

    @extend_schema(request=None, responses=HeartbeatReply)
    def post(self, request: Request, job_id: UUID, attempt: int) -> Response:
        """Renew the lease and learn whether to go on; 409 `lease-lost` means: stop at once."""
        return answer(heartbeat(principal=principal_of(request), job_id=job_id, attempt=attempt))


class EventsView(WorkerView):
    """An attempt speaks."""

    operations = {"POST": "worker_events"}

    @extend_schema(request=EventBatch, responses={204: None})
    def post(self, request: Request, job_id: UUID, attempt: int) -> Response:
        """Keep its events; duplicates are ignored.  Send all of them before `finish` or `fail`."""
        batch = parsed(EventBatch, request)
        record_events(principal=principal_of(request), job_id=job_id, attempt=attempt, batch=batch)
        return Response(status=204)


class InputBlobView(WorkerView):
    """The bytes of an input."""

    scopes = {"GET": Scope.WORKER}
    operations = {"GET": "worker_input"}

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request, job_id: UUID, attempt: int, sha256: str) -> HttpResponseBase:
        """Download a file of the job's inputs by its digest; 404 for any other digest."""
        principal = principal_of(request)
        file = selectors.input_blob(principal=principal, job_id=job_id, attempt=attempt, sha256=sha256)
        return blob_response(request, blob=file.held(), filename=file.path.rsplit("/", 1)[-1])


class AttemptUploadsView(WorkerView):
    """What an attempt brings up."""

    operations = {"POST": "worker_upload"}

    @extend_schema(request=BytesSerializer, responses={201: UploadSerializer, 200: UploadSerializer})
    def post(self, request: Request, job_id: UUID, attempt: int) -> Response:
        """Open an upload bound to the attempt (200 `complete` if the job's team holds the bytes already)."""
        upload = open_attempt_upload(
            principal=principal_of(request),
            job_id=job_id,
            attempt=attempt,
            **validated(BytesSerializer, request.data),
        )
        return opened_upload_response(upload)


class FinishView(WorkerView):
    """An attempt is done."""

    operations = {"POST": "worker_finish"}

    @extend_schema(request=FinishReport, responses=bodies.JobBody)
    def post(self, request: Request, job_id: UUID, attempt: int) -> Response:
        """Make the job's version; idempotent.  A report that the operation did not promise fails the job."""
        report = parsed(FinishReport, request)
        return answer(
            described(finish_job(principal=principal_of(request), job_id=job_id, attempt=attempt, report=report))
        )


class FailView(WorkerView):
    """An attempt did not succeed."""

    operations = {"POST": "worker_fail"}

    @extend_schema(request=FailureReport, responses=bodies.JobBody)
    def post(self, request: Request, job_id: UUID, attempt: int) -> Response:
        """End it, and try again later if the cause may go away; idempotent."""
        report = parsed(FailureReport, request)
        return answer(
            described(fail_job(principal=principal_of(request), job_id=job_id, attempt=attempt, report=report))
        )


class ReleaseView(WorkerView):
    """A worker shuts down."""

    operations = {"POST": "worker_release"}

    @extend_schema(request=None, responses=bodies.JobBody)
    def post(self, request: Request, job_id: UUID, attempt: int) -> Response:
        """Give the job back: queued at once, the attempt not counted."""
        return answer(described(release_job(principal=principal_of(request), job_id=job_id, attempt=attempt)))


class MlflowRunView(WorkerView):
    """The attempt's MLflow run."""

    operations = {"POST": "worker_mlflow_run"}

    @extend_schema(request=MlflowRunReport, responses=bodies.JobBody)
    def post(self, request: Request, job_id: UUID, attempt: int) -> Response:
        """Note its id, also after the end; the answer tells a killed worker's successor how the attempt ended."""
        report = parsed(MlflowRunReport, request)
        return answer(
            described(report_mlflow_run(principal=principal_of(request), job_id=job_id, attempt=attempt, report=report))
        )
