"""Pareto fronts: of several points, those that no other one beats in both of two figures."""

from collections.abc import Sequence
from typing import NamedTuple


class Point(NamedTuple):
    """``accuracy`` is the higher the better unless said otherwise, ``cost`` the lower the better."""

    accuracy: float
    cost: float


def pareto_front(points: Sequence[Point], *, higher_is_better: bool = True) -> list[bool]:
    """Whether each point is on the front: none is at least as good in both figures and better in one.

    Equal points are all on the front, or none is.
    """
    signed = [Point(point.accuracy if higher_is_better else -point.accuracy, point.cost) for point in points]
    return [not any(_beats(other, point) for other in signed) for point in signed]


def _beats(other: Point, point: Point) -> bool:
    as_good = other.accuracy >= point.accuracy and other.cost <= point.cost
    return as_good and other != point
