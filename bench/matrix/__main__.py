"""The command: makes and fetches the source files, goes all ways, and writes the table."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer

import zoo_keras  # chooses Keras' backend, before anything imports Keras
from bench.machine import usable_threads
from bench.matrix.made import made_sources
from bench.matrix.real import real_sources
from bench.matrix.rendering import render
from bench.matrix.running import Row, Walk
from bench.matrix.ways import Effort, Source, Target, all_targets
from bench.reporting import RESULTS, SAMPLES, Findings, write_report
from zoo_sdk.errors import Unavailable

assert zoo_keras.__version__
COMPARES = """
Every file that comes in, to everything that the conversion graph leads to.

Real files that packages ship, and one small file of each other format. Each is identified from its bytes, and goes to
every target on the way that `zoo convert` would plan over the operations installed here, edge by edge through their
parity gates (source and target in their own runtimes, on the same inputs). A cell tells the largest difference of an
output and the share of inputs with the same top class at the last edge; then, where the labels are true for the
network, how many of the test split it gets right in its own runtime. No way: no operations lead there.
Closed: some do, but not on this machine, or not without what this source lacks. Numbers in brackets are notes below.
"""
DISTRIBUTIONS = (
    "torch", "timm", "keras", "onnx", "onnxruntime", "openvino", "nncf", "ai-edge-litert", "zoo-torch", "zoo-keras",
    "zoo-darknet", "zoo-onnxruntime", "zoo-openvino", "zoo-tflite", "zoo-tensorrt",
)  # fmt: skip
FEW = ("digits.pth", "digits.onnx", "digits.keras", "classifier.weights")


def walked(sources: Iterable[Source], targets: Sequence[Target], folder: Path, effort: Effort) -> Iterator[Row]:
    """Every source to every target; what was made for one is removed before the next."""
    gpus = torch.cuda.device_count()
    for source in sources:
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            yield Walk(source, Path(temporary), effort, gpus).row(targets)


def _real(cache: Path, folder: Path, findings: Findings) -> Iterator[Source]:
    try:
        yield from real_sources(cache, folder)
    except Unavailable as error:
        findings.notes.append(f"Not all real files could be had: {error}")


def main(
    *,
    parity_samples: Annotated[int, typer.Option(min=2, help="Samples of a parity check.")] = 64,
    calibration: Annotated[int, typer.Option(min=1, help="Samples of a calibration.")] = 128,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0: all processors.")] = 0,
    source: Annotated[list[str] | None, typer.Option(help="Only sources whose names contain this; repeatable.")] = None,
    few: Annotated[bool, typer.Option("--few", help=f"Only {', '.join(FEW)}.")] = False,
    samples: Annotated[Path, typer.Option(help="Where the packages are kept.")] = SAMPLES,
    results: Annotated[Path, typer.Option(help="Where the results go.")] = RESULTS,
) -> None:
    """Identify, convert, compare and evaluate every source file."""
    effort = Effort(parity_samples, calibration, threads or usable_threads())
    options = {"parity_samples": parity_samples, "calibration": calibration, "threads": effort.threads}
    findings = Findings("matrix", COMPARES, options, DISTRIBUTIONS, load_matters=False)
    targets = all_targets()
    with tempfile.TemporaryDirectory(prefix="zoo-bench-") as temporary:
        folder = Path(temporary)
        real: Iterable[Source] = () if few else _real(samples.absolute() / "photographs", folder / "real", findings)
        every = (one for group in (real, made_sources(folder / "made", effort)) for one in group)
        rows = list(
            walked((one for one in every if _is_chosen(one.name, source or (), few=few)), targets, folder, effort)
        )
    render(findings, rows, targets)
    write_report(findings.report(), results)


def _is_chosen(name: str, parts: Sequence[str], *, few: bool) -> bool:
    return name in FEW if few else not parts or any(part in name for part in parts)


if __name__ == "__main__":
    typer.run(main)
