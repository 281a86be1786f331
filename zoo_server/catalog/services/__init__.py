"""Every write to the catalogue: each service authorises, changes and records an audit event in one transaction."""

from zoo_server.catalog.services.aliases import remove_alias, set_alias
from zoo_server.catalog.services.deletions import (
    bury_due,
    discard_repository,
    discard_version,
    restore_repository,
    restore_version,
)
from zoo_server.catalog.services.files import (
    add_artifact,
    add_file,
    add_held_file,
    add_remote_file,
    add_uploaded_file,
    remove_file,
)
from zoo_server.catalog.services.holdings import release_holdings
from zoo_server.catalog.services.importing import import_catalogue
from zoo_server.catalog.services.lineage import add_parent, inherit_strategy, set_strategy
from zoo_server.catalog.services.metrics import add_metric
from zoo_server.catalog.services.mirroring import mirror_next, request_mirrors
from zoo_server.catalog.services.pins import pin_version, unpin_version
from zoo_server.catalog.services.reports import add_report
from zoo_server.catalog.services.repositories import create_repository, update_repository
from zoo_server.catalog.services.retention import apply_retention, remove_retention, set_retention
from zoo_server.catalog.services.states import approve_version, deprecate_version, seal_version, withdraw_version
from zoo_server.catalog.services.versions import create_version, delete_version, update_version

__all__ = [
    "add_artifact",
    "add_file",
    "add_held_file",
    "add_metric",
    "add_parent",
    "add_remote_file",
    "add_report",
    "add_uploaded_file",
    "apply_retention",
    "approve_version",
    "bury_due",
    "create_repository",
    "create_version",
    "delete_version",
    "deprecate_version",
    "discard_repository",
    "discard_version",
    "import_catalogue",
    "inherit_strategy",
    "mirror_next",
    "pin_version",
    "release_holdings",
    "remove_alias",
    "remove_file",
    "remove_retention",
    "request_mirrors",
    "restore_repository",
    "restore_version",
    "seal_version",
    "set_alias",
    "set_retention",
    "set_strategy",
    "unpin_version",
    "update_repository",
    "update_version",
    "withdraw_version",
]
