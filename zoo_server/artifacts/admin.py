"""Blobs, holdings and uploads in the admin pages: to look at; uploads can be given up."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from zoo_sdk.errors import ZooError
from zoo_server.accounts.authentication import principal_of_user
from zoo_server.artifacts.models import Blob, Holding, Upload
from zoo_server.artifacts.services import abort_upload
from zoo_server.audit.admin import ReadOnlyAdmin


@admin.register(Blob)
class BlobAdmin(ReadOnlyAdmin):
    """Bytes by digest."""

    list_display = ("sha256", "size", "format", "severities", "created_at")
    list_filter = ("format",)
    search_fields = ("sha256",)
    ordering = ("-created_at",)

    @admin.display(description="findings")
    def severities(self, blob: Blob) -> str:
        """The severities found in the bytes."""
        return ", ".join(sorted({finding["severity"] for finding in blob.findings}))


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
