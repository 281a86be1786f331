"""Several versions side by side: like with like, reported and measured apart, and which of them are not beaten.

Accuracy is compared on one data set and split; latency, throughput, load time and memory within one hardware
fingerprint, batch and number of threads.  What is not comparable stays out of the fronts, and the reason is told.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from django.db.models import Prefetch

from zoo_sdk.errors import InvalidInput
from zoo_sdk.measures import find_measure
from zoo_sdk.vocabulary import MetricSource, RepositoryKind
from zoo_server.catalog.models import Metric, Version
from zoo_server.catalog.selectors.fronts import Point, pareto_front
from zoo_server.catalog.selectors.leaderboard import MAIN_METRIC
from zoo_server.catalog.selectors.predictions import Agreement, agreements
from zoo_server.catalog.selectors.resolving import resolve_versions
from zoo_server.catalog.selectors.versions import metric_details
from zoo_server.rest.principals import Principal

MAX_VERSIONS = 20
MAX_METRICS = 2000
"""Of one version: the newest ones."""
ON_DATA = ("top5", "f1_macro", "calibration_error", "box_ap", "mask_ap")
OF_THE_MACHINE = ("latency_ms", "latency_ms_p95", "latency_ms_p99", "throughput", "load_ms", "peak_memory_bytes")
OF_THE_MODEL = ("size_bytes", "macs", "parameters", "effective_bits")
COSTS = ("latency_ms", "size_bytes", "macs")
"""What accuracy is weighed against, each in a front of its own."""
KeyT = TypeVar("KeyT", bound=Hashable)


class Place(NamedTuple):
    """A data set (its reference, or the name under which a figure was reported) and its split."""

    dataset: str
    split: str


class Condition(NamedTuple):
    """What a figure of the machine depends on; those of another condition are not comparable with it."""

    fingerprint: str
    batch: int
    threads: int


@dataclass(frozen=True)
class ComparisonQuery:
    """What is compared.  What is not asked for is where most of the versions have a figure.

    ``metric``: default the task's own.  ``dataset`` is a reference such as ``team/name@1`` or a reported name.
    """

    references: tuple[str, ...]
    metric: str | None = None
    dataset: str | None = None
    split: str | None = None
    fingerprint: str | None = None
    batch: int | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Compared:
    """A version's figure of a metric; ``why_not``: it is not comparable with those of the others, because ..."""

    metric: Metric
    why_not: str | None = None


@dataclass(frozen=True)
class FrontPoint:
    """A version in a front's plane."""

    version: Version
    point: Point
    on_front: bool


@dataclass(frozen=True)
class Front:
    """Accuracy against one cost; ``left_out``: versions without comparable figures, and why."""

    source: MetricSource
    cost: str
    points: tuple[FrontPoint, ...]
    left_out: tuple[tuple[Version, str], ...]


