"""A whole Zoo on a temporary home and free ports, for as long as a bench needs it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.reporting import say
from zoo_client import Client
from zoo_onebox.home import Home
from zoo_onebox.leftovers import end_processes, marked_processes

START_SECONDS = 400
STOP_SECONDS = 200
TEAM = "zoo"
"""The team that the first start makes."""


@dataclass(frozen=True)
class RunningZoo:
    """The Zoo's address, a token of its administrator, and the environment for commands that talk to it."""

    url: str
    token: str
    home: Path
    environment: dict[str, str]

    def client(self, url: str | None = None) -> Client:
        """A client; ``url`` for one that goes through something in between."""
        return Client(url or self.url, self.token)

    def web_processes(self) -> list[psutil.Process]:
        """Gunicorn's master and its workers."""
        answer = json.loads(_command("status", "--json", home=self.home, environment=self.environment))
        master = psutil.Process(answer["parts"]["web"]["pid"])
        return [master, *master.children(recursive=True)]


@contextmanager
def running_zoo(folder: Path, *, workers: bool) -> Iterator[RunningZoo]:
    """Start a Zoo below ``folder``, and stop it whatever happens."""
    folder.chmod(0o755)  # root's PostgreSQL runs as another user, who has to pass through
    home = folder / "zoo"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("ZOO_", "MLFLOW_TRACKING"))
    }
    environment |= {"XDG_CONFIG_HOME": str(folder / "config"), "XDG_CACHE_HOME": str(folder / "cache")}
    say(f"starting a Zoo {'with' if workers else 'without'} workers ...")
    words = ["up", "--detach", "--json", "--port", "0", "--mlflow-port", "0"]
    if not workers:
        words.append("--no-workers")
    try:
        answer = json.loads(_command(*words, home=home, environment=environment, seconds=START_SECONDS))
        say(f"it runs at {answer['url']}")
        command_environment = environment | {"ZOO_URL": answer["url"], "ZOO_TOKEN": answer["admin_token"]}
        yield RunningZoo(answer["url"], answer["admin_token"], home, command_environment)
    finally:
        _stop(home, environment)


def _stop(home: Path, environment: dict[str, str]) -> None:
    try:
        _command("down", home=home, environment=environment, seconds=STOP_SECONDS)
    finally:
        end_processes(marked_processes(Home(home)), seconds=20)


def _command(*words: str, home: Path, environment: dict[str, str], seconds: float = 60) -> str:
    command = [sys.executable, "-m", "zoo_onebox", words[0], "--home", str(home), *words[1:]]
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=seconds
    )
    if done.returncode != 0:
        raise RuntimeError(f"`zoo {words[0]}` ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout
