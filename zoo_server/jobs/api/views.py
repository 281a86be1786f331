"""Routes of operations, jobs and workers, for people and their clients."""

from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_sdk.errors import PermissionDenied
from zoo_sdk.vocabulary import JobState, Scope
from zoo_server.accounts.permissions import member_team_ids
from zoo_server.jobs import selectors
from zoo_server.jobs.api import bodies, presentation
from zoo_server.jobs.api.routes import JobsView, answer, parsed
from zoo_server.jobs.models import Job
from zoo_server.jobs.requests import JobSubmission
from zoo_server.jobs.selectors import EVENT_KINDS, JobFilters
from zoo_server.jobs.services.outcomes import cancel_job, retry_job
from zoo_server.jobs.services.submission import submit_job
from zoo_server.jobs.supply import waiting_for
from zoo_server.rest.choices import choices_of
from zoo_server.rest.pagination import Order, keyset_page
from zoo_server.rest.principals import principal_of
from zoo_server.rest.serializers import PageQuery, StrictSerializer, validated

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    location=OpenApiParameter.HEADER,
    description="The same key with the same body again, within a day, answers with the job that the first one made.",
)
MAX_ROW = 2**62


class JobQuery(PageQuery):
    """The query string of ``GET jobs``."""

    state = serializers.ChoiceField(choices=choices_of(JobState), required=False)
    operation = serializers.RegexField(r"^[\w.]{1,100}\Z", required=False)
    team = serializers.RegexField(r"^[\w.-]{1,96}\Z", required=False)


class EventQuery(StrictSerializer):
    """The query string of ``GET jobs/{id}/events``."""

    after = serializers.IntegerField(min_value=0, max_value=MAX_ROW, default=0, help_text="Events with a higher id.")
    kind = serializers.ChoiceField(choices=EVENT_KINDS, required=False)
    limit = serializers.IntegerField(min_value=1, max_value=1000, default=500)


class OperationListView(JobsView):
    """What the workers can do."""

    operations = {"GET": "operations_list"}

    @extend_schema(responses=bodies.OperationList)
    def get(self, request: Request) -> Response:
        """List the newest version of every operation that a worker offers."""
        named = not principal_of(request).is_anonymous
        rows = selectors.operations_with_workers()
        return answer(
            bodies.OperationList(results=[presentation.operation_body(row, with_workers=named) for row in rows])
        )


class OperationDetailView(JobsView):
    """One operation."""

    operations = {"GET": "operations_get"}

    @extend_schema(responses=bodies.OperationBody)
    def get(self, request: Request, name: str) -> Response:
        """Its manifest (parameters as JSON Schema, ports, resources) and the workers that offer it."""
        named = not principal_of(request).is_anonymous
        return answer(presentation.operation_body(selectors.get_operation(name=name), with_workers=named))


class JobListView(JobsView):
    """Jobs."""

    scopes = {"GET": Scope.READ, "POST": Scope.SUBMIT}
    operations = {"GET": "jobs_list", "POST": "jobs_submit"}

    @extend_schema(parameters=[JobQuery], responses=bodies.JobPage)
    def get(self, request: Request) -> Response:
        """List the jobs of the caller's teams, newest first."""
        query = validated(JobQuery, request.query_params)
        cursor, limit = query.pop("cursor"), query.pop("limit")
        rows = selectors.filtered_jobs(principal=principal_of(request), filters=JobFilters(**query))
        page = keyset_page(rows, [Order("id", descending=True)], cursor=cursor, limit=limit)
        results, waiting = selectors.results_of(page.rows), waiting_for(page.rows)
        jobs = [presentation.job_body(job, results.get(job.pk), waiting.get(job.pk)) for job in page.rows]
        return answer(bodies.JobPage(results=jobs, next=page.next_cursor))

    @extend_schema(
        request=JobSubmission,
        parameters=[IDEMPOTENCY_KEY],
        responses={202: bodies.JobBody, 200: bodies.JobBody},
    )
    def post(self, request: Request) -> Response:
        """Check and queue a job; 422 names every wrong field with its value and what is allowed."""
        submission = parsed(JobSubmission, request)
        key = request.headers.get("Idempotency-Key")
        job, created = submit_job(principal=principal_of(request), submission=submission, idempotency_key=key)
        headers = {"Location": f"/api/v1/jobs/{job.pk}"}
        return answer(described(job), 202 if created else 200, headers)


