"""The matrix for people: one row for each source file, one column for each target, and what stands behind a cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.figures import Figure, Goal
from bench.matrix.running import Cell, Evaluation, Row, Step
from bench.matrix.ways import Target
from bench.reporting import Findings
from zoo_sdk.vocabulary import Precision

NONE_LEFT = Goal(relation="at most", bound=0)
SHOWN_PLACES = 6
FLOAT = frozenset({Precision.FP32, Precision.FP16})


@dataclass
class Notes:
    """Texts that cells refer to by their number; equal texts are one."""

    numbers: dict[str, int] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)

    def number(self, text: str, place: str) -> int:
        """The number of a text, which was met at ``place``."""
        self.places.setdefault(text, []).append(place)
        return self.numbers.setdefault(text, len(self.numbers) + 1)

    def rows(self) -> list[tuple[str, str, str]]:
        """Number, text, and where it was met."""
        return [
            (str(number), " ".join(text.split()), _listed(self.places[text])) for text, number in self.numbers.items()
        ]


def _listed(places: Sequence[str]) -> str:
    return ", ".join(places) if len(places) <= SHOWN_PLACES else f"{len(places)} pairs"


def render(findings: Findings, rows: Sequence[Row], targets: Sequence[Target]) -> None:
    """Put figures, tables and everything as data into the findings."""
    findings.figures += _figures(rows)
    notes = Notes()
    columns = ("source", "itself", *(str(target) for target in targets))
    findings.table("Sources and targets", columns, [_cells(row, notes) for row in rows])
    findings.table("Why not", ("note", "reason", "where"), notes.rows())
    findings.table(
        "Sources", ("source", "what", "identified as", "precision", "parameters", "findings", "KiB"), map(_source, rows)
    )
    findings.table(
        "Edges",
        ("source", "operation", "makes", "largest difference", "mean difference", "same top class %", "right", "MACs",
         "s"),
        [line for row in rows for line in _edges(row)],
    )  # fmt: skip
    findings.raw["rows"] = [_as_data(row) for row in rows]


def _figures(rows: Sequence[Row]) -> list[Figure]:
    cells = [cell for row in rows for cell in row.cells]
    identified = sum(row.identified for row in rows)
    steps = {id(step): step for cell in cells for step in cell.steps}
    failed = [step for step in steps.values() if step.error]
    found = [
        Figure(
            name="source files identified as what they are",
            value=identified,
            goal=Goal(relation="at least", bound=len(rows)),
        ),
        Figure(name="pairs of source and target", value=len(cells)),
        Figure(
            name="pairs to which no operations lead",
            value=sum(bool(cell.unreachable) and not cell.closed for cell in cells),
        ),
        Figure(name="pairs whose ways are closed here", value=sum(cell.closed for cell in cells)),
        Figure(
            name="pairs with a way, gone to its end",
            value=sum(not cell.unreachable and not cell.error for cell in cells),
        ),
        Figure(name="pairs whose way ended in an error", value=sum(bool(cell.error) for cell in cells), goal=NONE_LEFT),
        Figure(name="edges taken", value=len(steps)),
        Figure(name="edges that failed", value=len(failed), goal=NONE_LEFT),
    ]
    for row in rows:
        if row.source.right is not None:
            goal = Goal(relation="at least", bound=row.source.right)
            counts = [cell.evaluation.right for cell in row.cells if cell.target.precision in FLOAT]
            known = [count for count in counts if count is not None]
            name = f"{row.source.name}: right in the float form that is right least often"
            found.append(Figure(name=name, value=min(known, default=0), goal=goal))
    return found


def _cells(row: Row, notes: Notes) -> list[str]:
    return [
        row.source.name,
        _right(row.evaluation, notes, row.source.name),
        *(_cell(row, cell, notes) for cell in row.cells),
    ]


def _cell(row: Row, cell: Cell, notes: Notes) -> str:
    place = f"{row.source.name} -> {cell.target}"
    if cell.unreachable:
        return f"closed [{notes.number(cell.unreachable, place)}]" if cell.closed else "no way"
    if cell.is_source:
        return "is it"
    last = cell.steps[-1]
    if last.error:
        return f"**FAILED** [{notes.number(f'{last.operation}: {last.error}', place)}]"
    return "; ".join(text for text in (_parity(last), _right(cell.evaluation, notes, place)) if text)


def _parity(step: Step) -> str:
    if not step.parity:
        return "made"
    agreement = step.parity.get("agreement_top1")
    told = "" if agreement is None else f", {agreement:.4g} %"
    return f"{step.parity['max_abs_diff']:.1e}{told}"


def _right(evaluation: Evaluation, notes: Notes, place: str) -> str:
    if evaluation.error:
        return f"not evaluated [{notes.number(f'{evaluation.operation}: {evaluation.error}', place)}]"
    return f"{evaluation.right}/{evaluation.samples}" if evaluation.right is not None else ""


def _source(row: Row) -> list[str]:
    facts = row.inspection.facts
    return [
        row.source.name,
        row.source.origin,
        f"{row.inspection.format}{'' if row.identified else ' (wrong)'}",
        str(facts.get("precision") or ""),
        f"{facts['parameters']:,}" if facts.get("parameters") else "",
        row.inspection.severity or "",
        f"{row.size / 1024:,.0f}",
    ]


def _edges(row: Row) -> list[list[str]]:
    """Every edge once, with what the model at its end measures."""
    lines: dict[int, list[str]] = {}
    for cell in row.cells:
        for step in cell.steps:
            known = step is cell.steps[-1]
            if id(step) not in lines or known:
                lines[id(step)] = _edge(row, step, cell.evaluation if known else Evaluation())
    return list(lines.values())


def _edge(row: Row, step: Step, evaluation: Evaluation) -> list[str]:
    artifact = step.made.artifact if step.made else None
    makes = f"{artifact.format} {artifact.precision or ''}".strip() if artifact else "failed"
    parity = [f"{step.parity[name]:.3g}" if name in step.parity else "" for name in ("max_abs_diff", "mean_abs_diff")]
    agreement = step.parity.get("agreement_top1")
    return [
        row.source.name,
        step.operation,
        makes,
        *parity,
        "" if agreement is None else f"{agreement:.4g}",
        "" if evaluation.right is None else f"{evaluation.right}/{evaluation.samples}",
        "" if evaluation.macs is None else f"{evaluation.macs:,}",
        f"{step.seconds:.1f}",
    ]


def _as_data(row: Row) -> dict[str, Any]:
    return {
        "source": row.source.name,
        "origin": row.source.origin,
        "format": row.source.artifact.format,
        "inspection": {"format": row.inspection.format, "severity": row.inspection.severity},
        "evaluation": _evaluation_as_data(row.evaluation),
        "cells": {
            str(cell.target): {
                "unreachable": cell.unreachable,
                "steps": [
                    {
                        "operation": step.operation,
                        "params": step.params,
                        "parity": step.parity,
                        "seconds": round(step.seconds, 2),
                        "error": step.error,
                    }
                    for step in cell.steps
                ],
                "evaluation": _evaluation_as_data(cell.evaluation),
            }
            for cell in row.cells
        },
    }


def _evaluation_as_data(evaluation: Evaluation) -> Mapping[str, Any]:
    return {name: value for name, value in vars(evaluation).items() if value not in {None, ""}}
