"""On which hardware was it measured: a fingerprint, within which latencies and memory are comparable.

It is made of what bounds speed and does not change between runs: the processor and its vector instructions, how many
processors this process may use, memory, whether it is a virtual machine, and the accelerator.  Versions of software are
not part of it: to compare them is what a benchmark is for.
"""

import json
import os
import platform
import re
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

GIB = 2**30
VECTOR_INSTRUCTIONS = frozenset(
    {
        "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni",
        "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "fphp", "i8mm", "sve",
    }
)  # fmt: skip
"""Those by which libraries choose their code."""
_CPUINFO = Path("/proc/cpuinfo")
_MEMINFO = Path("/proc/meminfo")
_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_MEMORY = Path("/sys/fs/cgroup/memory.max")


@cache
def processor_name() -> str:
    """The processor's model name, such as ``AMD EPYC 9B14``; empty where the system does not tell."""
    return _field(_text(_CPUINFO), "model name")


def describe_hardware(accelerator: str = "") -> dict[str, Any]:
    """What the fingerprint is made of; ``accelerator``: the GPU's name, if one computes."""
    text = _text(_CPUINFO)
    flags = set(_field(text, "flags|Features").split())
    return {
        "processor": processor_name() or platform.processor(),
        "architecture": platform.machine(),
        "instructions": sorted(VECTOR_INSTRUCTIONS & flags),
        "processors": usable_processors(),
        "memory_gib": round(_memory_bytes() / GIB),
        "virtual": "hypervisor" in flags,
        "accelerator": accelerator,
    }


def fingerprint_of(hardware: Mapping[str, Any]) -> str:
    """``sha256:`` of the canonical JSON of :func:`describe_hardware`."""
    text = json.dumps(hardware, sort_keys=True, separators=(",", ":"))
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def usable_processors() -> float:
    """Processors that this process may use: those it may run on, or its control group's share of time if less."""
    allowed = float(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else float(os.cpu_count() or 1)
    quota = _text(_CGROUP_QUOTA).split()
    if len(quota) == 2 and all(part.isdigit() for part in quota):
        return round(min(allowed, int(quota[0]) / int(quota[1])), 2)
    return allowed


def _memory_bytes() -> int:
    found = re.search(r"^MemTotal:\s+(\d+) kB", _text(_MEMINFO), re.MULTILINE)
    total = int(found[1]) * 1024 if found else 0
    limit = _text(_CGROUP_MEMORY).strip()
    return min(total, int(limit)) if limit.isdigit() and total else total


def _field(text: str, names: str) -> str:
    found = re.search(rf"^(?:{names})\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