@dataclass(frozen=True)
class Comparison:
    """Versions with their metrics (newest first), and the circumstances under which they are compared."""

    versions: tuple[Version, ...]
    metric: str
    measured_on: Place | None
    reported_on: Place | None
    condition: Condition | None
    fingerprints: tuple[tuple[Metric, int], ...]
    """For each fingerprint the newest metric that was found on it, and how many of the versions were timed there."""
    agreements: tuple[Agreement, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The metrics that are shown, that of the comparison first."""
        others = (name for name in (*ON_DATA, *OF_THE_MACHINE, *OF_THE_MODEL) if name != self.metric)
        return (self.metric, *others)

    def figure(self, version: Version, name: str, source: MetricSource) -> Compared | None:
        """The figure that counts: reported: the first; measured: the newest that is comparable, of several runtimes the
        best; else the newest of all, with the reason why it is not comparable.
        """
        rows = [item for item in figures_of(version) if item.name == name and item.source == source]
        if not rows:
            return None
        if source == MetricSource.REPORTED:
            rows.reverse()
        fitting = [item for item in rows if self._why_not(item) is None]
        if not fitting:
            return Compared(rows[0], self._why_not(rows[0]))
        if name not in OF_THE_MACHINE:
            return Compared(fitting[0])
        by_runtime = {item.runtime: item for item in reversed(fitting)}
        better = max if find_measure(name).direction == "higher" else min
        return Compared(better(by_runtime.values(), key=lambda item: item.value))

    def _why_not(self, metric: Metric) -> str | None:
        if metric.name in OF_THE_MODEL:
            return None
        if metric.name in OF_THE_MACHINE:
            return _why_not_on_machine(metric, self.condition)
        place = self.measured_on if metric.source == MetricSource.MEASURED else self.reported_on
        found = place_of(metric)
        if place is None or not _is_at(found, place):
            return f"it is on {found.dataset or 'an unnamed data set'} {found.split}".rstrip()
        return None

    def front(self, cost: str, source: MetricSource) -> Front:
        """Which versions no other one beats in accuracy and in ``cost``, by figures of one source."""
        found: list[tuple[Version, Point]] = []
        left_out: list[tuple[Version, str]] = []
        for version in self.versions:
            pair = [(name, self.figure(version, name, source)) for name in (self.metric, cost)]
            missing = [_missing(name, figure, source) for name, figure in pair]
            if reason := next((text for text in missing if text), None):
                left_out.append((version, reason))
            else:
                accuracy, paid = (figure.metric.value for _, figure in pair if figure)
                found.append((version, Point(accuracy, paid)))
        higher = find_measure(self.metric).direction != "lower"
        flags = pareto_front([point for _, point in found], higher_is_better=higher)
        points = tuple(FrontPoint(*pair, on) for pair, on in zip(found, flags, strict=True))
        return Front(source, cost, points, tuple(left_out))


def compare_versions(*, principal: Principal, query: ComparisonQuery) -> Comparison:
    """The versions side by side, in a number of queries that does not depend on how many there are.

    Raises:
        InvalidInput: fewer than two or more than :data:`MAX_VERSIONS` versions, or no metric that fits them.
        NotFound: a version does not exist or may not be seen.

    """
    if not 1 < len(set(query.references)) <= MAX_VERSIONS:
        raise InvalidInput(
            f"{len(set(query.references))} versions are named; 2 to {MAX_VERSIONS} can be compared.",
            facts={"field": "version"},
        )
    names = {*MAIN_METRIC.values(), *ON_DATA, *OF_THE_MACHINE, *OF_THE_MODEL}
    names |= {find_measure(query.metric).name} if query.metric else set()
    metrics = metric_details(Metric.objects.filter(name__in=names), principal=principal).order_by("-id")
    rows = Version.objects.prefetch_related(
        "strategy", "artifacts", Prefetch("metrics", metrics[:MAX_METRICS], to_attr="figures")
    )
    versions = tuple(
        resolve_versions(principal=principal, references=query.references, kind=RepositoryKind.MODEL, details=rows)
    )
    metric = query.metric or _main_metric(versions)
    figures = [item for version in versions for item in figures_of(version)]
    accuracy = [item for item in figures if item.name == metric]
    measured_on = _place(query, [item for item in accuracy if item.source == MetricSource.MEASURED])
    timed = [item for item in figures if item.name == "latency_ms" and condition_of(item)]
    return Comparison(
        versions=versions,
        metric=metric,
        measured_on=measured_on,
        reported_on=_place(query, [item for item in accuracy if item.source == MetricSource.REPORTED]),
        condition=_condition(query, timed),
        fingerprints=_fingerprints(timed),
        agreements=tuple(_agreements(versions, accuracy, measured_on)),
    )


def figures_of(version: Version) -> list[Metric]:
    """The metrics of a version of :func:`compare_versions`, newest first."""
    found: list[Metric] = version.figures  # type: ignore[attr-defined]
    return found


def condition_of(metric: Metric) -> Condition | None:
    """Under which condition a figure of the machine was found; None where it does not say."""
    found = [metric.details.get(name) for name in Condition._fields]
    if metric.source == MetricSource.MEASURED and isinstance(found[0], str):
        # A load time has neither batch nor threads.
        batch, threads = (value if isinstance(value, int) else 0 for value in found[1:])
        return Condition(found[0], batch, threads)
    return None


def place_of(metric: Metric) -> Place:
    """On what an accuracy was found."""
    held = str(metric.dataset) if metric.dataset else "(hidden)" if metric.dataset_id else ""
    return Place(held or metric.dataset_name, metric.split)


def _is_at(found: Place, place: Place) -> bool:
    return found.dataset.casefold() == place.dataset.casefold() and found.split == place.split


def _why_not_on_machine(metric: Metric, condition: Condition | None) -> str | None:
    found = condition_of(metric)
    if found is None:
        return "it does not say on which hardware it was found"
    if condition is None or found.fingerprint != condition.fingerprint:
        return "it was found on other hardware"
    if metric.name not in {"load_ms", "peak_memory_bytes"} and found != condition:
        return f"it was found with batch {found.batch} and {found.threads} threads"
    return None


def _missing(name: str, figure: Compared | None, source: MetricSource) -> str | None:
    if figure is None:
        return f"no {source} {name}"
    return f"{name}: {figure.why_not}" if figure.why_not else None


def _main_metric(versions: Sequence[Version]) -> str:
    """Of the versions' task, or the one that most of them have."""
    tasks = {version.repository.task for version in versions}
    known = {MAIN_METRIC[task] for task in tasks if task in MAIN_METRIC}
    if len(known) > 1:
        raise InvalidInput(
            f"The versions are of different tasks: {', '.join(sorted(tasks))}.",
            hint="Name the metric to compare them by: metric=...",
            facts={"field": "metric"},
        )
    if known:
        return known.pop()
    present = {name for name in MAIN_METRIC.values() for item in versions for m in figures_of(item) if m.name == name}
    return next((name for name in MAIN_METRIC.values() if name in present), next(iter(MAIN_METRIC.values())))


def _place(query: ComparisonQuery, figures: Sequence[Metric]) -> Place | None:
    fitting = [
        (item, place)
        for item in figures
        if (place := place_of(item))
        and (query.dataset is None or place.dataset.casefold() == query.dataset.casefold())
        and query.split in {None, place.split}
    ]
    return _commonest((item.version_id, Place(place.dataset, place.split)) for item, place in fitting)


def _condition(query: ComparisonQuery, timed: Sequence[Metric]) -> Condition | None:
    fitting = [
        (item.version_id, found)
        for item in timed
        if (found := condition_of(item))
        and query.fingerprint in {None, found.fingerprint}
        and query.batch in {None, found.batch}
        and query.threads in {None, found.threads}
    ]
    return _commonest(fitting)


def _commonest(pairs: Iterable[tuple[Hashable, KeyT]]) -> KeyT | None:
    """The key that most versions have; of several the first one, which is the newest of the first version."""
    counts = Counter(key for _, key in dict.fromkeys(pairs))
    return counts.most_common(1)[0][0] if counts else None


def _fingerprints(timed: Sequence[Metric]) -> tuple[tuple[Metric, int], ...]:
    newest: dict[str, Metric] = {}
    versions: dict[str, set[object]] = {}
    for item in sorted(timed, key=lambda row: row.pk, reverse=True):
        fingerprint = str(item.details["fingerprint"])
        newest.setdefault(fingerprint, item)
        versions.setdefault(fingerprint, set()).add(item.version_id)
    return tuple((metric, len(versions[fingerprint])) for fingerprint, metric in newest.items())


def _agreements(versions: Sequence[Version], accuracy: Sequence[Metric], place: Place | None) -> list[Agreement]:
    held = [item.dataset_id for item in accuracy if place and item.dataset and place_of(item) == place]
    return agreements(versions, dataset_id=held[0], split=place.split) if held and place and held[0] else []
