"""What does it cost to inspect files without executing them?

A safetensors file and an ONNX model of 1 GiB each (160 tensors, 500 nodes; sparse files, since no body is read) are
inspected from a cold start of the reader; then thousands of damaged files of all formats, and files that are made to be
expensive, in a process that may grow by 256 MiB only and ends at once if an inspection imports, opens or starts
anything (``tests.zoo_inspection.fuzzing`` and ``hostile``).
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.figures import Figure, Goal
from bench.reporting import RESULTS, Findings, say, write_report
from tests.zoo_inspection.samples import field, varint
from zoo_inspection import inspect

TENSORS, NODES = 160, 500
GIB = 2**30
SECONDS_GOAL = Goal(relation="at most", bound=0.5)
FUZZ_SECONDS_GOAL = Goal(relation="at most", bound=10)
MEMORY_GOAL = Goal(relation="at most", bound=256)
NO_FAULT = Goal(relation="at most", bound=0)


def write_safetensors(path: Path) -> None:
    """1 GiB of float32 in equal tensors; the body is a hole in the file."""
    elements = GIB // 4 // TENSORS
    size = 4 * elements
    header = {
        f"w{index}": {"dtype": "F32", "shape": [elements], "data_offsets": [size * index, size * (index + 1)]}
        for index in range(TENSORS)
    }
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + size * TENSORS)


def write_onnx(path: Path) -> None:
    """The same as initialisers of a graph."""
    elements = GIB // 4 // TENSORS
    nodes = b"".join(
        field(1, field(1, f"x{n}") + field(2, f"x{n + 1}") + field(3, f"node{n}") + field(4, "Relu"))
        for n in range(NODES)
    )
    heads = []
    for index in range(TENSORS):
        head = field(1, elements) + field(2, 1) + field(8, f"w{index}")
        head += varint(9 << 3 | 2) + varint(4 * elements)
        heads.append(varint(5 << 3 | 2) + varint(len(head) + 4 * elements) + head)
    graph_size = len(nodes) + sum(len(head) + 4 * elements for head in heads)
    with path.open("wb") as file:
        file.write(field(1, 10) + field(8, field(2, 18)) + varint(7 << 3 | 2) + varint(graph_size) + nodes)
        for head in heads:
            file.write(head)
            file.seek(4 * elements, 1)
        file.truncate(file.tell())


def seconds_of(path: Path, expected: str, repeats: int) -> list[float]:
    """Wall time of some inspections of a file."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        inspection = inspect(path, name=path.name)
        found.append(time.perf_counter() - start)
        if (inspection.format, inspection.facts["tensors"]) != (expected, TENSORS):
            raise RuntimeError(f"{path.name} was inspected as {inspection.format}: {inspection.findings}")
    return found


def confined(*arguments: str) -> dict[str, Any]:
    """What a confined process prints."""
    done = subprocess.run([sys.executable, "-m", *arguments], check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout)) if done.stdout else {}


def measure(folder: Path, *, cases: int, repeats: int, files: tuple[Path, ...] = ()) -> Findings:
    """All figures; ``files`` are real ones to damage beside the samples."""
    options = {"cases": cases, "repeats": repeats, "files": [path.name for path in files]}
    findings = Findings("inspection", __doc__ or "", options, ("zoo-inspection",))
    for kind, write in (("safetensors", write_safetensors), ("onnx", write_onnx)):
        say(f"Inspecting 1 GiB of {kind} ...")
        path = folder / f"large.{kind}"
        write(path)
        figure = Figure.of(f"1 GiB of {kind}", seconds_of(path, kind, repeats), "s", goal=SECONDS_GOAL)
        findings.figures.append(figure)
        path.unlink()
    say(f"Inspecting {cases} damaged files ...")
    fuzz = confined("tests.zoo_inspection.fuzzing", "--cases", str(cases), "--seed", "4", *map(str, files))
    say("Inspecting files that are made to be expensive ...")
    confined("tests.zoo_inspection.hostile", "write", str(folder))
    hostile = confined("tests.zoo_inspection.hostile", "inspect", str(folder))
    slowest = max(hostile["seconds"].values())
    findings.figures += [
        Figure(name="damaged files that broke the inspection", value=len(fuzz["faults"]), goal=NO_FAULT),
        Figure(name="slowest damaged file", value=fuzz["slowest_s"], unit="s", goal=FUZZ_SECONDS_GOAL),
        Figure(name="memory beyond the start, damaged files", value=fuzz["peak_mib"], unit="MiB", goal=MEMORY_GOAL),
        Figure(name="slowest expensive file", value=slowest, unit="s", goal=FUZZ_SECONDS_GOAL),
        Figure(
            name="memory beyond the start, expensive files", value=hostile["peak_mib"], unit="MiB", goal=MEMORY_GOAL
        ),
    ]
    rows = sorted(hostile["seconds"].items(), key=lambda item: -item[1])
    findings.table("Expensive files", ("file", "s"), ((name, f"{seconds:.3f}") for name, seconds in rows))
    findings.raw = {"fuzz": fuzz, "hostile": hostile}
    return findings


def main(
    cases: Annotated[int, typer.Option(min=1, help="Damaged files.")] = 10_000,
    repeats: Annotated[int, typer.Option(min=1, help="Inspections of each large file.")] = 5,
    file: Annotated[list[Path] | None, typer.Option(help="A real file to damage beside the samples.")] = None,
    results: Annotated[Path, typer.Option(help="Where the results go.")] = RESULTS,
) -> None:
    """Time and memory of inspections."""
    with tempfile.TemporaryDirectory() as folder:
        findings = measure(Path(folder), cases=cases, repeats=repeats, files=tuple(file or ()))
    write_report(findings.report(), results)


if __name__ == "__main__":
    typer.run(main)