class JobDetailView(JobsView):
    """One job."""

    operations = {"GET": "jobs_get"}

    @extend_schema(responses=bodies.JobBody)
    def get(self, request: Request, job_id: UUID) -> Response:
        """Describe it."""
        return answer(described(selectors.visible_job(principal=principal_of(request), job_id=job_id)))


class JobEventListView(JobsView):
    """What a job said."""

    operations = {"GET": "jobs_events"}

    @extend_schema(parameters=[EventQuery], responses=bodies.JobEventPage)
    def get(self, request: Request, job_id: UUID) -> Response:
        """List its events after one of them, in the order in which they came."""
        query = validated(EventQuery, request.query_params)
        job = selectors.visible_job(principal=principal_of(request), job_id=job_id)
        rows = selectors.events_after(job, after=query["after"], kind=query.get("kind"), limit=query["limit"])
        events = [presentation.event_body(row) for row in rows]
        return answer(bodies.JobEventPage(results=events, next=events[-1].id if events else query["after"]))


class JobAttemptListView(JobsView):
    """How often a job was tried."""

    operations = {"GET": "jobs_attempts"}

    @extend_schema(responses=bodies.JobAttemptList)
    def get(self, request: Request, job_id: UUID) -> Response:
        """List its attempts, first one first, with worker, environment and what ended them."""
        job = selectors.visible_job(principal=principal_of(request), job_id=job_id)
        attempts = [presentation.attempt_body(row) for row in selectors.attempts_of(job)]
        return answer(bodies.JobAttemptList(results=attempts))


class JobCancelView(JobsView):
    """Stop a job."""

    scopes = {"POST": Scope.SUBMIT}
    operations = {"POST": "jobs_cancel"}

    @extend_schema(request=None, responses=bodies.JobBody)
    def post(self, request: Request, job_id: UUID) -> Response:
        """Cancel it: a queued one at once, a running one at its worker's next heartbeat; 409 when it has ended."""
        return answer(described(cancel_job(principal=principal_of(request), job_id=job_id)))


class JobRetryView(JobsView):
    """Try a job again."""

    scopes = {"POST": Scope.SUBMIT}
    operations = {"POST": "jobs_retry"}

    @extend_schema(request=None, responses=bodies.JobBody)
    def post(self, request: Request, job_id: UUID) -> Response:
        """Queue it once more; 409 unless it failed or was cancelled."""
        return answer(described(retry_job(principal=principal_of(request), job_id=job_id)))


class WorkerListView(JobsView):
    """The workers."""

    operations = {"GET": "workers_list"}

    @extend_schema(parameters=[PageQuery], responses=bodies.WorkerPage)
    def get(self, request: Request) -> Response:
        """List them by name: what they offer, whether they are alive, and which of the caller's jobs they run."""
        principal = principal_of(request)
        if principal.is_anonymous:
            raise PermissionDenied("Workers are shown to signed-in callers only.", hint="Sign in with `zoo login`.")
        query = validated(PageQuery, request.query_params)
        page = keyset_page(selectors.all_workers(), [Order("name")], cursor=query["cursor"], limit=query["limit"])
        teams = member_team_ids(principal=principal)
        workers = [presentation.worker_body(row, visible_teams=teams) for row in page.rows]
        return answer(bodies.WorkerPage(results=workers, next=page.next_cursor))


def described(job: Job) -> bodies.JobBody:
    """The job's body, as the job is now."""
    found = selectors.with_details(Job.objects.filter(pk=job.pk)).get()
    result, waiting = selectors.results_of([found]).get(found.pk), waiting_for([found]).get(found.pk)
    return presentation.job_body(found, result, waiting)
