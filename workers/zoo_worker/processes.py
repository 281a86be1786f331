"""Process groups of children: their environment, their memory, their end, and what a killed worker left of them."""

import json
import logging
import os
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from zoo_worker.gpus import VISIBLE_DEVICES
from zoo_worker.state import write_atomically

logger = logging.getLogger(__name__)

ATTEMPT_MARK = "WORKER_ATTEMPT"
"""Environment variable of a child and all its descendants: tells them apart from strangers with a reused pid."""

SECRET_NAMES = re.compile(
    r"^(ZOO|CELERY|MLFLOW|AWS|REDIS|PG|DATABASE)_|^PGPASSWORD|TOKEN(?!IZERS)|SECRET|PASSW|CREDENTIAL|BROKER|(API|ACCESS|PRIVATE)_?KEY",
    re.IGNORECASE,
)
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip
SPIN_COUNT = "1000"
"""How often GNU OpenMP (torch's) looks at a barrier before it sleeps.  By default it spins on: beside another busy
process a training step took 20 times as long, with this count twice as long (docs/decisions/0003-short-spin.md)."""


def child_environment(
    environ: Mapping[str, str],
    *,
    threads: int,
    gpus: Sequence[str],
    scratch: Path,
    mark: str,
    secrets: tuple[str, ...] = (),
    own_home: bool,
) -> dict[str, str]:
    """The worker's environment without its secrets: neither by name nor by value, and no address of a service.

    ``gpus``: the ids of the only ones that the child sees.
    ``own_home``: its home is the scratch folder, because the worker's own is closed to it.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if not SECRET_NAMES.search(name) and not any(secret and secret in value for secret in secrets)
    }
    return (
        kept
        | dict.fromkeys(THREAD_VARIABLES, str(threads))
        | {
            VISIBLE_DEVICES: ",".join(gpus),
            "TMPDIR": str(scratch),
            **({"HOME": str(scratch), "XDG_CACHE_HOME": str(scratch / ".cache")} if own_home else {}),
            "GOMP_SPINCOUNT": environ.get("GOMP_SPINCOUNT", SPIN_COUNT),
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",  # a crash in native code leaves its Python stack in the log
            ATTEMPT_MARK: mark,
        }
    )


def signal_group(leader: int, number: signal.Signals) -> bool:
    """Send a signal to a child's process group; False when nothing of it is left."""
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return False
    return True


def group_memory_bytes(leader: int, *, exactly: bool = False) -> int:
    """Resident memory of a child and its descendants.

    ``exactly`` (slower): shared pages count once, and pages that are those of a file, which the kernel takes back when
    memory is short, not at all.
    """
    total = 0
    with suppress(psutil.Error):
        parent = psutil.Process(leader)
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.Error):
                total += _own_memory_bytes(process) if exactly else process.memory_info().rss
    return total


def _own_memory_bytes(process: psutil.Process) -> int:
    try:
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        text = ""
    found = re.findall(r"^Pss_(?:Anon|Shmem):\s+(\d+) kB$", text, re.MULTILINE)
    if not found:  # before Linux 5.9
        return int(process.memory_full_info().pss)
    return 1024 * sum(map(int, found))


def kernel_oom_kills() -> int:
    """How many processes the kernel has killed for memory: in our control group if it says so, and on the machine."""
    total = 0
    for path, key in _oom_counters():
        with suppress(OSError):
            found = re.search(rf"^{key}\s+(\d+)$", path.read_text(encoding="ascii"), re.MULTILINE)
            total += int(found[1]) if found else 0
    return total


def _oom_counters() -> Iterator[tuple[Path, str]]:
    yield Path("/proc/vmstat"), "oom_kill"
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
            _number, controllers, group = line.split(":", maxsplit=2)
            if not controllers:
                yield Path(f"/sys/fs/cgroup{group}/memory.events"), "oom_kill"
            elif "memory" in controllers.split(","):
                yield Path(f"/sys/fs/cgroup/memory{group}/memory.oom_control"), "oom_kill"


@contextmanager
def recorded_child(folder: Path, *, pid: int, mark: str) -> Iterator[None]:
    """Keep a record of a running child, by which the worker's next start finds it if this one is killed."""
    record = folder / f"{mark}.json"
    with suppress(psutil.Error):
        started = psutil.Process(pid).create_time()
        write_atomically(record, json.dumps({"pid": pid, "started": started, "mark": mark}))
    try:
        yield
    finally:
        record.unlink(missing_ok=True)


def kill_leftovers(folder: Path) -> list[str]:
    """Kill what is left of the children that a dead worker recorded; returns their marks."""
    marks: list[str] = []
    for path in sorted(folder.glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            pid, started, mark = int(record["pid"]), float(record["started"]), str(record["mark"])
        except (ValueError, KeyError, TypeError):
            logger.warning("%s is no record of a child process; removed", path)
        else:
            with suppress(psutil.Error):
                if psutil.Process(pid).create_time() == started:
                    signal_group(pid, signal.SIGKILL)
            marks.append(mark)
        path.unlink(missing_ok=True)
    if marks:
        _kill_marked(frozenset(marks))
    return marks


def _kill_marked(marks: frozenset[str]) -> None:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(ATTEMPT_MARK) in marks:
                logger.warning(
                    "killing process %s, left over from attempt %s", process.pid, process.environ()[ATTEMPT_MARK]
                )
                process.kill()
