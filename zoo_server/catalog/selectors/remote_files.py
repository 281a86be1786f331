"""Remote files: which ones there are, and how far their fetching is."""

from django.db.models import QuerySet

from zoo_server.catalog.models import VersionFile
from zoo_server.catalog.selectors.visibility import visible_versions
from zoo_server.rest.pagination import Order, Page, keyset_page
from zoo_server.rest.principals import Principal

AWAY = "away"
"""The state of a file that nobody asked for."""


def remote_files(*, principal: Principal) -> QuerySet[VersionFile]:
    """The remote files of versions that the caller may see."""
    rows = VersionFile.objects.exclude(address="").filter(
        version__in=visible_versions(principal=principal).values("pk")
    )
    return rows.select_related("version__repository__team", "blob", "mirror__upload")


def list_remote_files(
    *,
    principal: Principal,
    team: str | None = None,
    model: str | None = None,
    state: str | None = None,
    cursor: str | None,
    limit: int,
) -> Page[VersionFile]:
    """A page of them; ``state``: queued, fetching, done, failed, or ``away`` for files that nobody asked for."""
    rows = remote_files(principal=principal)
    if team:
        rows = rows.filter(version__repository__team__name=team)
    if model:
        rows = rows.filter(version__repository__name=model)
    if state == AWAY:
        rows = rows.filter(mirror=None, blob=None)
    elif state:
        rows = rows.filter(mirror__state=state)
    return keyset_page(rows, [Order("id")], cursor=cursor, limit=limit)
