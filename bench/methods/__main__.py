"""The command: fills the tables as far as the time allows and renders what is there."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from bench.machine import usable_threads
from bench.methods import distilling, pruning, quantizing, slimming, transformers
from bench.methods.filling import Filling
from bench.methods.records import Ledger
from bench.methods.rendering import new_findings, render, teacher_figures
from bench.methods.tables import FIRST_SEED, Effort, MethodTable
from bench.methods.workshop import Workshop
from bench.operations import dataset_item
from bench.reporting import RESULTS, SAMPLES, say, write_report
from zoo_demo.data import sample_data
from zoo_sdk.errors import UnknownName

TABLES: Mapping[str, Callable[[Effort], MethodTable]] = {
    "distillation": distilling.table,
    "quantization": quantizing.table,
    "pruning": pruning.table,
    "autoslim": slimming.table,
    "transformers": transformers.table,
}
"""In the order in which they are filled."""
CACHE = Path(tempfile.gettempdir()) / "zoo-bench-methods"
"""Where teachers and bases stay from one session to the next."""
QUICK = Effort(epochs=1, samples=1000)


def run_table(
    table: MethodTable, workshop: Workshop, *, seeds: Sequence[int], results: Path, deadline: float, note: str = ""
) -> None:
    """Fill one table until ``deadline`` and write its page."""
    filling = Filling(table, Ledger(results / "methods" / f"{table.name}.jsonl"), workshop, seeds)
    options = {"data": workshop.data.reference, "seeds": list(seeds), "threads": workshop.threads}
    findings = new_findings(table, options)
    say(f"{table.name}: {len(filling.missing())} of {len(table.arms) * len(seeds)} runs are missing")
    filling.fill(deadline)
    records = filling.ledger.current(filling.digests())
    epochs = {arm.name: arm.making(seeds[0]).epochs for arm in table.arms}
    findings.figures += teacher_figures(filling.teachers())
    render(table, records, findings, seeds=seeds, epochs=epochs)
    findings.notes += [f"Failed: {failure}" for failure in filling.failures]
    findings.notes += [note] if note else []
    write_report(findings.report(), results)


def main(  # noqa: PLR0913 (they are the command's options)
    *,
    table: Annotated[
        list[str] | None, typer.Option(help=f"Which, may be repeated: {', '.join(TABLES)}; default: all.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="How many seeds.")] = 3,
    epochs: Annotated[int, typer.Option(min=0, help="Most epochs of a stage; 0: the table's own.")] = 0,
    arm: Annotated[
        list[str] | None,
        typer.Option(help="Only arms whose names contain this, and what they are compared with; may be repeated."),
    ] = None,
    few: Annotated[bool, typer.Option("--few", help="The most important arms only.")] = False,
    time_limit: Annotated[float, typer.Option(min=0, help="Seconds after which no run begins; 0: none.")] = 0,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="One epoch on 1,000 pictures, --few and two seeds, below a temporary folder."),
    ] = False,
    threads: Annotated[int, typer.Option(min=0, help="Threads of the trainings; 0: all processors.")] = 0,
    cache: Annotated[Path, typer.Option(help="Where teachers and bases are kept.")] = CACHE,
    samples: Annotated[Path, typer.Option(help="Where the data set is kept.")] = SAMPLES,
    results: Annotated[Path | None, typer.Option(help="Where the results go (default: bench/results).")] = None,
) -> None:
    """Accuracy, size and latency of every compression method, with the same network alone beside it."""
    for name in table or ():
        if name not in TABLES:
            raise typer.BadParameter(str(UnknownName("table", name, TABLES)))
    effort = QUICK if quick else Effort(epochs=epochs or None)
    deadline = time.monotonic() + time_limit if time_limit else float("inf")
    data = sample_data(samples.absolute())
    with tempfile.TemporaryDirectory(prefix="zoo-bench-") as temporary:
        place = Path(temporary) if quick else cache.absolute()
        target = results or (place / "results" if quick else RESULTS)
        workshop = Workshop(dataset_item(data), place, threads or usable_threads())
        for name in table or TABLES:
            chosen = TABLES[name](effort)
            chosen = chosen.about(arm) if arm else chosen
            run_table(
                chosen.shortened() if few or quick else chosen,
                workshop,
                seeds=range(FIRST_SEED, FIRST_SEED + (2 if quick else seeds)),
                results=target.absolute(),
                deadline=deadline,
                note=data.note,
            )


if __name__ == "__main__":
    typer.run(main)
