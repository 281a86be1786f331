"""Inspects thousands of damaged files in one process that may use little memory and run nothing.

``python -m tests.zoo_inspection.fuzzing --cases 10000 [FILE ...]`` prints one line of JSON: cases, faults, the slowest
case in seconds, and the peak of memory above the start.  Samples of all formats and the FILEs are mutated.  The
process ends at once if an inspection imports, compiles, opens or starts anything (audit events of Python).
"""

import argparse
import codecs
import io
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.zoo_inspection import samples
from zoo_inspection import inspect
from zoo_inspection.inspection import OUR_FAULT

ADDRESS_SPACE = 256 * 2**20
STATUS = Path("/proc/self/status")
MEMORY: list[tuple[io.FileIO, float]] = []
"""The open status of the confined process, and the MiB that it had used by then."""
FORBIDDEN = (
    "import", "exec", "compile", "open", "subprocess.", "os.", "socket.", "pickle.", "marshal.", "ctypes.", "shutil.",
)  # fmt: skip
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
NAMES = ("", "m.onnx", "m.pth", "m.h5", "m.pkl", "m.safetensors", "m.weights")


def originals(files: list[Path]) -> list[bytes]:
    """One sample of each format, and the files up to 2 MiB of each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = [
            samples.keras_h5(folder / "a.h5").read_bytes(),
            samples.keras_h5(folder / "b.h5", libver="latest").read_bytes(),
            samples.keras_archive(folder),
        ]
    made += [
        samples.onnx_bytes(), samples.onnx_with_external("w.bin"), samples.openvino_xml(), samples.tflite(),
        samples.saved_model("Relu", "Conv2D"), samples.oneflow_zip("A"), samples.oneflow_zip("B"),
        samples.oneflow_single(), samples.CFG, samples.darknet_weights(), samples.plan(samples.elf(190)),
        samples.safetensors({"a": ("F32", [4, 4], 64), "b": ("I64", [], 8)}, {"format": "pt"}),
    ]  # fmt: skip
    return made + [path.read_bytes()[: 2 * 2**20] for path in files]


def mutated(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """One to eight changes: bits, numbers, pieces that vanish, double or come from elsewhere, a cut end."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        if not changed:
            break
        at, kind = chance.randrange(len(changed)), chance.randrange(7)
        length = min(chance.choice((1, 2, 4, 8, 16, 64, 300)), len(changed) - at)
        if kind == 0:
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            changed[at] = chance.choice((0, 1, 0x28, 0x2E, 0x52, 0x7F, 0x80, 0x93, 0xFF))
        elif kind == 2:
            size = chance.choice((1, 2, 4, 8))
            value = chance.choice(NUMBERS) & (256**size - 1)
            changed[at : at + size] = value.to_bytes(size, chance.choice(("little", "big")))
        elif kind == 3:
            del changed[at : at + length]
        elif kind == 4:
            changed[at:at] = changed[at : at + length] * chance.choice((1, 2, 50))
        elif kind == 5:
            other = chance.choice(others)
            start = chance.randrange(max(len(other), 1))
            changed[at : at + length] = other[start : start + length]
        else:
            del changed[at:]
    return bytes(changed)


def cases(count: int, known: list[bytes], seed: int) -> Iterator[tuple[bytes, str]]:
    """Damaged bytes, and what they are called.  Of longer files half are damaged at an end, where headers are."""
    chance = random.Random(seed)
    for _ in range(count):
        data = chance.choice(known)
        if len(data) > 4096 and chance.random() < 0.5:
            start = chance.choice((0, len(data) - 2048))
            part = mutated(data[start : start + 2048], known, chance)
            data = data[:start] + part + data[start + 2048 :]
        else:
            data = mutated(data, known, chance)
        yield data, chance.choice(NAMES)


def forbid_effects() -> None:
    """From now on, whatever could run or read something else ends the process with the status 70."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith(FORBIDDEN):
            sys.stderr.write(f"An inspection caused the audit event {event}: {str(arguments)[:300]}\n")
            sys.stderr.flush()
            os._exit(70)

    sys.addaudithook(hook)


def warm_up(known: list[bytes]) -> None:
    """Import what the standard library puts off until its first use (codecs)."""
    for data in known:
        inspect(io.BytesIO(data))
    codecs.lookup("utf-8-sig")


def confined() -> None:
    """From now on the process may grow by :data:`ADDRESS_SPACE`, and do nothing but read what is open."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    MEMORY.append((STATUS.open("rb", buffering=0), _largest_mib(STATUS.read_text())))
    forbid_effects()


def peak_mib() -> float:
    """How much more memory was ever resident than when the process was confined."""
    status, before = MEMORY[0]
    status.seek(0)
    return round(_largest_mib(status.read().decode()) - before, 1)


def _largest_mib(status: str) -> float:
    """``VmHWM``; the figure of ``getrusage`` may be that of the process that started this one."""
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def run(count: int, known: list[bytes], seed: int) -> dict[str, object]:
    """Inspect the cases in a confined process."""
    confined()
    seconds, faults = [], []
    for data, name in cases(count, known, seed):
        begin = time.thread_time()
        found = inspect(io.BytesIO(data), name=name)
        seconds.append(time.thread_time() - begin)
        faults += [finding["reason"] for finding in found.findings if OUR_FAULT in finding["reason"]]
    return {
        "cases": len(seconds),
        "faults": faults[:20],
        "slowest_s": round(max(seconds), 4),
        "total_s": round(sum(seconds), 2),
        "peak_mib": peak_mib(),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args()
    known = originals(options.files)
    warm_up(known)
    sys.stdout.write(json.dumps(run(options.cases, known, options.seed)) + "\n")


if __name__ == "__main__":
    main()
