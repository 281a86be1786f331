"""Aliases and where they pointed before."""

from zoo_sdk.errors import NotFound
from zoo_server.catalog.models import Alias, AliasMove, Repository
from zoo_server.rest.pagination import Order, Page, keyset_page


def list_aliases(*, repository: Repository, cursor: str | None, limit: int) -> Page[Alias]:
    """The aliases of a repository by name."""
    rows = Alias.objects.filter(repository=repository).select_related("version")
    return keyset_page(rows, [Order("name")], cursor=cursor, limit=limit)


def get_alias(*, repository: Repository, name: str) -> Alias:
    """The alias of that name."""
    found = Alias.objects.filter(repository=repository, name=name).select_related("version").first()
    if found is None:
        raise NotFound(f"{repository} has no alias {name[:120]!r}.", hint="GET .../aliases lists them.")
    return found


def alias_history(*, repository: Repository, name: str, cursor: str | None, limit: int) -> Page[AliasMove]:
    """The moves of an alias, newest first; also of one that was removed."""
    rows = AliasMove.objects.filter(repository=repository, name=name)
    if not rows.exists():
        raise NotFound(f"{repository} never had an alias {name[:120]!r}.")
    rows = rows.select_related("before", "after", "moved_by")
    return keyset_page(rows, [Order("id", descending=True)], cursor=cursor, limit=limit)
