"""What this machine is: the environment record that goes with every result."""

import os
import platform
import re
import subprocess
from collections.abc import Hashable, Iterator, Mapping
from functools import cache, lru_cache
from hashlib import sha256
from importlib.metadata import Distribution, PackageNotFoundError, distribution, entry_points
from pathlib import Path
from typing import Any

import psutil
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from zoo_sdk.discovery import ENTRY_POINT_GROUP

NVIDIA_QUERY = (
    "nvidia-smi", "--query-gpu=name,memory.total,driver_version,uuid", "--format=csv,noheader,nounits",
)  # fmt: skip

NVIDIA_DRIVER = Path("/proc/driver/nvidia")


def describe_machine(*, worker: str, image: str | None = None) -> dict[str, Any]:
    """Python, platform, processor, memory, GPUs with their driver, and the container image if there is one."""
    return {
        "worker": worker,
        "python": {"version": platform.python_version(), "implementation": platform.python_implementation()},
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": {"model": cpu_model(), "threads": usable_threads(), "cores": psutil.cpu_count(logical=False)},
        "memory_bytes": usable_memory_bytes(),
        "gpus": [dict(gpu) for gpu in gpus()],
        "image": image,
    }


@cache
def gpus() -> tuple[dict[str, str], ...]:
    """The NVIDIA devices with name, memory in MiB, driver and id, asked from ``nvidia-smi``; else from the driver.

    No framework is asked: it would keep a context on each of them.
    """
    try:
        answer = subprocess.run(NVIDIA_QUERY, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return gpus_of_driver()
    names = ("name", "memory_mib", "driver", "uuid")
    rows = (tuple(cell.strip() for cell in line.split(",")) for line in answer.stdout.splitlines())
    return tuple(dict(zip(names, row, strict=True)) for row in rows if len(row) == len(names))


def gpus_of_driver(folder: Path = NVIDIA_DRIVER) -> tuple[dict[str, str], ...]:
    """The same from the files of NVIDIA's driver, in the order of the bus; it does not tell how much memory they have.

    Images without ``nvidia-smi`` have these.
    """
    try:
        release = re.search(r"Kernel Module(?: for \S+)?\s+([\d.]+)", (folder / "version").read_text("ascii"))
        texts = [path.read_text("ascii") for path in sorted(folder.glob("gpus/*/information"))]
    except (OSError, UnicodeDecodeError):
        return ()
    rows = (dict(re.findall(r"^(Model|GPU UUID):\s*(.+?)\s*$", text, re.MULTILINE)) for text in texts)
    driver = release[1] if release else "unknown"
    return tuple(
        {"name": row.get("Model", "GPU"), "memory_mib": "", "driver": driver, "uuid": row["GPU UUID"]}
        for row in rows
        if "GPU UUID" in row
    )


@cache
def cpu_model() -> str:
    """The processor's name as the kernel tells it."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def usable_threads() -> int:
    """The CPUs that this process may use; ``OMP_NUM_THREADS`` of the worker lowers it."""
    available = len(os.sched_getaffinity(0))
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(available, int(limit)) if limit.isdigit() and int(limit) > 0 else available


@cache
def usable_memory_bytes() -> int:
    """The machine's memory, or the control group's limit where that is lower."""
    total = psutil.virtual_memory().total
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total


@lru_cache(maxsize=1000)
def distributions_of(operation: str, _installation: Hashable = None) -> dict[str, str]:
    """Name and version of the distribution that offers an operation, and of everything it requires, as installed.

    Reading them takes a while, so the answer is kept for each value of the second argument, which says what is
    installed (:func:`zoo_worker.determinants.installation`).
    """
    point = next((item for item in entry_points(group=ENTRY_POINT_GROUP) if item.name == operation), None)
    if point is None or point.dist is None:
        return {}
    found: dict[str, str] = {}
    waiting: list[Distribution] = [point.dist]
    while waiting:
        item = waiting.pop()
        name = canonicalize_name(item.name)
        if name not in found:
            found[name] = item.version
            waiting.extend(_required(item))
    return dict(sorted(found.items()))


def plugin_of(operation: str, sources: Mapping[str, str]) -> dict[str, str]:
    """Name and version of the distribution that offers an operation, and a digest of what is installed of it.

    ``sources``: by name, the digests of the source of distributions that are installed for editing.  Of any other the
    digest is that of its ``RECORD``, which lists every installed file with its own.
    """
    point = next((item for item in entry_points(group=ENTRY_POINT_GROUP) if item.name == operation), None)
    if point is None or point.dist is None:
        return {}
    name = canonicalize_name(point.dist.name)
    found = {"name": name, "version": point.dist.version}
    if name in sources:
        return {**found, "digest_of": "source", "sha256": sources[name]}
    record = point.dist.read_text("RECORD")
    if record is None:
        return found
    return {**found, "digest_of": "RECORD", "sha256": f"sha256:{sha256(record.encode()).hexdigest()}"}


def _required(item: Distribution) -> Iterator[Distribution]:
    for line in item.requires or ():
        try:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                yield distribution(requirement.name)
        except (InvalidRequirement, PackageNotFoundError):
            continue
