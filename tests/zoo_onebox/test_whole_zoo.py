"""The whole Zoo as a user starts it: first start, its answers, kill -9 of everything, the next start, the stop."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from zoo_onebox.home import Home
from zoo_onebox.leftovers import end_processes, marked_processes, wait_gone
from zoo_onebox.parts import installed_families
from zoo_onebox.serve import is_running

from .conftest import kill_all, remove_home

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(600)]


class Command:
    """`python -m zoo_onebox` on one home, without what the test run has in its environment."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("ZOO_", "MLFLOW_T"))
        }

    def __call__(self, *words: str, status: int = 0) -> str:
        command = [sys.executable, "-m", "zoo_onebox", words[0], "--home", str(self.home), *words[1:]]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=self._environment, timeout=400, cwd="/"
        )
        assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
        return done.stderr if status else done.stdout

    def up(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self("up", "--detach", "--json", "--port", "0", "--mlflow-port", "0"))
        return answer


@pytest.fixture
def zoo(home: Path) -> Iterator[Command]:
    yield Command(home)
    end_processes([item for item in marked_processes(Home(home)) if "zoo_onebox" in item.cmdline()], seconds=60)
    end_processes(marked_processes(Home(home)), seconds=10)
    remove_home(home)


def _get(url: str, token: str | None = None) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def test_a_whole_zoo_starts_answers_survives_kill_9_and_stops(zoo: Command) -> None:
    first = zoo.up()
    assert first["admin_token"]
    url, token = first["url"], first["admin_token"]

    status = json.loads(zoo("status", "--json"))
    programs = {"postgres", "valkey", "mlflow", "web", "beat", "chores"}
    workers = {f"worker-{name}" for name in installed_families()}
    assert set(status["parts"]) == programs | workers
    assert {name for name, part in status["parts"].items() if part["state"] != "ready"} <= {"mlflow"}
    assert status["url"] == url
    alive = {item["name"].split("@")[0] for item in _get(f"{url}/api/v1/workers", token)["results"] if item["alive"]}
    assert alive == set(installed_families())
    with pytest.raises(urllib.error.HTTPError, match=r"40[13]"):
        _get(f"{url}/api/v1/workers")
    with urllib.request.urlopen(f"{url}/admin/login/", timeout=20) as page:
        assert page.status == 200
    assert "already" in _refused(zoo)
    _check_secrets(zoo, token)

    everything = [psutil.Process(first["pid"]), *psutil.Process(first["pid"]).children(recursive=True)]
    kill_all(everything)
    assert not wait_gone(everything, seconds=20)
    second = zoo.up()
    assert second["admin_token"] is None
    another = json.loads(zoo("admin-token", "--json"))
    assert another["admin_token"] != token
    assert _get(f"{second['url']}/api/v1/workers", another["admin_token"])["results"]
    assert _get(f"{second['url']}/api/v1/workers", token)["results"]

    assert "has stopped" in zoo("down")
    assert not marked_processes(Home(zoo.home))
    assert not [path for path in zoo.home.rglob("*") if path.is_socket()]
    assert not is_running(Home(zoo.home))


def _refused(zoo: Command) -> str:
    return zoo("up", status=1)


def _check_secrets(zoo: Command, admin_token: str) -> None:
    files = [path for path in (zoo.home / "secrets").rglob("*") if path.is_file()]
    # Of a signing key (PEM), its longest line.
    secrets = {max(path.read_text().split("\n"), key=len).strip() for path in files} | {admin_token}
    assert len(secrets) == 4
    listing = subprocess.run(["ps", "axww", "-o", "args"], check=True, capture_output=True, text=True).stdout
    files = (*(zoo.home / "logs").iterdir(), *(zoo.home / "run").rglob("*.json"))
    written = "".join(path.read_text() for path in files)
    assert not [secret for secret in secrets if secret in listing or secret in written]
