"""What a bench finds: figures with goals, tables for people, and the report that holds them with their conditions."""

import math
from collections.abc import Sequence
from datetime import datetime
from statistics import mean, median, stdev
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Goal(_Record):
    """A bound for a figure."""

    relation: Literal["at least", "at most", "above"]
    bound: float

    def is_met(self, value: float) -> bool:
        """Whether ``value`` keeps the bound; NaN keeps none."""
        match self.relation:
            case "at least":
                return value >= self.bound
            case "at most":
                return value <= self.bound
            case "above":
                return value > self.bound

    def __str__(self) -> str:
        return f"{self.relation} {number_text(self.bound)}"


class Figure(_Record):
    """One number with its unit; ``low`` and ``high`` are the smallest and the largest of the repeats behind it."""

    name: str
    value: float
    unit: str = ""
    low: float | None = None
    high: float | None = None
    goal: Goal | None = None

    @classmethod
    def of(cls, name: str, values: Sequence[float], unit: str = "", *, goal: Goal | None = None) -> Self:
        """The median of repeats, with their smallest and largest."""
        return cls(name=name, value=median(values), unit=unit, low=min(values), high=max(values), goal=goal)

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, or nothing where there is no goal."""
        if self.goal is None:
            return ""
        return "met" if self.goal.is_met(self.value) else "missed"

    @property
    def range_text(self) -> str:
        """Smallest and largest for people."""
        if self.low is None or self.high is None:
            return ""
        return f"{number_text(self.low)} to {number_text(self.high)}"

    @property
    def text(self) -> str:
        """Value and unit for people."""
        return f"{number_text(self.value)} {self.unit}".strip()


class Table(_Record):
    """Rows of text below a title."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Report(_Record):
    """A bench's outcome: what was compared, what was found, where and under which conditions."""

    bench: str
    compares: str
    started_at: datetime
    seconds: float
    machine: dict[str, Any]
    conditions: dict[str, Any]
    options: dict[str, Any]
    load_matters: bool
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    raw: dict[str, Any]


class Sample(_Record):
    """Repeats of one measurement."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return mean(self.values)

    @property
    def deviation(self) -> float:
        """The sample's standard deviation (n - 1); 0 for a single value."""
        return stdev(self.values) if len(self.values) > 1 else 0.0


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Round by round, so that what disturbed both sides of a round cancels."""
    return [top / bottom for top, bottom in zip(numerators, denominators, strict=True)]


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` % of the values do not exceed (nearest rank)."""
    rank = max(1, math.ceil(percent / 100 * len(values)))
    return sorted(values)[rank - 1]


def number_text(value: float) -> str:
    """Four significant digits, whole numbers as they are, without an exponent."""
    if not math.isfinite(value):
        return f"{value:g}"
    if value == int(value):
        return f"{value:,.0f}"
    decimals = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 6)}f}"
