"""Gates: does the version that a step made or measured hold what the recipe asks of it?"""

from collections.abc import Sequence
from typing import Any, Literal

from django.db.models import Q
from pydantic import BaseModel, ConfigDict

from zoo_sdk.vocabulary import MetricSource
from zoo_server.catalog.models import Metric, Version
from zoo_server.pipelines.recipes.graph import BoundGate

TOLERANCE = 1e-9
"""Relative: 71.3 - 70.8 is not quite 0.5 in floating point."""


class GateResult(BaseModel):
    """What a gate found.  ``passed`` None: a metric was not measured, so nothing can be said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    rule: str
    limit: float
    value: float | None
    reference: float | None
    passed: bool | None
    message: str
    run: tuple[str, ...] = ()


Verdict = Literal["passed", "stopped", "branched", "unmeasured"]


def evaluate(gate: BoundGate, *, subject: Version, measured: Sequence[Metric], than: Version | None) -> GateResult:
    """Look at the gate.  ``measured``: what the step's own job found; ``than``: the version to compare with."""
    found = _own(gate, subject, measured) or _newest(gate, subject)
    other = _counterpart(gate, than, found) if than is not None and found is not None else None
    value, reference = found.value if found else None, other.value if other else None
    passed: bool | None = None
    if found is None:
        message = f"{gate.metric} of {subject} was not measured{_where(gate)}"
    elif than is not None and other is None:
        message = f"{gate.metric} of {than} was not measured on the same data as that of {subject}"
    else:
        passed = _holds(gate, found.value, reference or 0.0)
        compared = f", {than}: {reference:.6g}" if reference is not None else ""
        message = f"{gate}: {'passed' if passed else 'not passed'} ({subject}: {found.value:.6g}{compared})"
    return GateResult(
        metric=gate.metric,
        rule=gate.rule,
        limit=gate.limit,
        value=value,
        reference=reference,
        passed=passed,
        message=message,
        run=gate.run,
    )


def unmeasured(gate: BoundGate, message: str) -> GateResult:
    """The result of a gate that could not be looked at."""
    return GateResult(
        metric=gate.metric,
        rule=gate.rule,
        limit=gate.limit,
        value=None,
        reference=None,
        passed=None,
        message=f"{gate}: {message}",
        run=gate.run,
    )


def verdict_of(results: Sequence[GateResult]) -> Verdict:
    """What all gates of a step mean together: one that stops goes before one that branches."""
    if any(result.passed is None for result in results):
        return "unmeasured"
    failing = [result for result in results if not result.passed]
    if not failing:
        return "passed"
    return "branched" if all(result.run for result in failing) else "stopped"


def branch_of(results: Sequence[dict[str, Any]]) -> frozenset[str]:
    """The keys of the steps that run because of these stored results; empty if a gate stopped."""
    parsed = [GateResult.model_validate(item) for item in results]
    if not parsed or verdict_of(parsed) != "branched":
        return frozenset()
    return frozenset(key for result in parsed if not result.passed for key in result.run)


def _holds(gate: BoundGate, value: float, reference: float) -> bool:
    slack = TOLERANCE * max(abs(value), abs(reference), abs(gate.limit), 1e-30)
    if gate.rule == "at_least":
        return value - reference >= gate.limit - slack
    if gate.rule == "at_most":
        return value - reference <= gate.limit + slack
    if gate.rule == "at_most_below":
        return reference - value <= gate.limit + slack
    return value <= gate.limit * reference + slack


def _where(gate: BoundGate) -> str:
    parts = [f"{name} {text}" for name, text in (("split", gate.split), ("runtime", gate.runtime)) if text]
    return f" ({', '.join(parts)})" if parts else ""


def _own(gate: BoundGate, subject: Version, measured: Sequence[Metric]) -> Metric | None:
    """The last fitting measurement of the step's own job."""
    fitting = [
        metric
        for metric in measured
        if metric.version_id == subject.pk
        and metric.name == gate.metric
        and gate.split in {None, metric.split}
        and gate.runtime in {None, metric.runtime}
    ]
    return fitting[-1] if fitting else None


def _newest(gate: BoundGate, version: Version, same: Q | None = None) -> Metric | None:
    rows = Metric.objects.filter(version=version, name=gate.metric, source=MetricSource.MEASURED)
    if gate.split is not None:
        rows = rows.filter(split=gate.split)
    if gate.runtime is not None:
        rows = rows.filter(runtime=gate.runtime)
    if same is not None:
        rows = rows.filter(same)
    return rows.order_by("-id").first()


def _counterpart(gate: BoundGate, other: Version, found: Metric) -> Metric | None:
    """The newest measurement of the other version under the same conditions: data set and split."""
    return _newest(gate, other, Q(dataset_id=found.dataset_id, dataset_name=found.dataset_name, split=found.split))
