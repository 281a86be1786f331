"""The worker against the real registry: PostgreSQL, gunicorn, Valkey and a Celery worker, killed in turn."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
import pytest

from tests.zoo_worker.celery_parts import Broker, WorkerProcess
from tests.zoo_worker.conftest import child_pids, is_running, wait_until

pytestmark = pytest.mark.slow
DATABASE = f"zoo_worker_tests_{os.getpid()}"


class RealRegistry:
    """The registry's web server as a process, on a database of its own; can be killed and started again."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        parts = urlsplit(os.environ["ZOO_DATABASE_URL"])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZOO_", "MLFLOW_"))}
        self._environ = kept | {
            "ZOO_DATABASE_URL": urlunsplit(parts._replace(path=f"/{DATABASE}")),
            "ZOO_STORE_DIR": str(folder / "store"),
            "ZOO_HOME": str(folder / "home"),
            "ZOO_URL": self.url,
            "ZOO_BROKER_URL": broker.url,
            "ZOO_SECRET_KEY": "only-for-tests",
            "ZOO_LEASE_SECONDS": "6",
        }
        self.command("migrate", "-v", "0")
        first = json.loads(self.command("bootstrap", "--json").splitlines()[-1])
        self.worker_token, self.team = str(first["worker_token"]), str(first["team"])
        self._headers = {"Authorization": f"Bearer {first['admin_token']}"}
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def command(self, *words: str) -> str:
        answer = subprocess.run(
            [sys.executable, "-m", "zoo_server", *words],
            env=self._environ,
            check=True,
            capture_output=True,
            timeout=120,
        )
        return answer.stdout.decode()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "gunicorn", "-c", "python:zoo_server.config.gunicorn", "--workers", "1",
                "--bind", f"127.0.0.1:{self._port}", "zoo_server.config.wsgi:application",
            ],
            env=self._environ,
            start_new_session=True,
        )  # fmt: skip
        wait_until(self._is_healthy, 60)

    def _is_healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5).is_success
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def get(self, path: str, **params: Any) -> Any:
        return self._answer(httpx.get(f"{self.url}/api/v1/{path}", params=params, headers=self._headers, timeout=20))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._answer(httpx.post(f"{self.url}/api/v1/{path}", json=body, headers=self._headers, timeout=20))

    def _answer(self, response: httpx.Response) -> Any:
        assert response.is_success, response.text
        return response.json()

    def submit(self, operation: str, params: dict[str, Any], **more: Any) -> str:
        body = {"operation": operation, "team": self.team, "params": params, "outputs": {"model": f"{self.team}/made"}}
        body["cache"] = "off"  # equal jobs of other tests must not be hits
        return str(self.post("jobs", body | more)["id"])

    def job(self, job: str) -> Any:
        return self.get(f"jobs/{job}")

    def wait_for(self, job: str, *states: str, seconds: float = 40) -> Any:
        wait_until(lambda: self.job(job)["state"] in states, seconds)
        return self.job(job)

    def wait_for_progress(self, job: str) -> None:
        wait_until(lambda: self.job(job)["progress"].get("done", 0) >= 2, 30)

    def sweep(self) -> None:
        """What the registry's chores do every few seconds."""
        self.command(
            "shell", "-v", "0", "-c",
            "from zoo_server.jobs.services import dispatch, leases; leases.expire_leases(); dispatch.ring_bells()",
        )  # fmt: skip

    def sweep_until(self, job: str, *states: str) -> Any:
        deadline = time.monotonic() + 60
        while self.job(job)["state"] not in states:
            assert time.monotonic() < deadline, self.job(job)
            self.sweep()
        return self.job(job)

    def made(self) -> int:
        return len(self.get(f"models/{self.team}/made/versions")["results"])


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    broker = Broker()
    yield broker
    broker.close()


