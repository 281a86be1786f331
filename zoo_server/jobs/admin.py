"""Operations, workers and jobs in the admin pages: to look at; jobs can be cancelled and tried again."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from zoo_sdk.errors import ZooError
from zoo_server.accounts.authentication import principal_of_user
from zoo_server.audit.admin import ReadOnlyAdmin
from zoo_server.jobs import supply
from zoo_server.jobs.models import (
    IdempotencyKey,
    Job,
    JobAttempt,
    JobDispatch,
    JobEvent,
    JobInput,
    Operation,
    Worker,
)
from zoo_server.jobs.services.outcomes import cancel_job, retry_job


@admin.register(Operation)
class OperationAdmin(ReadOnlyAdmin):
    """What plugins can do."""

    list_display = ("name", "version", "digest", "created_at")
    search_fields = ("name",)
    ordering = ("name", "-version")


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    """Who does the work."""

    list_display = ("name", "user", "queues", "isolation", "gpus", "registered_at", "last_seen_at")
    list_select_related = ("user",)
    search_fields = ("name",)
    ordering = ("name",)

    @admin.display(description="isolation of operations")
    def isolation(self, worker: Worker) -> str:
        """What its operations are kept from."""
        return worker.isolation


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """Jobs, newest first."""

    list_display = (
        "id",
        "operation",
        "team",
        "state",
        "attempt",
        "max_attempts",
        "gpus",
        "cause",
        "owner",
        "from_cache",
        "created_at",
    )
    list_filter = ("state", "cause", "queue", "team", ("cached_from", admin.EmptyFieldListFilter))
    list_select_related = ("operation", "team", "owner")
    search_fields = ("id", "operation__name", "team__name")
    ordering = ("-id",)
    actions = ("cancel", "retry")
    readonly_fields = ("waiting_for",)
    show_full_result_count = False

    @admin.display(description="waiting for")
    def waiting_for(self, job: Job) -> str:
        """What has to come before any worker can take it."""
        return supply.waiting_for([job]).get(job.pk, "")

    @admin.display(boolean=True, description="from the cache")
    def from_cache(self, job: Job) -> bool:
        """Whether it took the result of an equal job."""
        return job.cached_from_id is not None

    @admin.action(description="Cancel the selected jobs")
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Cancel through the service."""
        self._each(request, queryset, cancel_job)

    @admin.action(description="Try the selected jobs again")
    def retry(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Retry through the service."""
        self._each(request, queryset, retry_job)

    def _each(self, request: HttpRequest, jobs: QuerySet[Job], service: Callable[..., Job]) -> None:
        principal: Any = principal_of_user(request.user)  # type: ignore[arg-type]  # staff are signed in
        ids: list[UUID] = list(jobs.values_list("pk", flat=True))
        for job_id in ids:
            try:
                job = service(principal=principal, job_id=job_id)
                self.message_user(request, f"{job}: {job.state}", messages.SUCCESS)
            except ZooError as error:
                self.message_user(request, f"{job_id}: {error}", messages.ERROR)


@admin.register(JobInput)
class JobInputAdmin(ReadOnlyAdmin):
    """What jobs were given."""

    list_display = ("job", "port", "version", "artifact", "weight")
    list_select_related = ("job__operation", "version__repository__team", "artifact__version__repository__team")
    search_fields = ("job__id",)
    ordering = ("-id",)


@admin.register(JobAttempt)
class JobAttemptAdmin(ReadOnlyAdmin):
    """How often jobs were tried."""

    list_display = ("job", "number", "worker_name", "state", "cause", "started_at", "finished_at")
    list_filter = ("state", "cause")
    list_select_related = ("job__operation",)
    search_fields = ("job__id", "worker_name")
    ordering = ("-id",)


@admin.register(JobEvent)
class JobEventAdmin(ReadOnlyAdmin):
    """What attempts said."""

    list_display = ("id", "job", "attempt", "number", "time", "kind")
    list_filter = ("kind",)
    list_select_related = ("job__operation",)
    search_fields = ("job__id",)
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(JobDispatch)
class JobDispatchAdmin(ReadOnlyAdmin):
    """The outbox: jobs that no worker has claimed yet."""

    list_display = ("job", "due_at", "sent_at", "times_sent")
    list_select_related = ("job__operation",)
    ordering = ("due_at",)


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(ReadOnlyAdmin):
    """Which submissions must not make a second job."""

    list_display = ("key", "user", "job", "created_at")
    list_select_related = ("user", "job__operation")
    search_fields = ("key",)
    ordering = ("-created_at",)
