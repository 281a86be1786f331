"""Runs the benches, each in a process of its own, and prints all their figures in one table.

``python -m bench.run`` runs all, ``python -m bench.run jobs queries`` some, ``--quick`` all in a small size that says
only that they work.  The exit status is 1 if a bench crashed; a missed goal is a result, not a failure.
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.figures import Report
from bench.reporting import FIGURE_COLUMNS, RESULTS, figure_row, load_note, read_report, say
from zoo_sdk.errors import UnknownName

QUICK: Mapping[str, tuple[str, ...]] = {
    "queries": (),
    "jobs": ("--jobs", "3", "--repeats", "1", "--limit-samples", "1000"),
    "transfer": ("--size-mib", "64", "--repeats", "1"),
    "quantization": ("--few", "--epochs", "1", "--limit-samples", "1000", "--rounds", "2", "--seconds", "0.05"),
    "distillation": ("--few", "--epochs", "1", "--limit-samples", "1000", "--seeds", "2"),
    "agreement": ("--few", "--measured-each", "1", "--calibration-each", "2"),
    "runtimes": (
        "--few",
        "--network",
        "efficientnet-lite0",
        "--calibration",
        "16",
        "--rounds",
        "2",
        "--seconds",
        "0.05",
    ),
    "matrix": ("--few", "--parity-samples", "8", "--calibration", "16"),
    "steps": ("--rounds", "1", "--steps", "2"),
    "methods": ("--quick",),
}
"""Every bench, the short ones first, with the options of a quick run."""
FULL: Mapping[str, tuple[str, ...]] = {"methods": ("--time-limit", "3000")}
"""Options of a full run: the tables take hours, and each run of the bench goes on where the former one stopped."""
TIME_LIMIT_SECONDS = 3600
VERDICT_STYLES = {"met": "[green]met[/]", "missed": "[bold red]missed[/]"}


def run_bench(name: str, options: Sequence[str], results: Path) -> bool:
    """Run one bench to its end; False if it crashed or hung."""
    command = [sys.executable, "-m", f"bench.{name}", *options, "--results", str(results)]
    try:
        done = subprocess.run(command, check=False, timeout=TIME_LIMIT_SECONDS, cwd=Path(__file__).parents[1])
    except subprocess.TimeoutExpired:
        say(f"{name}: not done within {TIME_LIMIT_SECONDS} s")
        return False
    if done.returncode != 0:
        say(f"{name}: ended with exit status {done.returncode}")
    return done.returncode == 0


def reports_of(name: str, folder: Path) -> list[Report]:
    """What a bench has written: one report, or one for each of its tables."""
    paths = [folder / f"{name}.json", *sorted(folder.glob(f"{name}-*.json"))]
    return [read_report(path) for path in paths if path.exists()]


def summary(reports: Sequence[Report], crashed: Sequence[str]) -> Table:
    """All figures with goal and verdict."""
    table = Table("bench", *FIGURE_COLUMNS)
    for report in reports:
        for figure in report.figures:
            *cells, verdict = figure_row(figure)
            table.add_row(report.bench, *cells, VERDICT_STYLES.get(verdict, ""))
        table.add_section()
    for name in crashed:
        table.add_row(name, "[bold red]crashed[/]", "", "", "", "")
    return table


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Which: {', '.join(QUICK)}; default: all.")] = None,
    *,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Small sizes; the results go to a temporary folder unless --results is given."),
    ] = False,
    results: Annotated[Path | None, typer.Option(help="Where the results go (default: bench/results).")] = None,
) -> None:
    """Run the benches and print their figures."""
    for name in names or ():
        if name not in QUICK:
            raise typer.BadParameter(str(UnknownName("bench", name, QUICK)))
    with tempfile.TemporaryDirectory(prefix="zoo-bench-results-") as temporary:
        folder = (results or (Path(temporary) if quick else RESULTS)).absolute()
        reports, crashed = [], []
        for name in names or QUICK:
            say(f"{name} ...")
            if run_bench(name, QUICK[name] if quick else FULL.get(name, ()), folder):
                reports += reports_of(name, folder)
            else:
                crashed.append(name)
    console = Console()
    console.print(summary(reports, crashed))
    for report in reports:
        if note := load_note(report):
            console.print(f"[yellow]{report.bench}: {note}[/]", highlight=False)
    raise typer.Exit(1 if crashed else 0)


if __name__ == "__main__":
    typer.run(main)
