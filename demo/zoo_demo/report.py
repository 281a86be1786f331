"""The demo's report: one row per version, as a table for people and as JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from zoo_client.records import Job, Metric, Version


@dataclass(frozen=True)
class Row:
    """One version.  Accuracy in percent of ``samples`` pictures, latency of one picture in ms (None: not measured)."""

    version: str
    operation: str
    parents: Sequence[str]
    format: str
    precision: str | None
    top1: float | None
    samples: int | None
    size_bytes: int
    latency_ms_p50: float | None
    latency_noisy: bool | None
    mlflow_run_id: str | None
    sha256: str
    runtime: str | None = None


def row_of(version: Version, job: Job) -> Row:
    """The facts about a version, all from what the registry answers."""
    artifact = version["artifacts"][0]
    top1 = newest(version["metrics"], "top1")
    latency = newest(version["metrics"], "latency_ms")
    digests = {file["path"]: file["sha256"] for file in version["files"]}
    return Row(
        version=version["reference"],
        operation=job["operation"],
        parents=[parent["reference"] or parent["external_uri"] or "" for parent in version["parents"]],
        format=artifact["format"],
        precision=artifact["precision"],
        top1=top1["value"] if top1 else None,
        samples=top1["details"].get("samples") if top1 else None,
        size_bytes=sum(file["size"] for file in version["files"] if file["path"] in artifact["files"]),
        latency_ms_p50=latency["value"] if latency else None,
        latency_noisy=latency["details"].get("noisy") if latency else None,
        mlflow_run_id=job["mlflow_run_id"],
        sha256=digests[artifact["files"][0]],
        runtime=artifact["runtime"],
    )


def newest(metrics: Sequence[Metric], name: str) -> Metric | None:
    """The last measured metric of that name."""
    found = [metric for metric in metrics if metric["name"] == name and metric["source"] == "measured"]
    return max(found, key=lambda metric: metric["created_at"], default=None)


def table_of(rows: Sequence[Row], *, base: Row) -> Table:
    """The table that the demo ends with; drop and speed-up are against ``base`` and the slowest runtime measured."""
    table = Table(
        "version", "made by", "from", "format", "precision", "top-1 %", "drop", "size", "latency ms", "speed-up"
    )
    for column in table.columns[5:]:
        column.justify = "right"
    slowest = max((row.latency_ms_p50 for row in rows if row.latency_ms_p50), default=None)
    for row in rows:
        drop = None if row.top1 is None or base.top1 is None else base.top1 - row.top1
        table.add_row(
            row.version,
            row.operation,
            ", ".join(row.parents),
            row.format,
            row.precision or "",
            _number(row.top1, ".2f"),
            _number(drop, "+.2f"),
            f"{row.size_bytes / 1024:,.0f} KiB",
            _number(row.latency_ms_p50, ".3f") + ("*" if row.latency_noisy else ""),
            "" if not row.latency_ms_p50 or not slowest else f"{slowest / row.latency_ms_p50:.1f}x",
        )
    return table


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def write_report(path: Path, rows: Sequence[Row], facts: Mapping[str, Any]) -> None:
    """``demo-report.json``: the rows and the checks' results."""
    content = {"rows": [asdict(row) for row in rows], **facts}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def print_notes(console: Console, rows: Sequence[Row]) -> None:
    """What the table's marks mean."""
    console.print(
        "drop: points of top-1 below the teacher; latency: one picture; speed-up: against the slowest.", style="dim"
    )
    if any(row.latency_noisy for row in rows):
        console.print("*: the machine was busy with other work while this was measured.", style="dim")
