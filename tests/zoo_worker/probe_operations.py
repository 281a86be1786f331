"""Operations that look around in the child process; installed for tests by the fixture ``probe_plugin``."""

import json
import mmap
import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.operations import OperationParams, OperationSpec, Port, Resources
from zoo_sdk.shared_cache import SharedCache, digest_of_folder
from zoo_sdk.vocabulary import StrategyKind


class ProbeParams(OperationParams):
    seconds: float = 0
    text: str = ""
    count: int = 0


class OutOfMemoryError(RuntimeError):
    """Named like torch's own."""


def _spec(
    name: str, *, inputs: tuple[Port, ...] = (), outputs: tuple[Port, ...] = (), max_gpus: int = 0
) -> OperationSpec:
    return OperationSpec(
        name=f"probe.{name}",
        version=1,
        summary=name,
        params=ProbeParams,
        implementation=f"probe_operations:{name}",
        inputs=inputs,
        outputs=outputs,
        strategy=StrategyKind.TRAINING if outputs else None,
        resources=Resources(max_gpus=max_gpus),
    )


WEIGHTS = Port(name="weights", required=False, many=True)
MODEL = Port(name="model", formats=("json",))
ENVIRONMENT = _spec("environment")
FRAMEWORK_MEMORY = _spec("framework_memory")
HOLD_MEMORY = _spec("hold_memory")
MAP_FILE = _spec("map_file")
NOT_A_NUMBER = _spec("not_a_number")
ODD_TEXT = _spec("odd_text")
LEAVE = _spec("leave")
HOLD_GPUS = _spec("hold_gpus", max_gpus=4)
LINK = _spec("link", outputs=(MODEL,))
LARGE = _spec("large", outputs=(MODEL,))
READ = _spec("read", inputs=(WEIGHTS,))
REACH = _spec("reach", inputs=(WEIGHTS,))
REMEMBER = _spec("remember", inputs=(WEIGHTS,))
SPEC_NAMES = (
    "ENVIRONMENT",
    "FRAMEWORK_MEMORY",
    "HOLD_MEMORY",
    "MAP_FILE",
    "NOT_A_NUMBER",
    "ODD_TEXT",
    "LEAVE",
    "HOLD_GPUS",
    "LINK",
    "LARGE",
    "REACH",
    "READ",
    "REMEMBER",
)


def environment(_params, _inputs, context):
    context.log(
        json.dumps({"environ": dict(os.environ), "cwd": str(Path.cwd()), "sid": os.getsid(0), "pid": os.getpid()})
    )


def framework_memory(_params, _inputs, _context):
    raise OutOfMemoryError("tried to allocate 20.00 GiB")


def hold_gpus(params, _inputs, context):
    context.log(json.dumps({"visible": os.environ["CUDA_VISIBLE_DEVICES"], "devices": context.devices}))
    time.sleep(params.seconds)


def hold_memory(params, _inputs, _context):
    block = bytearray(params.count * 2**20)
    block[::4096] = b"\1" * len(block[::4096])
    time.sleep(params.seconds)


def map_file(params, _inputs, context):
    path = context.scratch / "large"
    with path.open("w+b") as file:
        for _ in range(params.count):
            file.write(b"\1" * 2**20)
        file.flush()
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    assert sum(mapped[::4096]) == len(mapped) // 4096
    time.sleep(params.seconds)
    context.log(f"{psutil.Process().memory_info().rss // 2**20}")


def not_a_number(_params, _inputs, context):
    context.metric("loss", float("nan"), 3)
    context.metric("loss", 0.5, 4)


def odd_text(params, _inputs, context):
    sys.stdout.buffer.write(b"nul \x00 and \xff\n" + b"x" * 100_000 + b"\nprogress 1\rprogress 2\r\n")
    sys.stdout.flush()
    context.log("nul \x00")
    for number in range(params.count):
        print("line", number)


def leave(_params, _inputs, _context):
    sys.exit("no reason at all")


def link(_params, _inputs, context):
    (context.output() / "model.json").symlink_to("/etc/hostname")
    context.artifact(ArtifactDescription(format="json", files=("model.json",)))


def large(params, _inputs, context):
    (context.output() / "model.json").write_bytes(os.urandom(params.count))
    context.artifact(ArtifactDescription(format="json", files=("model.json",)))


def read(params, inputs, context):
    for item in inputs.many("weights"):
        path = item.main_file
        context.log(
            json.dumps({"size": path.stat().st_size, "mode": oct(path.stat().st_mode & 0o777), "name": path.name})
        )
    time.sleep(params.seconds)


def reach(params, inputs, context):
    """What it can get at: ``text`` holds the test's address, a file of another, a folder of another."""
    host, port, file, folder = params.text.split("|")
    trials = {
        "worker's server": lambda: socket.create_connection((host, int(port)), 2),
        "own loopback": _loopback,
        "another's file": lambda: Path(file).read_text(),
        "another's folder": lambda: Path(folder, "made").write_text("x"),
        "worker's environment": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
        "signal to the worker": lambda: os.kill(os.getppid(), 0),
        "passwords": lambda: Path("/etc/shadow").read_text(),
        "its inputs": lambda: [item.main_file.read_bytes() for item in inputs.many("weights")],
        "scratch": lambda: (context.scratch / "a").write_text("x"),
        "home": lambda: Path.home().joinpath("a").write_text("x"),
        "shared cache": lambda: (context.shared_cache / "a").write_text("x"),
        "a process": lambda: subprocess.run([sys.executable, "-c", "import json"], check=True),
        "shared memory": lambda: (
            mmap.mmap(-1, 4096) and Path("/dev/shm/probe").write_text("x") and Path("/dev/shm/probe").unlink()
        ),
        "a device": lambda: Path("/dev/null").write_text("x"),
    }
    reached = {}
    for name, trial in trials.items():
        try:
            trial()
            reached[name] = "yes"
        except OSError as error:
            reached[name] = type(error).__name__
    status = Path("/proc/self/status").read_text().splitlines()
    told = {line.split(":")[0]: line.split()[1] for line in status if line.startswith(("CapEff", "NoNewPrivs", "Uid"))}
    context.log(json.dumps({"reached": reached, "status": told, "core": resource.getrlimit(resource.RLIMIT_CORE)}))


def _loopback():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass


def remember(params, inputs, context):
    cache = SharedCache(context.shared_cache)
    known = cache.get(params.text)
    context.log("found" if known is not None else "made")
    if known is None:
        cache.put(params.text, (os.urandom(params.count),))
    for item in inputs.many("weights"):
        context.log(json.dumps({"given": item.digest, "read": digest_of_folder(item.folder)}))
