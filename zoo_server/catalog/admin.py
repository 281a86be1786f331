"""The catalogue in the admin pages: to look at, with the changes of state as actions that call the services."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest

from zoo_sdk.errors import ZooError
from zoo_sdk.vocabulary import Visibility
from zoo_server.accounts.authentication import principal_of_user
from zoo_server.artifacts.inspection_page import inspection_line, inspection_page
from zoo_server.audit.admin import ReadOnlyAdmin
from zoo_server.catalog import services
from zoo_server.catalog.keeping_admin import FROM_HERE, DeletedFilter, do_to_each
from zoo_server.catalog.models import (
    Alias,
    AliasMove,
    Artifact,
    CatalogueEntry,
    LineageEdge,
    Metric,
    Mirror,
    Report,
    Repository,
    StateChange,
    StrategyStep,
    Version,
    VersionFile,
)
from zoo_server.catalog.selectors import with_short_facts

SHOWN_ROWS = 100


class FirstRows(BaseInlineFormSet):
    """At most :data:`SHOWN_ROWS` rows: a version may have 100,000 files."""

    def get_queryset(self) -> Any:
        return super().get_queryset()[:SHOWN_ROWS]


class ReadOnlyInline(admin.TabularInline):
    """Rows of a version.  They are changed through the services only, and once sealed not at all."""

    formset = FirstRows
    extra = 0
    can_delete = False
    show_change_link = True
    related: tuple[str, ...] = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows with what their columns show."""
        return super().get_queryset(request).select_related(*self.related)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class FileInline(ReadOnlyInline):
    """Files."""

    model = VersionFile
    fields = ("path", "inspection", "blob", "address", "artifact")
    readonly_fields = ("inspection",)
    related = ("blob", "artifact__version__repository__team")

    @admin.display(description="what it is")
    def inspection(self, file: VersionFile) -> str:
        """What was found in its bytes, in a line."""
        return inspection_line(file.blob, file.told_facts) if file.blob else "not mirrored"  # type: ignore[attr-defined]

    def get_queryset(self, request: HttpRequest) -> QuerySet[VersionFile]:
        """Tables of facts may be long, and are not shown here."""
        return with_short_facts(super().get_queryset(request))


class ArtifactInline(ReadOnlyInline):
    """Artifacts."""

    model = Artifact
    fields = ("name", "format", "precision", "runtime")


class StrategyInline(ReadOnlyInline):
    """Steps of the strategy."""

    model = StrategyStep
    fields = ("position", "kind", "method", "parameters", "operation")


class LineageInline(ReadOnlyInline):
    """Parents."""

    model = LineageEdge
    fk_name = "child"
    fields = ("role", "parent", "external_uri", "weight")
    related = ("parent__repository__team",)


class MetricInline(ReadOnlyInline):
    """Metrics."""

    model = Metric
    fk_name = "version"
    fields = ("name", "value", "source", "dataset", "dataset_name", "split", "runtime", "device", "created_at")
    readonly_fields = ("created_at",)
    related = ("dataset__repository__team",)


class StateChangeInline(ReadOnlyInline):
    """States, and who changed them."""

    model = StateChange
    fields = ("before", "after", "comment", "changed_by", "changed_at")
    readonly_fields = ("changed_at",)
    related = ("changed_by",)


@admin.register(Repository)
class RepositoryAdmin(ReadOnlyAdmin):
    """Models and data sets."""

    list_display = ("full_name", "kind", "title", "task", "licence", "visibility", "last_number", "updated_at")
    list_filter = ("kind", "visibility", DeletedFilter, "team")
    list_select_related = ("team",)
    search_fields = ("name", "title", "team__name")
    ordering = ("-id",)
    exclude = ("search",)
    actions = ("make_private", "make_internal", "make_public", "discard", "restore")

    @admin.action(description="Delete the selected ones with all their versions; they can be restored for a while")
    def discard(self, request: HttpRequest, queryset: QuerySet[Repository]) -> None:
        """Refused while a version is approved, pinned, in use or has an alias."""
        do_to_each(self, request, queryset, "deleted", services.discard_repository, reason=FROM_HERE)

    @admin.action(description="Restore the selected deleted ones")
    def restore(self, request: HttpRequest, queryset: QuerySet[Repository]) -> None:
        """With the versions that were deleted with them."""
        do_to_each(self, request, queryset, "restored", services.restore_repository)

    @admin.action(description="Show the selected ones to their teams only")
    def make_private(self, request: HttpRequest, queryset: QuerySet[Repository]) -> None:
        """Visibility private."""
        self._show_to(request, queryset, Visibility.PRIVATE)

    @admin.action(description="Show the selected ones to everybody who is signed in")
    def make_internal(self, request: HttpRequest, queryset: QuerySet[Repository]) -> None:
        """Visibility internal."""
        self._show_to(request, queryset, Visibility.INTERNAL)

    @admin.action(description="Show the selected ones to everybody")
    def make_public(self, request: HttpRequest, queryset: QuerySet[Repository]) -> None:
        """Visibility public."""
        self._show_to(request, queryset, Visibility.PUBLIC)

    def _show_to(self, request: HttpRequest, queryset: QuerySet[Repository], visibility: Visibility) -> None:
        principal = principal_of_user(request.user)  # type: ignore[arg-type]  # staff are signed in
        for repository in queryset.select_related("team"):
            try:
                services.update_repository(principal=principal, repository=repository, visibility=visibility)
            except ZooError as error:
                self.message_user(request, f"Not changed: {error}", messages.ERROR)
            else:
                self.message_user(request, f"Now {visibility.value}: {repository}.", messages.SUCCESS)

    @admin.display(description="name", ordering="name")
    def full_name(self, repository: Repository) -> str:
        """Team and name."""
        return str(repository)


