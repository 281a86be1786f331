"""The table of a task: versions with their reported and their measured figures side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from django.db.models import Exists, FloatField, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_sdk.measures import find_measure
from zoo_sdk.vocabulary import MetricSource, RepositoryKind
from zoo_server.catalog.models import Metric, Version, VersionFile
from zoo_server.catalog.selectors.usable import usable
from zoo_server.catalog.selectors.versions import metric_details
from zoo_server.catalog.selectors.visibility import visible_versions
from zoo_server.rest.pagination import Order, Page, keyset_page
from zoo_server.rest.principals import Principal

MAIN_METRIC: Mapping[str, str] = MappingProxyType(
    {"image-classification": "top1", "object-detection": "box_ap", "instance-segmentation": "mask_ap"}
)
"""What a task's models are ranked by."""
OTHER_COLUMNS = ("parameters", "macs", "size_bytes", "latency_ms")
SORTS = ("best", "reported", "measured", "name", "created_at")
FILE_ORDER = ("artifact__position", "position", "path")
BEST, REPORTED, MEASURED = "best", "reported", "measured"


@dataclass(frozen=True)
class LeaderboardQuery:
    """Which rows, by which metric (default: the task's), in which order (default: the best first).

    ``sort``: one of :data:`SORTS` with ``-`` before it for descending; ``best`` is the measured value, else the
    reported one, in the metric's own direction.  ``dataset``: only rows with a figure of the ranking metric on the data
    set of that name, and only those figures.  ``mirrored``: only versions whose files are, or are not, here.
    """

    task: str
    metric: str | None = None
    dataset: str | None = None
    team: str | None = None
    catalogue: str | None = None
    mirrored: bool | None = None
    sort: str = BEST


def ranking_metric(query: LeaderboardQuery) -> str:
    """The metric by which the table is ranked; raises :class:`InvalidInput` where the task has none of its own."""
    name = query.metric or MAIN_METRIC.get(query.task)
    if name is None:
        raise InvalidInput(
            f"The task {query.task[:60]!r} has no metric of its own.",
            hint=f"Name one with metric=...; {', '.join(MAIN_METRIC)} have one.",
            facts={"field": "metric"},
        )
    return find_measure(name).name


def leaderboard(*, principal: Principal, query: LeaderboardQuery, cursor: str | None, limit: int) -> Page[Version]:
    """A page of the table: usable versions of the task with files and the metrics of its columns.

    The reported figure of a column is the one that was reported first, the measured one the newest.
    """
    metric = ranking_metric(query)
    rows = visible_versions(principal=principal).filter(
        repository__kind=RepositoryKind.MODEL, repository__task=query.task
    )
    rows = usable(rows)
    if query.team:
        rows = rows.filter(repository__team__name=query.team)
    if query.catalogue:
        rows = rows.filter(catalogue_entries__catalogue=query.catalogue)
    if query.mirrored is not None:
        held = Exists(VersionFile.objects.filter(version=OuterRef("pk"), blob__isnull=False))
        away = Exists(VersionFile.objects.filter(version=OuterRef("pk"), blob=None))
        here = Q(held) & ~Q(away)
        rows = rows.filter(here if query.mirrored else ~here)
    about = _about(query.dataset)
    rows = rows.annotate(
        reported=_value(metric, MetricSource.REPORTED, about, "id"),
        measured=_value(metric, MetricSource.MEASURED, about, "-id"),
    ).annotate(best=Coalesce("measured", "reported"))
    columns = Metric.objects.filter(name__in=columns_of(metric)).order_by("id")
    if query.dataset:
        rows = rows.filter(best__isnull=False)
        columns = columns.filter(about | ~Q(name=metric))
    rows = rows.prefetch_related(
        Prefetch("files", VersionFile.objects.select_related("blob").order_by(*FILE_ORDER)),
        "strategy",
        "artifacts",
        Prefetch("metrics", metric_details(columns, principal=principal)),
    )
    return keyset_page(rows, _order(query.sort, metric), cursor=cursor, limit=limit)


def columns_of(metric: str) -> tuple[str, ...]:
    """The metrics that the table shows, the ranking one first."""
    return (metric, *(name for name in OTHER_COLUMNS if name != metric))


def figures_of(version: Version, name: str) -> tuple[Metric | None, Metric | None]:
    """The reported and the measured figure of a column."""
    found = [item for item in version.metrics.all() if item.name == name]
    reported = next((item for item in found if item.source == MetricSource.REPORTED), None)
    measured = [item for item in found if item.source == MetricSource.MEASURED]
    return reported, measured[-1] if measured else None


def _about(dataset: str | None) -> Q:
    """Figures on the data set of that name, written in any case: one held here, or one that was only named."""
    if dataset is None:
        return Q()
    return Q(dataset_name__iexact=dataset) | Q(dataset__repository__name__iexact=dataset)


def _value(metric: str, source: MetricSource, about: Q, order: str) -> Subquery:
    found: QuerySet[Any] = Metric.objects.filter(about, version=OuterRef("pk"), name=metric, source=source)
    return Subquery(found.order_by(order).values("value")[:1], output_field=FloatField())


def _order(sort: str, metric: str) -> list[Order]:
    descending, name = sort.startswith("-"), sort.removeprefix("-")
    if name not in SORTS:
        raise UnknownName("sort", sort[:80], [*SORTS, *(f"-{known}" for known in SORTS)])
    newest = Order("id", descending=True)
    if name == "created_at":
        return [Order("id", descending=descending)]
    if name == "name":
        return [Order("repository__name", descending=descending), Order("id")]
    if name == BEST:  # in the metric's own direction: the best row comes first
        higher = find_measure(metric).direction != "lower"
        return [Order(BEST, descending=higher != descending, nullable=True), newest]
    return [Order(name, descending=descending, nullable=True), newest]
