"""Fixtures of the one-machine room: a home in a short path, and whole starts as processes that are always ended."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from zoo_onebox.home import Home
from zoo_onebox.leftovers import end_processes, marked_processes, noted_processes
from zoo_onebox.postgres import find_server

STAND_IN = Path(__file__).with_name("stand_in_zoo.py")


class Started:
    """A start as a process, and what it wrote."""

    def __init__(self, command: list[str], home: Path, environment: dict[str, str] | None = None) -> None:
        self.home = Home(home)
        self._output = tempfile.NamedTemporaryFile("w+b", prefix="zoo-test-")  # noqa: SIM115 (closed by clean_up)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ZOO_")}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={**inherited, "COLUMNS": "200", **(environment or {})},
            start_new_session=True,
        )

    @property
    def output(self) -> str:
        return Path(self._output.name).read_text(encoding="utf-8")

    @property
    def note(self) -> dict[str, Any]:
        return self.home.read_note()

    def wait_ready(self, seconds: float = 90) -> "Started":
        self.wait_for(lambda: "Zoo runs" in self.output, seconds)
        return self

    def wait_for(self, condition: Callable[[], object], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                assert condition(), f"the start ended with {self.process.returncode}:\n{self.output}"
                return
            assert time.monotonic() < deadline, f"not within {seconds} s:\n{self.output}"
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGINT, seconds: float = 60) -> int:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        return self.process.wait(seconds)

    def clean_up(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
            self.process.kill()
            self.process.wait()
        end_processes([*marked_processes(self.home), *noted_processes(self.home)], seconds=20)
        self._output.close()


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path for a home; also what its PostgreSQL put elsewhere is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="zt", dir="/tmp"))
    folder.chmod(0o755)
    yield folder / "zoo"
    remove_home(folder / "zoo")
    shutil.rmtree(folder, ignore_errors=True)


def remove_home(path: Path) -> None:
    with suppress(FileNotFoundError, NotADirectoryError):
        shutil.rmtree((path / "postgres" / "location").read_text().strip(), ignore_errors=True)
    with suppress(NotADirectoryError):
        Home(path).clear_run()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., Started]]:
    """Start stand-ins: ``start("web", "valkey")``."""
    started: list[Started] = []

    def begin(*parts: str, at: Path = home, port: int = 0, environment: dict[str, str] | None = None) -> Started:
        command = [sys.executable, str(STAND_IN), str(at), str(port), *parts]
        started.append(Started(command, at, environment))
        return started[-1]

    yield begin
    for item in started:
        item.clean_up()


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL to each; some die of their parent's death before their turn comes."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def alive(number: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(number).status() != psutil.STATUS_ZOMBIE)
    return False


def socket_folder(home: Path) -> Path:
    """Where the home's running PostgreSQL listens."""
    server = find_server(Home(home))
    assert server is not None
    return Path(Path(server.cwd(), "postmaster.pid").read_text().splitlines()[4])
