"""Every command line of docker-compose.yml, run as a process on a real PostgreSQL and Valkey: there is no Docker here.

Host names, ports and folders of the containers are replaced by those of this machine; nothing else is.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.zoo_onebox.conftest import Started, socket_folder
from zoo_onebox.leftovers import descendants, end_processes
from zoo_onebox.parts import celery_is_ready
from zoo_onebox.valkey import server_binary

from .compose_file import example_variables, services

pytestmark = [pytest.mark.slow, pytest.mark.system]

PASSWORDS = ("ZOO_SECRET_KEY", "ZOO_POSTGRES_PASSWORD", "MLFLOW_POSTGRES_PASSWORD", "ZOO_VALKEY_PASSWORD")


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


class Machine:
    """This machine in the place of the containers."""

    def __init__(self, folder: Path, sockets: Path) -> None:
        self.folder = folder
        self.ports = {name: _free_port() for name in ("web", "mlflow", "valkey")}
        self.values = example_variables() | {name: f"pw-{name.lower()}" for name in PASSWORDS}
        self._places = {
            "postgresql://zoo:pw-zoo_postgres_password@postgres:5432/zoo": f"postgresql://zoo@/zoo?host={sockets}",
            "postgresql+psycopg2://mlflow:pw-mlflow_postgres_password@postgres:5432/mlflow": (
                f"postgresql+psycopg2://mlflow@/mlflow?host={sockets}"
            ),
            "@valkey:6379": f"@127.0.0.1:{self.ports['valkey']}",
            "--port 6379": f"--port {self.ports['valkey']}",
            "http://web:8080": f"http://127.0.0.1:{self.ports['web']}",
            "0.0.0.0:8080": f"127.0.0.1:{self.ports['web']}",
            "127.0.0.1:8080": f"127.0.0.1:{self.ports['web']}",
            "http://mlflow:5000": f"http://127.0.0.1:{self.ports['mlflow']}",
            "127.0.0.1:5000": f"127.0.0.1:{self.ports['mlflow']}",
            "/var/lib": str(folder / "var"),
            "/tmp/beat-schedule": str(folder / "tmp" / "beat-schedule"),
            "find /tmp ": f"find {folder / 'tmp'} ",
            "--dir /data": f"--dir {folder / 'data'}",
        }
        for name in ("var", "tmp", "data", "bin"):
            (folder / name).mkdir()
        (folder / "bin" / "valkey-server").symlink_to(server_binary())
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def command(self, name: str, key: str = "command") -> list[str]:
        service = services(self.values)[name]
        words = service[key] if key == "command" else service["healthcheck"]["test"]
        if words[0] == "CMD-SHELL":
            words = ["CMD", "sh", "-c", *words[1:]]
        words = [self._here(word) for word in words]
        if key == "command" and name == "mlflow":
            words = [{"0.0.0.0": "127.0.0.1", "5000": str(self.ports["mlflow"])}.get(word, word) for word in words]
        return words[1:] if words[0] == "CMD" else words

    def environment(self, name: str) -> dict[str, str]:
        service = services(self.values)[name]["environment"]
        given = {key: self._here(str(value)) for key, value in service.items() if key != "<<"}
        if "ZOO_WORKER_STATE" in given:
            given["ZOO_WORKER_STATE"] = str(self.folder / "var" / name)  # a volume of its own
        path = f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.defpath}"
        return {"PATH": path, "HOME": str(self.folder), "MLFLOW_DISABLE_TELEMETRY": "true", **given}

    def start(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as stream:
            self._running[name] = subprocess.Popen(
                self.command(name), env=self.environment(name), cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=stream, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def run_once(self, name: str) -> str:
        done = subprocess.run(
            self.command(name), env=self.environment(name), cwd=self.folder, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def healthy(self, name: str) -> bool:
        """What the service's health check says."""
        check = subprocess.run(
            self.command(name, "healthcheck"),
            env=self.environment(name),
            cwd=self.folder,
            check=False,
            capture_output=True,
        )
        return check.returncode == 0

    def wait(self, name: str, condition: Callable[[], bool], seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            process = self._running[name]
            assert process.poll() is None, f"{name} ended with {process.returncode}:\n{self.log(name)}"
            assert time.monotonic() < deadline, f"{name} is not ready:\n{self.log(name)}"
            time.sleep(0.5)

    def _here(self, text: str) -> str:
        for there, here in self._places.items():
            text = text.replace(there, here)
        return text

    def stop(self) -> None:
        for process in reversed(self._running.values()):
            family = descendants(process.pid)
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            end_processes(family, seconds=5)


@pytest.fixture
def machine(start: Callable[..., Started], home: Path) -> Iterator[Machine]:
    """PostgreSQL under the one-machine room's manager, and this machine in the place of the containers."""
    start("postgres").wait_ready()
    folder = home.with_name("containers")
    folder.mkdir()
    here = Machine(folder, socket_folder(home))
    yield here
    here.stop()


def test_every_command_line_of_the_compose_file_runs(machine: Machine) -> None:
    machine.start("valkey")
    machine.wait("valkey", lambda: _accepts(machine.ports["valkey"]))
    machine.run_once("migrate")
    assert "Signing key" in machine.run_once("signing-key")
    tokens = json.loads(machine.run_once("bootstrap").strip().splitlines()[-1])
    assert tokens["admin_token"]
    machine.values["ZOO_WORKER_TOKEN"] = tokens["worker_token"]
    one_shot = {"migrate", "bootstrap", "signing-key"}
    by_default = [name for name, service in services().items() if "profiles" not in service]
    long_running = [name for name in by_default if name not in {"postgres", "valkey", *one_shot}]
    for name in long_running:
        machine.start(name)
    for name in ("web", "mlflow"):
        machine.wait(name, partial(machine.healthy, name))
    machine.wait("beat", lambda: "beat: Starting" in machine.log("beat"))
    for name in ("chores", *(name for name in long_running if name.startswith("worker-"))):
        machine.wait(name, partial(_is_ready, machine, name))
    for name in long_running:
        assert machine.healthy(name), f"the health check of {name} fails:\n{machine.log(name)}"


def _is_ready(machine: Machine, name: str) -> bool:
    return celery_is_ready(machine.log(name))


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"AUTH pw-zoo_valkey_password\r\n")
            return connection.recv(16).startswith(b"+OK")
    except OSError:
        return False
