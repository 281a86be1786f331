"""Compares the metrics of two versions: like with like, and which way is better."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from zoo_client.records import Metric

Condition = tuple[str, int | None, int | None]
Verdict = Literal["better", "worse", "same", "unknown"]


@dataclass(frozen=True)
class Comparison:
    """A metric, the other version's value of it, and what the difference means."""

    metric: Metric
    other: float | None
    difference: float | None
    verdict: Verdict

    def as_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {**self.metric, "other": self.other, "difference": self.difference, "verdict": self.verdict}


def compare(mine: Sequence[Metric], others: Sequence[Metric]) -> list[Comparison]:
    """The newest value of each metric in ``mine`` beside the best match in ``others``.

    A match has the same name, data set and split.  Of several, the same runtime and device come first, then the newest.
    Different data sets are never compared, nor figures of a machine (latency ...) from other hardware, another batch or
    number of threads.
    """
    newest: dict[tuple[object, ...], Metric] = {}
    for metric in sorted(mine, key=lambda item: item["created_at"]):
        place = ("name", "dataset", "split", "artifact", "runtime", "device", "source")
        newest[(*(metric.get(part) for part in place), condition_of(metric))] = metric
    rows = []
    for metric in sorted(newest.values(), key=lambda item: (item["name"], item["created_at"])):
        match = _match(metric, others)
        difference = metric["value"] - match["value"] if match else None
        rows.append(
            Comparison(metric, match["value"] if match else None, difference, _verdict(metric["direction"], difference))
        )
    return rows


def condition_of(metric: Metric) -> Condition | None:
    """Hardware fingerprint, batch and threads of a figure that depends on them; None for all others."""
    details = metric.get("details") or {}
    fingerprint = details.get("fingerprint")
    return (fingerprint, details.get("batch"), details.get("threads")) if fingerprint else None


def _match(metric: Metric, others: Sequence[Metric]) -> Metric | None:
    same = [
        other
        for other in others
        if (other["name"], other["dataset"], other["split"]) == (metric["name"], metric["dataset"], metric["split"])
        and condition_of(other) == condition_of(metric)
    ]
    return max(
        same,
        key=lambda other: (
            other["runtime"] == metric["runtime"],
            other["device"] == metric["device"],
            other["created_at"],
        ),
        default=None,
    )


def _verdict(direction: str, difference: float | None) -> Verdict:
    if difference is None or direction not in {"higher", "lower"}:
        return "unknown"
    if difference == 0:
        return "same"
    return "better" if (difference > 0) == (direction == "higher") else "worse"
