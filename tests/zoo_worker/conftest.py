"""Fixtures: the stand-in registry, agents that talk to it, and a plugin that looks around in the child."""

import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.zoo_worker import probe_operations
from tests.zoo_worker.mlflow_server import MlflowServer
from tests.zoo_worker.stand_in_registry import TOKEN, StandInJob, StandInRegistry
from zoo_sdk.artifacts import ArtifactDescription, FileEntry
from zoo_sdk.messages import AssignedInput
from zoo_worker.agent import Agent
from zoo_worker.journal import Journal, StartEntry
from zoo_worker.mlflow_mirror import connect
from zoo_worker.settings import WorkerSettings

if TYPE_CHECKING:
    from mlflow import MlflowClient

GRACE_SECONDS = 1.0


@pytest.fixture(autouse=True)
def no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("ZOO_HOME", raising=False)


@pytest.fixture
def registry() -> Iterator[StandInRegistry]:
    server = StandInRegistry()
    yield server
    server.close()


@pytest.fixture
def settings(registry: StandInRegistry, tmp_path: Path) -> WorkerSettings:
    return WorkerSettings(
        url=registry.url,
        token=TOKEN,
        name="example@test",
        state=tmp_path / "state",
        cache_bytes=2**20,
        queues=("example.cpu", "probe.cpu"),
        broker_url="redis://:broker-secret@127.0.0.1:1/0",
        grace_seconds=GRACE_SECONDS,
        isolation="off",  # trying what the machine allows takes a second; test_isolation.py does it
    )


@pytest.fixture
def make_agent(settings: WorkerSettings) -> Iterator[Callable[..., Agent]]:
    agents: list[Agent] = []

    def make(**changes: Any) -> Agent:
        agent = Agent(replace(settings, **changes))
        agents.append(agent)
        agent.start()
        return agent

    yield make
    for agent in agents:
        agent.close()


@pytest.fixture
def agent(make_agent: Callable[..., Agent]) -> Agent:
    return make_agent()


@pytest.fixture
def probe_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the probe operations for this process and its children, as a distribution on the path."""
    folder = tmp_path / "plugins"
    info = folder / "probe-1.0.dist-info"
    info.mkdir(parents=True)
    source = Path(probe_operations.__file__)
    (folder / source.name).write_text(source.read_text())
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 1.0\n")
    points = "\n".join(f"probe.{name.lower()} = {source.stem}:{name}" for name in probe_operations.SPEC_NAMES)
    (info / "entry_points.txt").write_text(f"[zoo.operations]\n{points}\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


@pytest.fixture(scope="session")
def server() -> Iterator[MlflowServer]:
    """A real MLflow server on SQLite."""
    with tempfile.TemporaryDirectory(prefix="mlflow-") as folder:
        server = MlflowServer(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def mlflow(server: MlflowServer) -> "MlflowClient":
    return connect(server.url)


@pytest.fixture
def open_journal() -> Iterator[Callable[[Path, StartEntry], Journal]]:
    """Begins journals that are left open, as a killed worker leaves them."""
    journals: list[Journal] = []

    def begin(path: Path, start: StartEntry) -> Journal:
        journals.append(Journal(path, start))
        return journals[-1]

    yield begin
    for journal in journals:
        if journal._file is not None:
            journal._file.close()


def hold_input(
    registry: StandInRegistry, data: bytes, *, path: str = "model.json", kind: str = "json"
) -> AssignedInput:
    """An input version of one file, held by the registry."""
    return AssignedInput(
        reference="vision/base@1",
        version_id=uuid4(),
        artifact=ArtifactDescription(format=kind, files=(path,)),
        files=(FileEntry(path=path, sha256=registry.hold(data), size=len(data)),),
    )


def run_beside(agent: Agent, job: StandInJob) -> threading.Thread:
    """Run a job in a thread, as Celery's pool does."""
    thread = threading.Thread(target=agent.run, args=(str(job.id),), daemon=True)
    thread.start()
    return thread


def wait_until(condition: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def child_pids(state: Path) -> list[int]:
    """The children that a worker's state folder says to be running."""
    return [int(json.loads(path.read_text())["pid"]) for path in (state / "running").glob("*.json")]
