"""The memory of a group of processes, sampled while something happens."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_SECONDS = 0.1


@dataclass
class Peak:
    """The largest sum seen."""

    bytes: int = 0
    samples: int = 0


def memory_bytes(processes: Sequence[psutil.Process]) -> int:
    """The sum of the processes' proportional set sizes: pages shared by several count once in all.

    Where the kernel does not tell it (not Linux, or another user's process), the resident set size counts instead.
    """
    total = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            total += _proportional(process.pid) or process.memory_info().rss
    return total


def _proportional(number: int) -> int | None:
    with suppress(OSError):
        for line in Path(f"/proc/{number}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return None


@contextmanager
def watched_memory(processes: Sequence[psutil.Process], *, every: float = SAMPLE_SECONDS) -> Iterator[Peak]:
    """Sample the processes in a thread of our own until the block ends."""
    peak = Peak()
    stop = threading.Event()

    def sample() -> None:
        while True:
            peak.bytes = max(peak.bytes, memory_bytes(processes))
            peak.samples += 1
            if stop.wait(every):
                return

    thread = threading.Thread(target=sample, name="memory", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
