"""Drawing a graph of steps as boxes in columns: each box right of those that it waits for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BOX_WIDTH, BOX_HEIGHT = 210, 46
GAP_X, GAP_Y = 56, 14
LABEL_LENGTH = 27
MAX_BOXES = 120
"""A larger graph is no picture any more; the table shows it."""


@dataclass(frozen=True)
class Box:
    """A step: ``key``, two lines of text, a state for its colour, and its corner in pixels."""

    key: str
    anchor: str
    title: str
    subtitle: str
    state: str
    x: int
    y: int


@dataclass(frozen=True)
class Line:
    """An edge as the path of an SVG."""

    path: str
    kind: str


@dataclass(frozen=True)
class Drawing:
    """Boxes and lines, and the size that they take."""

    boxes: Sequence[Box]
    lines: Sequence[Line]
    width: int
    height: int


@dataclass(frozen=True)
class Node:
    """What is drawn as a box."""

    key: str
    anchor: str
    subtitle: str
    state: str


def draw(nodes: Sequence[Node], edges: Iterable[tuple[str, str, str]]) -> Drawing | None:
    """The drawing of ``nodes`` (each after those that it waits for) and ``edges`` (source, target, kind).

    None for a graph that is too large to be looked at.
    """
    if not 0 < len(nodes) <= MAX_BOXES:
        return None
    edges = list(edges)
    columns = _columns(nodes, edges)
    filled: dict[int, int] = {}
    boxes: dict[str, Box] = {}
    for node in nodes:
        column = columns[node.key]
        row = filled.get(column, 0)
        filled[column] = row + 1
        x, y = column * (BOX_WIDTH + GAP_X), row * (BOX_HEIGHT + GAP_Y)
        boxes[node.key] = Box(node.key, node.anchor, _short(node.key), _short(node.subtitle), node.state, x, y)
    lines = [Line(_path(boxes[source], boxes[target]), kind) for source, target, kind in edges]
    width = (max(filled) + 1) * (BOX_WIDTH + GAP_X) - GAP_X
    height = max(filled.values()) * (BOX_HEIGHT + GAP_Y) - GAP_Y
    return Drawing(list(boxes.values()), lines, width, height)


def _columns(nodes: Sequence[Node], edges: Sequence[tuple[str, str, str]]) -> dict[str, int]:
    """By node, the length of the longest way to it."""
    sources: dict[str, list[str]] = {}
    for source, target, _ in edges:
        sources.setdefault(target, []).append(source)
    columns: dict[str, int] = {}
    for node in nodes:
        columns[node.key] = max((columns[source] + 1 for source in sources.get(node.key, ())), default=0)
    return columns


def _path(source: Box, target: Box) -> str:
    x1, y1 = source.x + BOX_WIDTH, source.y + BOX_HEIGHT // 2
    x2, y2 = target.x, target.y + BOX_HEIGHT // 2
    bend = max(GAP_X // 2, (x2 - x1) // 2)
    return f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"


def _short(text: str) -> str:
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"
