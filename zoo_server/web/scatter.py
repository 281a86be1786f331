"""Draws a Pareto front as SVG: one dot for each version, the front as a line; readable in light and dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from zoo_server.catalog.api.comparison import FrontBody, FrontPointBody

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 18, 46
MAX_NAME = 34
TICKS = 4
MARGIN = 0.08
"""Of the range of values, left free on both sides."""


@dataclass(frozen=True)
class Dot:
    """A version in the picture; ``anchor``: on which side of the dot its name stands."""

    x: float
    y: float
    name: str
    reference: str
    title: str
    on_front: bool
    anchor: str
    name_x: float
    name_y: float


@dataclass(frozen=True)
class Tick:
    """A value on an axis."""

    place: float
    text: str


@dataclass(frozen=True)
class Scatter:
    """What the template draws, in pixels."""

    title: str
    source: str
    cost: str
    dots: tuple[Dot, ...]
    line: str
    ticks_x: tuple[Tick, ...]
    ticks_y: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def draw(front: FrontBody) -> Scatter | None:
    """The picture of a front; None with fewer than two points, which show nothing."""
    if len(front.points) < 2:
        return None
    across = _Axis([point.cost for point in front.points], LEFT, WIDTH - RIGHT)
    up = _Axis([point.accuracy for point in front.points], HEIGHT - BOTTOM, TOP)
    dots = _spread([_dot(front, point, across, up) for point in front.points])
    best = sorted((dot for dot in dots if dot.on_front), key=lambda dot: dot.x)
    return Scatter(
        title=f"{front.metric} against {front.cost}, {front.source}",
        source=front.source,
        cost=f"{front.cost} ({front.unit})" if front.unit else front.cost,
        dots=tuple(dots),
        line=" ".join(f"{dot.x:.1f},{dot.y:.1f}" for dot in best),
        ticks_x=across.ticks(),
        ticks_y=up.ticks(),
    )


class _Axis:
    """From values to pixels; logarithmic where the values span more than a factor of twenty."""

    def __init__(self, values: Sequence[float], begin: int, end: int) -> None:
        low, high = min(values), max(values)
        self._logarithmic = low > 0 and high / low > 20
        low, high = self._scaled(low), self._scaled(high)
        margin = (high - low or abs(high) or 1) * MARGIN
        self._low, self._high = low - margin, high + margin
        self._begin, self._end = begin, end

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self._logarithmic else value

    def __call__(self, value: float) -> float:
        share = (self._scaled(value) - self._low) / (self._high - self._low)
        return self._begin + share * (self._end - self._begin)

    def ticks(self) -> tuple[Tick, ...]:
        """Evenly spread ones."""
        found = []
        for index in range(TICKS + 1):
            scaled = self._low + (self._high - self._low) * index / TICKS
            value = 10**scaled if self._logarithmic else scaled
            place = self._begin + (self._end - self._begin) * index / TICKS
            found.append(Tick(round(place, 1), short(value)))
        return tuple(found)


def short(value: float) -> str:
    """A number for an axis: ``12.3M``."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{letter}"
    return f"{value:.3g}"


def _dot(front: FrontBody, point: FrontPointBody, across: _Axis, up: _Axis) -> Dot:
    x, y = round(across(point.cost), 1), round(up(point.accuracy), 1)
    name = point.reference.split("/", 1)[-1]
    name = name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"
    is_left = x < (LEFT + WIDTH - RIGHT) / 2
    title = f"{point.reference}: {front.metric} {point.accuracy:g}, {front.cost} {point.cost:g} {front.unit}".rstrip()
    return Dot(
        x=x,
        y=y,
        name=name,
        reference=point.reference,
        title=title,
        on_front=point.on_front,
        anchor="start" if is_left else "end",
        name_x=x + 8 if is_left else x - 8,
        name_y=y + 4,
    )


def _spread(dots: Sequence[Dot]) -> list[Dot]:
    """Names that would lie on one another are moved down a line."""
    placed: list[Dot] = []
    for dot in sorted(dots, key=lambda item: item.y):
        taken = [other.name_y for other in placed if abs(other.x - dot.x) < 160]
        free = dot.name_y
        while any(abs(free - other) < 13 for other in taken):
            free += 13
        placed.append(Dot(**{**dot.__dict__, "name_y": round(free, 1)}))
    return placed
