"""The conversion planner: a pure function from starts and edges to the cheapest available path."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Any

from zoo_sdk.conversions import ConversionEdge
from zoo_sdk.vocabulary import Precision

MAX_STEPS = 8
ASSUMED = Precision.FP32
"""What weights are taken for whose artifact names no precision."""
OUR_METADATA = "zoo."
"""Keys of a safetensors file's metadata that begin so say what the details of an artifact would say."""


@dataclass(frozen=True)
class Start:
    """An artifact that a conversion can begin with; ``path`` is its first file, ``told`` the names in its details."""

    format: str
    precision: Precision | None
    path: str
    told: frozenset[str] = frozenset()

    @classmethod
    def described(
        cls, format_name: str, path: str, *, precision: str | None, details: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> "Start":
        """From an artifact's description and from the ``facts`` that the inspection found in its first file."""
        known = precision or facts.get("precision")
        told = {name for name, value in details.items() if value}
        keys = facts.get("metadata_keys", ())
        told |= {key.removeprefix(OUR_METADATA) for key in keys if key.startswith(OUR_METADATA)}
        return cls(format_name, Precision(known) if known else None, path, frozenset(told))


@dataclass(frozen=True)
class OfferedEdge:
    """An edge of an operation; ``number`` is its place in the manifest, ``reasons`` say why it cannot be taken now.

    ``open_questions``: what it asks and the caller did not say; the source has to tell it.
    """

    operation: str
    number: int
    edge: ConversionEdge
    params: Mapping[str, Any] = field(default_factory=dict, hash=False)
    reasons: tuple[str, ...] = ()
    open_questions: frozenset[str] = frozenset()

    @property
    def without_obstacles(self) -> "OfferedEdge":
        """The edge as it would be if nothing stood in its way."""
        return replace(self, reasons=(), open_questions=frozenset())


@dataclass(frozen=True)
class ConversionStep:
    """One edge of a path, with what it starts from and what it makes."""

    offered: OfferedEdge
    source: tuple[str, Precision]
    target: tuple[str, Precision]


@dataclass(frozen=True)
class Wanted:
    """What a conversion shall end with.  ``through``: operations that have to be on the way."""

    format: str
    precision: Precision | None = None
    through: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ConversionPath:
    """What the planner found.  ``start`` None: there is no path, and ``problem`` says why.

    ``unavailable``: edges that lie between the starts and the target, but cannot be taken, with their reasons.
    """

    start: Start | None
    steps: tuple[ConversionStep, ...]
    unavailable: tuple[OfferedEdge, ...]
    problem: str = ""

    @property
    def cost(self) -> int:
        """The sum over the steps."""
        return sum(step.offered.edge.cost for step in self.steps)


@dataclass(frozen=True)
class _Node:
    """Where a path is: format, precision, what is told there, and which of the wanted operations it went through."""

    format: str
    precision: Precision
    told: frozenset[str] = frozenset()
    through: frozenset[str] = frozenset()


def plan_path(starts: Sequence[Start], edges: Iterable[OfferedEdge], wanted: Wanted) -> ConversionPath:
    """The cheapest path of available edges; of equal ones the shorter, then the first by operation names.

    A path changes the precision only to the wanted one (none wanted: it keeps the start's), so that nothing is lost on
    the way.  The same arguments give the same path.
    """
    known = sorted(edges, key=lambda item: (item.operation, item.number))
    usable = [item for item in known if not item.reasons]
    unavailable = tuple(_between(starts, _with_questions(starts, known), wanted))
    found = None
    for order, start in enumerate(starts):
        path = _path_from(start, usable, wanted)
        if path is not None:
            key = (sum(step.offered.edge.cost for step in path), len(path), order)
            if found is None or key < found[0]:
                found = (key, start, path)
    if found is None:
        return ConversionPath(None, (), unavailable, _why_none(starts, known, wanted))
    return ConversionPath(found[1], tuple(found[2]), unavailable)


def _path_from(start: Start, edges: Sequence[OfferedEdge], wanted: Wanted) -> list[ConversionStep] | None:
    precision = start.precision or ASSUMED
    return _cheapest(_Node(start.format, precision, start.told), edges, wanted, wanted.precision or precision)


def _cheapest(
    begin: _Node, edges: Sequence[OfferedEdge], wanted: Wanted, goal: Precision
) -> list[ConversionStep] | None:
    """Dijkstra's algorithm; the queue's order (cost, length, names of the edges) makes ties deterministic."""
    counter = 0  # steps cannot be compared, and this never lets two entries come so far
    queue: list[tuple[int, int, tuple[tuple[str, int], ...], int, _Node, list[ConversionStep]]] = [
        (0, 0, (), counter, begin, [])
    ]
    settled: set[_Node] = set()
    while queue:
        cost, length, names, _, node, path = heappop(queue)
        if (node.format, node.precision) == (wanted.format, goal) and node.through == wanted.through:
            return path
        if node in settled or length == MAX_STEPS:
            continue
        settled.add(node)
        for item in edges:
            reached = _after(node, item, {begin.precision, goal}, wanted.through)
            if reached is not None and reached not in settled:
                counter += 1
                step = ConversionStep(item, (node.format, node.precision), (reached.format, reached.precision))
                name = (item.operation, item.number)
                heappush(queue, (cost + item.edge.cost, length + 1, (*names, name), counter, reached, [*path, step]))
    return None


def _after(node: _Node, item: OfferedEdge, allowed: set[Precision], through: frozenset[str]) -> _Node | None:
    """Where an edge leads from ``node``; None: it does not start there, or makes a precision that is not allowed."""
    edge = item.edge
    if edge.source != node.format or (edge.takes and node.precision not in edge.takes):
        return None
    if not item.open_questions <= node.told:
        return None
    precision = edge.precision or node.precision
    if precision not in allowed:
        return None
    return _Node(edge.target, precision, frozenset(edge.tells), node.through | ({item.operation} & through))


def _with_questions(starts: Sequence[Start], edges: Sequence[OfferedEdge]) -> list[OfferedEdge]:
    """The edges, with a reason at those whose questions no start and no open edge before them answers."""
    told: dict[str, list[frozenset[str]]] = {}
    for start in starts:
        told.setdefault(start.format, []).append(start.told)
    for item in edges:
        if not item.reasons:
            told.setdefault(item.edge.target, []).append(frozenset(item.edge.tells))
    found = []
    for item in edges:
        answered = not item.open_questions or any(item.open_questions <= one for one in told.get(item.edge.source, ()))
        reasons = () if answered else tuple(f"needs the option {item.operation}.{name}" for name in item.open_questions)
        found.append(replace(item, reasons=(*item.reasons, *sorted(reasons))))
    return found


def _between(starts: Sequence[Start], edges: Sequence[OfferedEdge], wanted: Wanted) -> list[OfferedEdge]:
    """The edges with reasons that could be on a way from a start to what is wanted, were all edges available.

    Such a way comes back to a format with which it can start, or leaves the target again, only if the two are the same.
    """
    begin = {start.format for start in starts}
    precisions = {start.precision or ASSUMED for start in starts} | {wanted.precision, None}
    left = set() if wanted.format in begin else {wanted.format}
    onward = [
        item
        for item in edges
        if item.edge.precision in precisions
        and (not item.edge.takes or precisions.intersection(item.edge.takes))
        and (
            (item.edge.precision or item.operation in wanted.through)
            if item.edge.source == item.edge.target
            else (item.edge.target not in begin - {wanted.format} and item.edge.source not in left)
        )
    ]
    forward = _closure(begin, [(item.edge.source, item.edge.target) for item in onward])
    backward = _closure({wanted.format}, [(item.edge.target, item.edge.source) for item in onward])
    return [item for item in onward if item.reasons and item.edge.source in forward and item.edge.target in backward]


def _closure(begin: set[str], arrows: Sequence[tuple[str, str]]) -> set[str]:
    reached, grown = set(begin), True
    while grown:
        more = {target for source, target in arrows if source in reached} - reached
        reached, grown = reached | more, bool(more)
    return reached


def _why_none(starts: Sequence[Start], edges: Sequence[OfferedEdge], wanted: Wanted) -> str:
    """Why there is no path, in a sentence."""
    have = " or ".join(f"{start.format} ({start.precision or ASSUMED})" for start in starts) or "no artifact"
    goal = f"{wanted.format}{f' ({wanted.precision})' if wanted.precision else ''}"
    if not any(item.edge.target == wanted.format for item in edges):
        return f"No operation that is known here converts anything to {wanted.format}."
    without_obstacles = [item.without_obstacles for item in edges]
    if any(_path_from(start, without_obstacles, wanted) for start in starts):
        return f"There is a way from {have} to {goal}, but not all of its edges can be taken."
    precisions = sorted(
        {
            precision.value
            for precision in Precision
            if any(_path_from(start, without_obstacles, Wanted(wanted.format, precision)) for start in starts)
        }
    )
    if precisions:
        through = f" through {', '.join(sorted(wanted.through))}" if wanted.through else ""
        return f"No way leads from {have} to {goal}{through}; {wanted.format} can be made as {', '.join(precisions)}."
    return f"No way leads from {have} to {goal}."
