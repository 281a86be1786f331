"""The command: runs the races and reports ratios."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from bench.machine import usable_threads
from bench.operations import dataset_item
from bench.reporting import RESULTS, SAMPLES, Findings, say, write_report
from bench.steps import __doc__ as compares
from bench.steps import distilling, pruning, quantizing
from bench.steps.gpu import watched_utilisation
from bench.steps.racing import BATCH, Arena, Heat, race
from zoo_demo.data import sample_data
from zoo_sdk.errors import UnknownName

DISTRIBUTIONS = ("torch", "torchvision", "torchdistill", "torch-pruning", "numpy", "zoo-torch")


HEATS: Mapping[str, Sequence[Heat]] = {
    "distillation": distilling.HEATS,
    "quantization": quantizing.HEATS,
    "pruning": pruning.HEATS,
}
"""The races of each kind."""


def run_heat(heat: Heat, arena: Arena, findings: Findings, *, rounds: int) -> None:
    """Race, and add the figures and a table."""
    say(f"{heat.title}: {rounds} rounds")
    contenders = heat.enter(arena, findings.notes)
    with watched_utilisation() as utilisation:
        seconds = race(contenders, rounds=rounds, threads=arena.threads)
    findings.figures += [figure for ratio in heat.ratios if (figure := ratio.figure(heat.title, seconds))]
    findings.table(heat.title, *_table(seconds, arena.steps if heat.steps else 0))
    findings.raw[heat.title] = {"seconds": seconds, "utilisation": utilisation}
    if utilisation:
        findings.notes.append(f"{heat.title}: the GPU was busy {median(utilisation):.0f} % of the time (median).")


def _table(seconds: Mapping[str, Sequence[float]], steps: int) -> tuple[list[str], list[list[str]]]:
    """Milliseconds of a step, or of one piece of work where there are no steps."""
    columns = ["contender", "ms a step" if steps else "ms", "fastest", "slowest"]
    times = {name: [1000 * value / max(steps, 1) for value in values] for name, values in seconds.items()}
    rows = [[name, *(f"{one:.2f}" for one in (median(each), min(each), max(each)))] for name, each in times.items()]
    if steps:
        columns.append("images/s")
        for row, each in zip(rows, times.values(), strict=True):
            row.append(f"{BATCH * 1000 / median(each):,.0f}")
    return columns, rows


def main(
    *,
    race_kind: Annotated[
        list[str] | None, typer.Option("--race", help=f"Which, may be repeated: {', '.join(HEATS)}; default: all.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds.")] = 7,
    steps: Annotated[int, typer.Option(min=1, max=468, help="Steps of each contender in a round.")] = 40,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(min=0, help="Threads of every contender; 0: all processors.")] = 0,
    samples: Annotated[Path, typer.Option(help="Where the data set is kept.")] = SAMPLES,
    results: Annotated[Path, typer.Option(help="Where the results go.")] = RESULTS,
) -> None:
    """Ratios of the time of a step."""
    for name in race_kind or ():
        if name not in HEATS:
            raise typer.BadParameter(str(UnknownName("race", name, HEATS)))
    data = sample_data(samples.absolute())
    options = {"rounds": rounds, "steps": steps, "batch": BATCH, "device": device}
    findings = Findings("steps", compares or "", options, DISTRIBUTIONS)
    with tempfile.TemporaryDirectory(prefix="zoo-bench-") as folder:
        arena = Arena(dataset_item(data), Path(folder), steps, threads or usable_threads(), device)
        findings.options = {**options, "threads": arena.threads}
        for kind in race_kind or HEATS:
            for heat in HEATS[kind]:
                run_heat(heat, arena, findings, rounds=rounds)
    findings.notes += [data.note] if data.note else []
    write_report(findings.report(), results)


if __name__ == "__main__":
    typer.run(main)
