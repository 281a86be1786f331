"""The machine and its load: what belongs beside every figure."""

import os
import platform
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from zoo_vision.hardware import processor_name
from zoo_vision.timing import ProcessorTimes, read_processor_times

MAX_OTHERS = 0.15
"""Share of the processors' time beyond which other work, just before or just after the bench's own, is told."""
LOOK_SECONDS = 1.0
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


def busy_share(before: ProcessorTimes, after: ProcessorTimes) -> float:
    """The part of the processors' time between two readings in which they worked."""
    return max(0.0, 1 - (after.idle - before.idle) / max(after.total - before.total, 1e-9))


def look_at_others() -> float:
    """How busy the processors are while the bench itself does nothing."""
    before = read_processor_times()
    time.sleep(LOOK_SECONDS)
    return busy_share(before, read_processor_times())


class Watch:
    """The machine's load: other people's before and after the bench's own work, and everybody's in between."""

    def __init__(self) -> None:
        self._load = os.getloadavg()[0]
        self._others = look_at_others()
        self._before = read_processor_times()
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def conditions(self) -> dict[str, Any]:
        """Load averages, and the shares of the processors' time; call it when the bench's own work is over."""
        after = read_processor_times()
        total = max(after.total - self._before.total, 1e-9)
        return {
            "load_at_start": round(self._load, 2),
            "load_at_end": round(os.getloadavg()[0], 2),
            "others_before": round(self._others, 3),
            "others_after": round(look_at_others(), 3),
            "busy_share": round(busy_share(self._before, after), 3),
            "stolen_share": round((after.steal - self._before.steal) / total, 3),
        }
