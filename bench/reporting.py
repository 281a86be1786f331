"""Collects what a bench finds, and writes it as JSON for programs and as Markdown for people."""

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from inspect import cleandoc
from pathlib import Path
from typing import Any

from bench.figures import Figure, Report, Table
from bench.machine import MAX_OTHERS, Watch, describe_machine

RESULTS = Path(__file__).parent / "results"
SAMPLES = Path(os.environ.get("ZOO_HOME", ".zoo")) / "samples"
"""Where the demo keeps its data set as well."""


def say(message: str) -> None:
    """A progress line; long work is never silent."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {message}\n")
    sys.stderr.flush()


@dataclass
class Findings:
    """A bench under way.

    ``compares`` is its module's docstring, ``options`` what it was started with; ``load_matters``: other work on the
    machine changes the figures.
    """

    bench: str
    compares: str
    options: Mapping[str, Any]
    distributions: Iterable[str]
    load_matters: bool = True
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)
    _watch: Watch = field(default_factory=Watch)
    _started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Add a table."""
        self.tables.append(Table(title=title, columns=tuple(columns), rows=tuple(tuple(row) for row in rows)))

    def report(self) -> Report:
        """Everything found so far, with the machine and its load."""
        return Report(
            bench=self.bench,
            compares=cleandoc(self.compares),
            started_at=self._started_at,
            seconds=round(self._watch.seconds, 1),
            machine=describe_machine(self.distributions),
            conditions=self._watch.conditions(),
            options=dict(self.options),
            load_matters=self.load_matters,
            figures=tuple(self.figures),
            tables=tuple(self.tables),
            notes=tuple(self.notes),
            raw=self.raw,
        )


def write_report(report: Report, folder: Path) -> Path:
    """Write ``NAME.json`` and ``NAME.md``; answers the first one's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.bench}.json"
    path.write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(markdown(report), encoding="utf-8")
    say(f"{report.bench}: written to {path.with_suffix('.md')}")
    return path


def read_report(path: Path) -> Report:
    """Read what :func:`write_report` wrote."""
    return Report.model_validate_json(path.read_text(encoding="utf-8"))


def markdown(report: Report) -> str:
    """The report as a page: figures first, then the tables behind them, then the conditions."""
    parts = [f"# {report.bench}", report.compares]
    if report.figures:
        parts.append(_markdown_table(FIGURE_COLUMNS, [figure_row(figure) for figure in report.figures]))
    for table in report.tables:
        parts += [f"## {table.title}", _markdown_table(table.columns, table.rows)]
    parts += ["## Conditions", _conditions(report)]
    if report.notes:
        parts.append("\n".join(f"- {note}" for note in report.notes))
    return "\n\n".join(parts) + "\n"


FIGURE_COLUMNS = ("figure", "value", "range", "goal", "verdict")


def figure_row(figure: Figure) -> tuple[str, ...]:
    """The cells of :data:`FIGURE_COLUMNS`."""
    return (figure.name, figure.text, figure.range_text, str(figure.goal or ""), figure.verdict)


def load_note(report: Report) -> str:
    """Says so when other work ran beside a bench that it disturbs; else nothing."""
    before, after = report.conditions["others_before"], report.conditions["others_after"]
    if not report.load_matters or max(before, after) <= MAX_OTHERS:
        return ""
    return (
        f"Other work took {before:.0%} of the processors just before and {after:.0%} just after this: repeat it "
        "when the machine is idle."
    )


def _conditions(report: Report) -> str:
    machine, conditions = report.machine, report.conditions
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    options = ", ".join(f"{name} = {value}" for name, value in report.options.items())
    when = (
        f"{report.started_at:%Y-%m-%d %H:%M} UTC, {report.seconds:.0f} s; {machine['processors']} processors "
        f"({machine['processor']}; {', '.join(machine['instruction_sets'])}), {machine['memory_gib']} GiB, "
        f"{machine['system']}, Python {machine['python']}."
    )
    load = (
        f"Load average {conditions['load_at_start']} at the start, {conditions['load_at_end']} at the end; processors "
        f"busy {conditions['busy_share']:.0%}, stolen {conditions['stolen_share']:.1%}; other work took "
        f"{conditions['others_before']:.0%} of them just before and {conditions['others_after']:.0%} just after."
    )
    lines = [
        when,
        f"Versions: {versions}." if versions else "",
        f"Options: {options}." if options else "",
        load,
        load_note(report),
    ]
    return "  \n".join(line for line in lines if line)


def _markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)
