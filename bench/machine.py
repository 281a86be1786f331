"""The machine and its load: what belongs beside every figure."""

import os
import platform
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from zoo_vision.timing import ProcessorTimes, processor_name, read_processor_times

BUSY_LOAD = 1.5
"""A load average at the start above which the figures are marked: other work ran at the same time."""
INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "sha_ni")


def describe_machine(distributions: Iterable[str]) -> dict[str, Any]:
    """Processor, memory, system, and the versions of the distributions that did the work."""
    return {
        "processor": processor_name() or platform.processor(),
        "processors": len(os.sched_getaffinity(0)),
        "instruction_sets": instruction_sets(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in sorted(distributions)},
    }


def instruction_sets(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[str]:
    """Those of :data:`INSTRUCTION_SETS` that the processor has; INT8 and SHA-256 depend on them."""
    if not cpuinfo.exists():
        return []
    flags = next((line.split() for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), [])
    return [name for name in INSTRUCTION_SETS if name in flags]


def usable_threads() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0))


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


class Watch:
    """The load from its making on: started before the bench's own work, so that the first figure is other people's."""

    def __init__(self) -> None:
        self._load = os.getloadavg()[0]
        self._before = read_processor_times()
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def conditions(self) -> dict[str, Any]:
        """Load averages and the share of the processors' time that was busy and stolen meanwhile."""
        return describe_load(self._load, os.getloadavg()[0], self._before, read_processor_times())


def describe_load(
    load_at_start: float, load_at_end: float, before: ProcessorTimes, after: ProcessorTimes
) -> dict[str, Any]:
    """The conditions between two readings; ``busy`` counts everybody's work, the bench's own too."""
    total = max(after.total - before.total, 1e-9)
    return {
        "load_at_start": round(load_at_start, 2),
        "load_at_end": round(load_at_end, 2),
        "busy_share": round(1 - (after.idle - before.idle) / total, 3),
        "stolen_share": round((after.steal - before.steal) / total, 3),
        "others_were_busy": load_at_start > BUSY_LOAD,
    }
