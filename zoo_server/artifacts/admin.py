"""Blobs, holdings and uploads in the admin pages: to look at; uploads can be given up."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat

from zoo_sdk.errors import ZooError
from zoo_server.accounts.authentication import principal_of_user
from zoo_server.artifacts.inspection_page import inspection_page
from zoo_server.artifacts.models import Blob, Holding, TeamStorage, Upload
from zoo_server.artifacts.quotas import LOGICAL, set_quota, use_of
from zoo_server.artifacts.reinspection import look_again
from zoo_server.artifacts.services import abort_upload
from zoo_server.audit.admin import ReadOnlyAdmin

MOST_AT_ONCE = 20
"""Files that one click inspects: a page must answer.  `inspect_again` has no such limit."""


@admin.register(Blob)
class BlobAdmin(ReadOnlyAdmin):
    """Bytes by digest, and what was found in them."""

    list_display = ("sha256", "size", "state", "format", "severities", "inspector", "verified_at", "created_at")
    list_filter = ("state", "format", "inspector")
    search_fields = ("sha256",)
    ordering = ("-created_at",)
    fields = ("sha256", "size", "state", "created_at", "touched_at", "verified_at", "inspection")
    readonly_fields = ("created_at", "inspection")
    actions = ("look_again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Blob]:
        """Lists need no facts, which may be long."""
        return super().get_queryset(request).defer("facts")

    @admin.display(description="inspection")
    def inspection(self, blob: Blob) -> str:
        """Facts and findings."""
        return inspection_page(blob)

    @admin.display(description="findings")
    def severities(self, blob: Blob) -> str:
        """The severities found in the bytes."""
        return ", ".join(sorted({finding["severity"] for finding in blob.findings}))

    @admin.action(description="Inspect the selected files again")
    def look_again(self, request: HttpRequest, queryset: QuerySet[Blob]) -> None:
        """Through the service, whatever version they were inspected by."""
        principal: Any = principal_of_user(request.user)  # type: ignore[arg-type]  # staff are signed in
        for blob in queryset.only("pk", "format", "findings", "inspector")[:MOST_AT_ONCE]:
            look = look_again(principal=principal, blob=blob)
            level = messages.ERROR if look.outcome == "missing" else messages.SUCCESS
            self.message_user(request, f"{blob}: {look.outcome}, {look.severity or 'no findings'}", level)


@admin.register(Holding)
class HoldingAdmin(ReadOnlyAdmin):
    """Which team possesses which bytes."""

    list_display = ("team", "blob", "created_at")
    list_filter = ("team",)
    list_select_related = ("team", "blob")
    search_fields = ("blob__sha256",)


@admin.register(Upload)
class UploadAdmin(ReadOnlyAdmin):
    """Upload sessions."""

    list_display = ("filename", "team", "created_by", "state", "offset", "size", "expires_at")
    list_filter = ("state", "team")
    list_select_related = ("team", "created_by")
    search_fields = ("filename", "sha256")
    ordering = ("-created_at",)
    actions = ("give_up",)

    @admin.action(description="Give up the selected uploads and remove their bytes")
    def give_up(self, request: HttpRequest, queryset: QuerySet[Upload]) -> None:
        """Abort open sessions through the service."""
        principal: Any = principal_of_user(request.user)  # type: ignore[arg-type]  # staff are signed in
        for upload in queryset:
            try:
                abort_upload(principal=principal, upload_id=upload.pk)
            except ZooError as error:
                self.message_user(request, f"{upload}: {error}", messages.ERROR)


@admin.register(TeamStorage)
class TeamStorageAdmin(admin.ModelAdmin):
    """What teams take, and how much they may: the quotas can be changed here."""

    list_display = ("team", "possessed", "reserved_by_uploads", "physical_limit", "logical_limit")
    list_select_related = ("team",)
    search_fields = ("team__name",)
    ordering = ("-held",)
    fields = ("team", "possessed", "reserved_by_uploads", "of_versions", "physical_quota", "logical_quota")
    readonly_fields = ("possessed", "reserved_by_uploads", "of_versions")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """A row stays with its team."""
        return (*self.readonly_fields, "team") if obj else self.readonly_fields

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The counts are triggers' work."""
        return False

    def save_model(self, request: HttpRequest, obj: TeamStorage, form: Any, change: Any) -> None:
        """Through the service, so that the audit log knows."""
        principal: Any = principal_of_user(request.user)  # type: ignore[arg-type]  # staff are signed in
        quotas = {"physical": obj.physical_quota, "logical": obj.logical_quota}
        set_quota(principal=principal, team=obj.team, **quotas)

    @admin.display(description="possessed", ordering="held")
    def possessed(self, row: TeamStorage) -> str:
        """Bytes of blobs, each once."""
        return str(filesizeformat(row.held))

    @admin.display(description="reserved by uploads", ordering="reserved")
    def reserved_by_uploads(self, row: TeamStorage) -> str:
        """Bytes that open uploads may still take."""
        return str(filesizeformat(row.reserved))

    @admin.display(description="of its versions")
    def of_versions(self, row: TeamStorage) -> str:
        """Bytes of versions, whatever they share."""
        return str(filesizeformat(use_of(row.team)[LOGICAL].used)) if row.team_id else ""

    @admin.display(description="physical quota", ordering="physical_quota", empty_value="no limit")
    def physical_limit(self, row: TeamStorage) -> str | None:
        """Bytes of blobs that it may possess."""
        return None if row.physical_quota is None else str(filesizeformat(row.physical_quota))

    @admin.display(description="logical quota", ordering="logical_quota", empty_value="no limit")
    def logical_limit(self, row: TeamStorage) -> str | None:
        """Bytes that its versions may have."""
        return None if row.logical_quota is None else str(filesizeformat(row.logical_quota))