@admin.register(Version)
class VersionAdmin(ReadOnlyAdmin):
    """Versions, and their changes of state."""

    list_display = ("reference", "state", "size", "digest", "created_by", "created_at", "sealed_at")
    list_filter = ("state", DeletedFilter, "repository__kind", "repository__team")
    list_select_related = ("repository__team", "created_by")
    search_fields = ("repository__name", "repository__team__name", "digest")
    ordering = ("-id",)
    inlines = (FileInline, ArtifactInline, StrategyInline, LineageInline, MetricInline, StateChangeInline)
    actions = ("seal", "approve", "deprecate", "withdraw", "discard", "restore", "pin", "unpin")

    @admin.display(description="version")
    def reference(self, version: Version) -> str:
        """Team, name and number."""
        return str(version)

    @admin.action(description="Seal the selected drafts")
    def seal(self, request: HttpRequest, queryset: QuerySet[Version]) -> None:
        """From draft to candidate."""
        do_to_each(self, request, queryset, "candidate", services.seal_version, comment=FROM_HERE)

    @admin.action(description="Approve the selected versions")
    def approve(self, request: HttpRequest, queryset: QuerySet[Version]) -> None:
        """From candidate or deprecated to approved."""
        do_to_each(self, request, queryset, "approved", services.approve_version, comment=FROM_HERE)

    @admin.action(description="Deprecate the selected versions")
    def deprecate(self, request: HttpRequest, queryset: QuerySet[Version]) -> None:
        """From approved to deprecated."""
        do_to_each(self, request, queryset, "deprecated", services.deprecate_version, comment=FROM_HERE)

    @admin.action(description="Withdraw the selected versions: their files answer 410 from now on")
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Version]) -> None:
        """From any sealed state to withdrawn."""
        do_to_each(self, request, queryset, "withdrawn", services.withdraw_version, comment=FROM_HERE)

    @admin.action(description="Delete the selected versions; they can be restored for a while")
    def discard(self, request: HttpRequest, queryset: QuerySet[Version]) -> None:
        """Refused for what is approved, pinned, in use or has an alias."""
        do_to_each(
            self,
            request,
            queryset,
            "deleted",
            services.discard_version,
            reason=FROM_HERE,
        )

    @admin.action(description="Restore the selected deleted versions")
    def restore(self, request: HttpRequest, queryset: QuerySet[Version]) -> None:
        """While there is time."""
        do_to_each(self, request, queryset, "restored", services.restore_version)

    @admin.action(description="Pin the selected versions: nobody and no policy deletes them")
    def pin(self, request: HttpRequest, queryset: QuerySet[Version]) -> None:
        """Keep them."""
        do_to_each(self, request, queryset, "pinned", services.pin_version, reason=FROM_HERE)

    @admin.action(description="Unpin the selected versions")
    def unpin(self, request: HttpRequest, queryset: QuerySet[Version]) -> None:
        """Keep them no longer."""
        do_to_each(self, request, queryset, "not pinned", services.unpin_version)


@admin.register(Artifact)
class ArtifactAdmin(ReadOnlyAdmin):
    """Artifacts of versions."""

    list_display = ("version", "name", "format", "precision", "runtime")
    list_filter = ("format", "precision", "runtime")
    list_select_related = ("version__repository__team",)
    search_fields = ("version__repository__name",)
    ordering = ("-id",)


