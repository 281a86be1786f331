"""The routes of the catalogue: the same below ``models`` and below ``datasets``."""

from collections.abc import Iterator

from django.urls import URLPattern, path

from zoo_sdk.vocabulary import RepositoryKind
from zoo_server.catalog.api import (
    catalogue_views,
    keeping_views,
    part_views,
    reports,
    repository_views,
    retention_views,
    usage_views,
    version_views,
)
from zoo_server.catalog.api.comparison import ComparisonView
from zoo_server.catalog.api.leaderboard import LeaderboardView
from zoo_server.catalog.api.routes import KindView

ROUTES: tuple[tuple[str, type[KindView], str], ...] = (
    ("", repository_views.RepositoryList, "list"),
    ("/<str:team>/<str:name>", repository_views.RepositoryDetail, "detail"),
    ("/<str:team>/<str:name>/delete", keeping_views.DeleteRepository, "delete"),
    ("/<str:team>/<str:name>/restore", keeping_views.RestoreRepository, "restore"),
    ("/<str:team>/<str:name>/aliases", repository_views.AliasList, "aliases"),
    ("/<str:team>/<str:name>/aliases/<str:alias>", repository_views.AliasDetail, "alias"),
    ("/<str:team>/<str:name>/aliases/<str:alias>/history", repository_views.AliasHistory, "alias-history"),
    ("/<str:team>/<str:name>/versions", version_views.VersionList, "versions"),
    ("/<str:team>/<str:name>/versions/<str:ref>", version_views.VersionDetail, "version"),
    ("/<str:team>/<str:name>/versions/<str:ref>/seal", version_views.Seal, "seal"),
    ("/<str:team>/<str:name>/versions/<str:ref>/approve", version_views.Approve, "approve"),
    ("/<str:team>/<str:name>/versions/<str:ref>/deprecate", version_views.Deprecate, "deprecate"),
    ("/<str:team>/<str:name>/versions/<str:ref>/withdraw", version_views.Withdraw, "withdraw"),
    ("/<str:team>/<str:name>/versions/<str:ref>/delete", keeping_views.DeleteVersion, "delete-version"),
    ("/<str:team>/<str:name>/versions/<str:ref>/restore", keeping_views.RestoreVersion, "restore-version"),
    ("/<str:team>/<str:name>/versions/<str:ref>/pin", keeping_views.PinVersion, "pin"),
    ("/<str:team>/<str:name>/versions/<str:ref>/files", part_views.FileList, "files"),
    ("/<str:team>/<str:name>/versions/<str:ref>/files/<path:path>", part_views.FileDetail, "file"),
    ("/<str:team>/<str:name>/versions/<str:ref>/inspection/<path:path>", part_views.FileInspection, "inspection"),
    ("/<str:team>/<str:name>/versions/<str:ref>/tables/<str:table>/<path:path>", part_views.FactTable, "fact-table"),
    ("/<str:team>/<str:name>/versions/<str:ref>/artifacts", part_views.ArtifactList, "artifacts"),
    ("/<str:team>/<str:name>/versions/<str:ref>/lineage", part_views.Lineage, "lineage"),
    ("/<str:team>/<str:name>/versions/<str:ref>/strategy", part_views.Strategy, "strategy"),
    ("/<str:team>/<str:name>/versions/<str:ref>/metrics", part_views.MetricList, "metrics"),
    ("/<str:team>/<str:name>/versions/<str:ref>/reports", reports.ReportList, "reports"),
    ("/<str:team>/<str:name>/versions/<str:ref>/reports/<str:report>", reports.ReportDetail, "report"),
)


def _kind_routes(kind: RepositoryKind) -> Iterator[URLPattern]:
    for tail, view, name in ROUTES:
        yield path(f"{kind.value}s{tail}", view.as_view(kind=kind), name=f"{kind.value}s-{name}")


urlpatterns = [
    path("metric-definitions", version_views.MetricDefinitions.as_view(), name="metric-definitions"),
    path("catalogues", catalogue_views.CatalogueList.as_view(), name="catalogues"),
    path("catalogues/import", catalogue_views.CatalogueImportView.as_view(), name="catalogue-import"),
    path("catalogues/fetch", catalogue_views.FetchView.as_view(), name="catalogue-fetch"),
    path("catalogues/files", catalogue_views.RemoteFileList.as_view(), name="remote-files"),
    path("teams/<str:team>/usage", usage_views.UsageView.as_view(), name="team-usage"),
    path("teams/<str:team>/quota", usage_views.QuotaView.as_view(), name="team-quota"),
    path("teams/<str:team>/retention", retention_views.RetentionView.as_view(), name="retention"),
    path("teams/<str:team>/retention/preview", retention_views.RetentionPreview.as_view(), name="retention-preview"),
    path("compare", ComparisonView.as_view(), name="compare"),
    path("leaderboard", LeaderboardView.as_view(), name="leaderboard"),
    path("versions", version_views.Holders.as_view(), name="versions-with-digest"),
    *(route for kind in RepositoryKind for route in _kind_routes(kind)),
]
