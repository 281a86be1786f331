"""Every read of the catalogue; each takes the caller and shows only what that caller may see."""

from zoo_server.catalog.selectors.lineage import LineageGraph, lineage_graph
from zoo_server.catalog.selectors.listing import (
    RepositoryFilter,
    get_repository_details,
    list_repositories,
    list_versions,
    versions_with_digest,
)
from zoo_server.catalog.selectors.pointers import alias_history, get_alias, list_aliases
from zoo_server.catalog.selectors.remote_files import list_remote_files, remote_files
from zoo_server.catalog.selectors.reports import get_report, list_reports
from zoo_server.catalog.selectors.versions import (
    get_file,
    get_version_details,
    inspected_file,
    list_metrics,
    resolve_version,
    version_details,
    version_of,
    with_short_facts,
)
from zoo_server.catalog.selectors.visibility import get_repository, visible_repositories, visible_versions

__all__ = [
    "LineageGraph",
    "RepositoryFilter",
    "alias_history",
    "get_alias",
    "get_file",
    "get_report",
    "get_repository",
    "get_repository_details",
    "get_version_details",
    "inspected_file",
    "lineage_graph",
    "list_aliases",
    "list_metrics",
    "list_remote_files",
    "list_reports",
    "list_repositories",
    "list_versions",
    "remote_files",
    "resolve_version",
    "version_details",
    "version_of",
    "versions_with_digest",
    "visible_repositories",
    "visible_versions",
    "with_short_facts",
]