@pytest.fixture(scope="module")
def real_registry(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Iterator[RealRegistry]:
    with psycopg.connect(os.environ["ZOO_DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{DATABASE}"')
    registry = RealRegistry(tmp_path_factory.mktemp("registry"), broker)
    yield registry
    registry.kill()
    with psycopg.connect(os.environ["ZOO_DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{DATABASE}" WITH (FORCE)')


StartWorker = Callable[[], WorkerProcess]


@pytest.fixture
def start_worker(real_registry: RealRegistry, broker: Broker, tmp_path: Path) -> Iterator[StartWorker]:
    workers: list[WorkerProcess] = []

    def start() -> WorkerProcess:
        worker = WorkerProcess(
            real_registry.url, broker, tmp_path / "state", ZOO_WORKER_TOKEN=real_registry.worker_token
        )
        workers.append(worker)
        return worker.wait_ready()

    yield start
    for worker in workers:
        worker.close()


def test_a_submitted_job_makes_a_version_with_lineage_metrics_and_environment(
    real_registry: RealRegistry, start_worker: StartWorker
) -> None:
    start_worker()
    first = real_registry.wait_for(real_registry.submit("example.make", {"passes": 2}), "succeeded", "failed")
    assert first["state"] == "succeeded", first["error"]
    second = real_registry.submit("example.make", {}, inputs={"base": first["result"]}, seed=4)
    job = real_registry.wait_for(second, "succeeded", "failed")
    assert job["state"] == "succeeded", job["error"]
    number = re.split("@", job["result"])[1]
    version = real_registry.get(f"models/{real_registry.team}/made/versions/{number}")
    assert version["state"] == "candidate"
    assert [(edge["role"], edge["reference"]) for edge in version["parents"]] == [("base", first["result"])]
    assert {metric["name"] for metric in version["metrics"]} == {"size_bytes", "parameters"}
    states = real_registry.get(f"jobs/{second}/events", kind="state")["results"]
    assert [event["body"]["state"] for event in states] == ["inputs", "running", "uploading"]


def test_kill_9_of_the_web_server_in_the_middle_of_a_job_costs_nothing(
    real_registry: RealRegistry, start_worker: StartWorker
) -> None:
    start_worker()
    versions = real_registry.made()
    job = real_registry.submit("example.wait", {"seconds": 0.2, "steps": 25})
    real_registry.wait_for_progress(job)
    real_registry.kill()
    real_registry.start()
    ended = real_registry.sweep_until(job, "succeeded", "failed")
    assert ended["state"] == "succeeded", ended["error"]
    assert real_registry.made() == versions + 1


def test_kill_9_of_the_worker_in_the_middle_of_a_job_ends_in_one_version_by_a_later_attempt(
    real_registry: RealRegistry, start_worker: StartWorker
) -> None:
    versions = real_registry.made()
    worker = start_worker()
    job = real_registry.submit("example.wait", {"seconds": 0.2, "steps": 25})
    real_registry.wait_for_progress(job)
    pid = child_pids(worker.state)[0]
    worker.process.kill()
    wait_until(lambda: not is_running(pid), 3)
    start_worker()
    ended = real_registry.sweep_until(job, "succeeded", "failed")
    assert (ended["state"], ended["attempt"]) == ("succeeded", 2)
    assert real_registry.made() == versions + 1


def test_sigterm_of_the_worker_hands_the_job_to_the_next_one_at_once(
    real_registry: RealRegistry, start_worker: StartWorker
) -> None:
    worker = start_worker()
    job = real_registry.submit("example.wait", {"seconds": 0.2, "steps": 25})
    real_registry.wait_for_progress(job)
    assert worker.terminate() == 0
    assert real_registry.job(job)["state"] == "queued"
    start_worker()
    assert real_registry.wait_for(job, "succeeded", "failed")["state"] == "succeeded"


def test_a_cancelled_job_ends_as_cancelled(real_registry: RealRegistry, start_worker: StartWorker) -> None:
    start_worker()
    job = real_registry.submit("example.wait", {"seconds": 0.2, "steps": 1000})
    real_registry.wait_for_progress(job)
    real_registry.post(f"jobs/{job}/cancel", {})
    ended = real_registry.wait_for(job, "cancelled")
    assert ended["cause"] == "cancelled"


def test_kill_9_of_the_child_fails_the_job_with_its_cause(
    real_registry: RealRegistry, start_worker: StartWorker
) -> None:
    worker = start_worker()
    job = real_registry.submit("example.wait", {"seconds": 0.2, "steps": 1000})
    real_registry.wait_for_progress(job)
    os.kill(child_pids(worker.state)[0], signal.SIGKILL)
    ended = real_registry.wait_for(job, "failed")
    assert ended["cause"] == "plugin_error"
    assert "SIGKILL" in ended["error"]["message"]
