"""Blobs, holdings and uploads in the admin pages: to look at; uploads can be given up."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from zoo_sdk.errors import ZooError
from zoo_server.accounts.authentication import principal_of_user
from zoo_server.artifacts.inspection_page import inspection_page
from zoo_server.artifacts.models import Blob, Holding, Upload
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