class NotMirroredFilter(admin.SimpleListFilter):
    """Remote files, by whether their bytes are here."""

    title = "remote files"
    parameter_name = "remote"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("away", "not mirrored"), ("here", "mirrored")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.exclude(address="").filter(blob__isnull=self.value() == "away")


@admin.register(Mirror)
class MirrorAdmin(ReadOnlyAdmin):
    """Fetching of remote files."""

    list_display = ("file", "state", "tries", "requested_by", "error", "updated_at")
    list_filter = ("state",)
    list_select_related = ("file", "requested_by")
    search_fields = ("file__address", "file__version__repository__name")
    ordering = ("-id",)


@admin.register(CatalogueEntry)
class CatalogueEntryAdmin(ReadOnlyAdmin):
    """What was imported from catalogues."""

    list_display = ("catalogue", "key", "team", "version", "imported_at")
    list_filter = ("catalogue",)
    list_select_related = ("team", "version__repository__team")
    search_fields = ("key",)
    ordering = ("-id",)


@admin.register(VersionFile)
class VersionFileAdmin(ReadOnlyAdmin):
    """Files of versions."""

    list_display = ("path", "version", "blob", "address")
    readonly_fields = ("inspection",)
    list_filter = (NotMirroredFilter,)
    list_select_related = ("version__repository__team", "blob")
    search_fields = ("path", "blob__sha256", "version__repository__name", "address")
    ordering = ("-id",)

    @admin.display(description="inspection")
    def inspection(self, file: VersionFile) -> str:
        """Facts and findings of its bytes."""
        return inspection_page(file.blob)


@admin.register(StrategyStep)
class StrategyStepAdmin(ReadOnlyAdmin):
    """Steps by which versions were made."""

    list_display = ("version", "position", "kind", "method", "operation")
    list_filter = ("kind", "operation")
    list_select_related = ("version__repository__team",)
    ordering = ("-id",)


@admin.register(LineageEdge)
class LineageEdgeAdmin(ReadOnlyAdmin):
    """Which version comes from which."""

    list_display = ("child", "role", "parent", "external_uri", "weight")
    list_filter = ("role",)
    list_select_related = ("child__repository__team", "parent__repository__team")
    search_fields = ("child__repository__name", "parent__repository__name", "external_uri")
    ordering = ("-id",)


@admin.register(Metric)
class MetricAdmin(ReadOnlyAdmin):
    """Numbers about versions."""

    list_display = ("version", "name", "value", "source", "dataset", "dataset_name", "split", "device", "created_at")
    list_filter = ("name", "source", "runtime")
    list_select_related = ("version__repository__team", "dataset__repository__team")
    search_fields = ("version__repository__name",)
    ordering = ("-id",)


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin):
    """What jobs found about versions that is more than a number."""

    list_display = ("version", "kind", "dataset", "split", "runtime", "device", "size", "created_at")
    list_filter = ("kind", "runtime")
    list_select_related = ("version__repository__team", "dataset__repository__team")
    search_fields = ("version__repository__name",)
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Report]:
        """A list needs no content."""
        return super().get_queryset(request).defer("content")


@admin.register(StateChange)
class StateChangeAdmin(ReadOnlyAdmin):
    """The history of states."""

    list_display = ("version", "before", "after", "comment", "changed_by", "changed_at")
    list_filter = ("after",)
    list_select_related = ("version__repository__team", "changed_by")
    ordering = ("-id",)


@admin.register(Alias)
class AliasAdmin(ReadOnlyAdmin):
    """Aliases, which can be removed."""

    list_display = ("repository", "name", "version", "updated_at")
    list_filter = ("name",)
    list_select_related = ("repository__team", "version__repository__team")
    search_fields = ("name", "repository__name")
    ordering = ("-updated_at",)
    actions = ("remove",)

    @admin.action(description="Remove the selected aliases; their history stays")
    def remove(self, request: HttpRequest, queryset: QuerySet[Alias]) -> None:
        """Through the service, so that history and audit log know."""
        principal = principal_of_user(request.user)  # type: ignore[arg-type]  # staff are signed in
        for alias in queryset.select_related("repository__team"):
            try:
                services.remove_alias(principal=principal, repository=alias.repository, name=alias.name)
            except ZooError as error:
                self.message_user(request, f"Not changed: {error}", messages.ERROR)


@admin.register(AliasMove)
class AliasMoveAdmin(ReadOnlyAdmin):
    """The history of aliases."""

    list_display = ("repository", "name", "before", "after", "moved_by", "moved_at")
    list_filter = ("name",)
    list_select_related = (
        "repository__team",
        "before__repository__team",
        "after__repository__team",
        "moved_by",
    )
    ordering = ("-id",)
