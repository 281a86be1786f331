"""Deletions and pins in the admin pages, and what the pages of versions and repositories need for them."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from zoo_sdk.errors import ZooError
from zoo_server.accounts.authentication import principal_of_user
from zoo_server.audit.admin import ReadOnlyAdmin
from zoo_server.catalog.models import Deletion, Pin

FROM_HERE = "in the admin pages"


class DeletedFilter(admin.SimpleListFilter):
    """Rows by whether they are deleted."""

    title = "deleted"
    parameter_name = "deleted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "not deleted"), ("yes", "can be restored"), ("tombstone", "tombstones")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        narrowed = {
            "no": queryset.filter(deletion=None),
            "yes": queryset.filter(deletion__isnull=False, deletion__buried_at=None),
            "tombstone": queryset.filter(deletion__buried_at__isnull=False),
        }
        return narrowed.get(self.value() or "", queryset)


def do_to_each(
    page: admin.ModelAdmin,
    request: HttpRequest,
    rows: QuerySet[Any],
    done: str,
    service: Callable[..., object],
    **options: str,
) -> None:
    """Call the service for each row on its own, so that one refusal stops none of the others."""
    principal = principal_of_user(request.user)  # type: ignore[arg-type]  # staff are signed in
    for row in rows:
        try:
            service(principal=principal, **{row._meta.model_name: row}, **options)
        except ZooError as error:
            page.message_user(request, f"Not changed: {error} {error.hint}", messages.ERROR)
        else:
            page.message_user(request, f"Now {done}: {row}.", messages.SUCCESS)


@admin.register(Deletion)
class DeletionAdmin(ReadOnlyAdmin):
    """What was deleted, by whom and why, and until when it can be restored."""

    list_display = ("version", "repository", "reason", "deleted_by", "deleted_at", "restorable_until", "buried_at")
    list_filter = (("buried_at", admin.EmptyFieldListFilter),)
    list_select_related = ("version__repository__team", "repository__team", "deleted_by")
    search_fields = ("version__repository__name", "repository__name", "reason")
    ordering = ("-id",)


@admin.register(Pin)
class PinAdmin(ReadOnlyAdmin):
    """What is kept, by whom and why."""

    list_display = ("version", "reason", "pinned_by", "pinned_at")
    list_select_related = ("version__repository__team", "pinned_by")
    search_fields = ("version__repository__name", "reason")
    ordering = ("-id",)
