"""Finding repositories and versions: filters, full-text search, sorting by a metric, keyset pages."""

import re
from dataclasses import dataclass

from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db.models import Exists, F, FloatField, Max, Min, OuterRef, Prefetch, QuerySet, Subquery
from django.db.models.functions import Cast

from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_sdk.measures import find_measure
from zoo_sdk.vocabulary import RepositoryKind
from zoo_server.catalog.models import Alias, Metric, Repository, Version, VersionFile
from zoo_server.catalog.selectors.usable import UNUSABLE, usable
from zoo_server.catalog.selectors.versions import version_details
from zoo_server.catalog.selectors.visibility import visible_repositories, visible_versions
from zoo_server.rest.pagination import Order, Page, keyset_page
from zoo_server.rest.principals import Principal

SORTS = ("-created_at", "created_at", "name", "-name", "relevance")
MAX_SEARCH_WORDS = 20


@dataclass(frozen=True)
class RepositoryFilter:
    """What a list of repositories is narrowed to.

    ``state``, ``alias`` and ``format`` speak of one and the same version.  Without ``state`` it must be usable: neither
    draft nor withdrawn nor deleted.  ``deleted``: those that are deleted, instead of the others.
    """

    team: str | None = None
    task: str | None = None
    tags: tuple[str, ...] = ()
    licence: str | None = None
    architecture: str | None = None
    search: str | None = None
    visibility: str | None = None
    state: str | None = None
    alias: str | None = None
    format: str | None = None
    deleted: bool = False


def list_repositories(
    *,
    principal: Principal,
    kind: RepositoryKind,
    wanted: RepositoryFilter,
    sort: str | None,
    cursor: str | None,
    limit: int,
) -> Page[Repository]:
    """A page of repositories that the caller may see.

    ``sort``: one of :data:`SORTS`, or ``metric:NAME`` / ``-metric:NAME``: the best value of that metric over the
    repository's usable versions, repositories without one last.  Default: newest first, or by relevance when searching.
    """
    rows = visible_repositories(principal=principal).filter(kind=kind)
    rows = _narrowed(rows, principal, wanted)
    rows, order = _sorted(rows, sort or ("relevance" if wanted.search else "-created_at"), wanted.search)
    return keyset_page(described(rows), order, cursor=cursor, limit=limit)


def get_repository_details(repository: Repository) -> Repository:
    """The repository with everything that its description shows, as it is now."""
    return described(Repository.objects.filter(pk=repository.pk)).get()


def described(rows: QuerySet[Repository]) -> QuerySet[Repository]:
    """``rows`` with the newest usable version's number as ``latest``, and their aliases."""
    newest = usable(Version.objects.filter(repository=OuterRef("pk"))).order_by("-number")
    return (
        rows.annotate(latest=Subquery(newest.values("number")[:1]))
        .select_related("team", "created_by", "deletion__deleted_by")
        .prefetch_related(Prefetch("aliases", Alias.objects.select_related("version").order_by("name")))
    )


def list_versions(
    *,
    principal: Principal,
    repository: Repository,
    state: str | None = None,
    deleted: bool = False,
    cursor: str | None,
    limit: int,
) -> Page[Version]:
    """The versions of a repository that the caller may see, highest number first; the deleted ones on request only."""
    rows = visible_versions(principal=principal).filter(repository=repository, deletion__isnull=not deleted)
    if state:
        rows = rows.filter(state=state)
    rows = version_details(rows, principal=principal)
    return keyset_page(rows, [Order("number", descending=True)], cursor=cursor, limit=limit)


def versions_with_digest(*, principal: Principal, sha256: str, cursor: str | None, limit: int) -> Page[Version]:
    """The versions, newest first, that hold a file with this digest; those files are in ``version.holding``."""
    files = VersionFile.objects.filter(blob_id=sha256)
    rows = visible_versions(principal=principal).filter(Exists(files.filter(version=OuterRef("pk"))))
    rows = rows.prefetch_related(Prefetch("files", files, to_attr="holding"))
    return keyset_page(rows, [Order("id", descending=True)], cursor=cursor, limit=limit)


def _narrowed(rows: QuerySet[Repository], principal: Principal, wanted: RepositoryFilter) -> QuerySet[Repository]:
    rows = rows.filter(deletion__isnull=not wanted.deleted)
    equal = {"team__name": wanted.team} | {
        name: getattr(wanted, name) for name in ("task", "licence", "architecture", "visibility")
    }
    rows = rows.filter(**{name: value for name, value in equal.items() if value is not None})
    if wanted.tags:
        rows = rows.filter(tags__contains=list(wanted.tags))
    if wanted.search:
        rows = rows.filter(search=_query(wanted.search))
    if wanted.state or wanted.alias or wanted.format:
        versions = visible_versions(principal=principal).filter(repository=OuterRef("pk"))
        versions = versions.filter(state=wanted.state, deletion=None) if wanted.state else usable(versions)
        if wanted.alias:
            versions = versions.filter(aliases__name=wanted.alias)
        if wanted.format:
            versions = versions.filter(artifacts__format=wanted.format)
        rows = rows.filter(Exists(versions))
    return rows


def _query(text: str) -> SearchQuery:
    """All words must occur, each as the beginning of one: ``resn quant`` finds "resnet50, quantized"."""
    words = re.findall(r"[^\W_]+", text)[:MAX_SEARCH_WORDS]
    if not words:
        raise InvalidInput(f"search={text[:80]!r} has no word.", facts={"field": "search"})
    return SearchQuery(" & ".join(f"{word}:*" for word in words), search_type="raw", config="english")


def _sorted(rows: QuerySet[Repository], sort: str, search: str | None) -> tuple[QuerySet[Repository], list[Order]]:
    descending, name = sort.startswith("-"), sort.removeprefix("-")
    newest = Order("id", descending=True)
    if name.startswith("metric:"):
        rows = rows.annotate(best=Subquery(_best_value(name.removeprefix("metric:"))))
        return rows, [Order("best", descending=descending, nullable=True), newest]
    if sort not in SORTS:
        raise UnknownName("sort", sort[:80], [*SORTS, "metric:NAME", "-metric:NAME"])
    if name == "created_at":
        return rows, [Order("id", descending=descending)]
    if name == "name":
        return rows, [Order("name", descending=descending), newest]
    if not search:
        raise InvalidInput("sort=relevance needs search=...", facts={"field": "sort"})
    # PostgreSQL ranks in single precision; a cursor needs the exact double.
    rank = Cast(SearchRank(F("search"), _query(search)), FloatField())
    return rows.annotate(relevance=rank), [Order("relevance", descending=True), newest]


def _best_value(name: str) -> QuerySet[Metric, float]:
    """One correlated subquery, so that sorting costs no query per repository."""
    best = Min if find_measure(name).direction == "lower" else Max
    metrics = Metric.objects.filter(name=name, version__repository=OuterRef("pk"), version__deletion=None)
    metrics = metrics.exclude(version__state__in=UNUSABLE)
    return metrics.order_by().values("version__repository").annotate(best=best("value")).values_list("best", flat=True)
