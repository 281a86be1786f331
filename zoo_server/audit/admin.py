"""The audit log in the admin pages: to look at only."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from zoo_server.audit.models import AuditEvent, AuditLink


class ReadOnlyAdmin(admin.ModelAdmin):
    """Shows rows and offers no change; the database would refuse one anyway."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    """Events, newest first."""

    list_display = ("time", "actor", "action", "object_type", "object_name", "team", "sequence")
    list_filter = ("action", "object_type")
    search_fields = ("actor", "object_name", "object_id", "team")
    list_select_related = ("link",)
    ordering = ("-id",)
    show_full_result_count = False

    @admin.display(description="link")
    def sequence(self, event: AuditEvent) -> int:
        """The event's place in the chain."""
        return event.link.sequence


@admin.register(AuditLink)
class AuditLinkAdmin(ReadOnlyAdmin):
    """The chain, newest link first."""

    list_display = ("sequence", "event", "hash")
    list_select_related = ("event",)
    ordering = ("-sequence",)
    show_full_result_count = False
