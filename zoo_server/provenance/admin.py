"""Keys, attestations and what waits for one in the admin pages: to look at only."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from zoo_server.audit.admin import ReadOnlyAdmin
from zoo_server.provenance.models import (
    Attestation,
    ImportedVersion,
    PendingAttestation,
    SigningKey,
    TrustedKey,
)


@admin.register(SigningKey)
class SigningKeyAdmin(ReadOnlyAdmin):
    """Keys, newest first."""

    list_display = ("id", "algorithm", "created_at", "retired_at", "revoked_at", "revocation_reason")
    ordering = ("-created_at",)


@admin.register(Attestation)
class AttestationAdmin(ReadOnlyAdmin):
    """Attestations, newest first."""

    list_display = ("version", "kind", "key", "complete", "created_at")
    list_filter = ("kind",)
    search_fields = ("version__repository__name",)
    list_select_related = ("version__repository__team", "key")
    exclude = ("payload", "signature")
    ordering = ("-id",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Without the statements themselves, which may be large."""
        return super().get_queryset(request).defer("payload", "signature")


@admin.register(PendingAttestation)
class PendingAttestationAdmin(ReadOnlyAdmin):
    """Versions that wait, and why."""

    list_display = ("version", "due_at", "tries", "error")
    list_select_related = ("version__repository__team",)
    show_full_result_count = False


@admin.register(TrustedKey)
class TrustedKeyAdmin(ReadOnlyAdmin):
    """Keys of other registries that are believed here (`zoo_server signing_key trust`)."""

    list_display = ("name", "id", "added_at")
    ordering = ("name",)


@admin.register(ImportedVersion)
class ImportedVersionAdmin(ReadOnlyAdmin):
    """Versions that came in bundles, newest first."""

    list_display = ("version", "foreign_reference", "registry", "vouched_by", "imported_by", "imported_at")
    list_filter = ("vouched_by",)
    search_fields = ("foreign_reference", "registry", "version__repository__name")
    list_select_related = ("version__repository__team", "imported_by")
    exclude = ("provenance", "signature", "record")
    ordering = ("-imported_at",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Without the documents themselves, which may be large."""
        return super().get_queryset(request).defer("provenance", "signature", "record")
