"""Deletions and pins in the admin pages, and what the pages of versions and repositories need for them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from zoo_sdk.errors import ZooError
from zoo_server.accounts.authentication import principal_of_user
from zoo_server.audit.admin import ReadOnlyAdmin
from zoo_server.catalog import services
from zoo_server.catalog.models import Deletion, Pin, Repository, RetentionPolicy, Version
from zoo_server.catalog.retention.document import read_policy
from zoo_server.catalog.retention.planning import plan_retention
from zoo_server.rest.principals import SYSTEM

SHOWN_VERDICTS = 200
RELATED: Mapping[type[Model], tuple[str, ...]] = MappingProxyType(
    {Version: ("repository__team",), Repository: ("team",)}
)
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
    for row in rows.select_related(*RELATED[rows.model]):
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


class RetentionForm(forms.ModelForm):
    """A policy's text, checked as everywhere."""

    class Meta:
        model = RetentionPolicy
        fields = ("team", "text")
        widgets = {"text": forms.Textarea(attrs={"rows": 16, "cols": 100, "spellcheck": "false"})}
        help_texts = {"text": "YAML; docs/storage.md describes the keys."}

    def clean_text(self) -> str:
        """The text, if it is a policy."""
        text: str = self.cleaned_data["text"]
        try:
            read_policy(text)
        except ZooError as error:
            raise ValidationError(str(error)) from error
        return text


@admin.register(RetentionPolicy)
class RetentionAdmin(admin.ModelAdmin):
    """Policies, which can be changed here, with what they would do now."""

    form = RetentionForm
    list_display = ("team", "updated_by", "updated_at")
    list_select_related = ("team", "updated_by")
    search_fields = ("team__name",)
    ordering = ("team__name",)
    readonly_fields = ("preview",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """A policy stays with its team."""
        return ("preview", "team") if obj else ("preview",)

    def save_model(self, request: HttpRequest, obj: RetentionPolicy, form: Any, change: Any) -> None:
        """Through the service, so that the audit log knows."""
        principal = principal_of_user(request.user)  # type: ignore[arg-type]  # staff are signed in
        obj.pk = services.set_retention(principal=principal, team=obj.team, text=obj.text).pk

    def delete_model(self, request: HttpRequest, obj: RetentionPolicy) -> None:
        """Through the service."""
        principal = principal_of_user(request.user)  # type: ignore[arg-type]  # staff are signed in
        services.remove_retention(principal=principal, team=obj.team)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[RetentionPolicy]) -> None:
        """One by one."""
        for policy in queryset.select_related("team"):
            self.delete_model(request, policy)

    @admin.display(description="what it would do now")
    def preview(self, policy: RetentionPolicy) -> SafeString | str:
        """The first verdicts."""
        if policy.pk is None or not policy.text:
            return "Save it first: it is applied at night."
        verdicts = plan_retention(principal=SYSTEM, team=policy.team, policy=read_policy(policy.text))
        goes = sum(verdict.goes for verdict in verdicts)
        rows = format_html_join(
            "",
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            ((item.version, "goes" if item.goes else "stays", item.reason) for item in verdicts[:SHOWN_VERDICTS]),
        )
        return format_html("<p>{} go, {} stay.</p><table>{}</table>", goes, len(verdicts) - goes, rows)
