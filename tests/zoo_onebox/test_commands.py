"""The commands: wrong environment, taken ports, unusable homes, and answers when nothing runs."""

import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from zoo_onebox.network import checked_port, server_url
from zoo_sdk.errors import Conflict, InvalidInput


def _zoo(*words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ZOO_")}
    return subprocess.run(
        [sys.executable, "-m", "zoo_onebox", *words],
        check=False, capture_output=True, text=True, timeout=60, env={**clean, **(environment or {})},
    )  # fmt: skip


def test_a_misspelt_variable_is_refused_with_the_nearest_known_one(home: Path) -> None:
    result = _zoo("up", "--home", str(home), environment={"ZOO_DATABSE_URL": "postgresql://db/zoo"})
    assert result.returncode == 1
    assert "ZOO_DATABSE_URL" in result.stdout + result.stderr
    assert "Did you mean ZOO_DATABASE_URL" in result.stdout + result.stderr
    assert not home.exists()


@pytest.mark.parametrize("option", ["--port", "--mlflow-port"])
def test_a_taken_port_is_named_with_who_has_it_and_the_option_to_change_it(home: Path, option: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        ports = {"--port": "0", "--mlflow-port": "0", option: str(port)}
        result = _zoo("up", "--home", str(home), *[word for pair in ports.items() for word in pair])
    assert result.returncode == 1
    assert f"Port {port} on 127.0.0.1 is taken by" in result.stdout + result.stderr
    assert f"(process {os.getpid()})" in result.stdout + result.stderr
    assert f"Choose another by {option}" in result.stdout + result.stderr
    assert not (home / "postgres").exists()


def test_an_address_that_is_not_this_machines_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"Cannot listen on 192.0.2.1 port 8080: Cannot assign"):
        checked_port("192.0.2.1", 8080, "port")


def test_port_zero_is_a_free_port() -> None:
    port = checked_port("127.0.0.1", 0, "port")
    with closing(socket.create_server(("127.0.0.1", port))), pytest.raises(Conflict):
        checked_port("127.0.0.1", port, "port")


def test_a_home_that_is_a_file_is_refused(home: Path) -> None:
    home.write_text("")
    result = _zoo("up", "--home", str(home))
    assert result.returncode == 1
    assert f"The Zoo's home {home} cannot be used" in result.stdout + result.stderr


def test_status_of_a_home_where_nothing_runs_says_so(home: Path) -> None:
    result = _zoo("status", "--home", str(home))
    assert result.returncode == 5
    assert "No Zoo runs" in result.stdout + result.stderr
    result = _zoo("status", "--home", str(home), "--json")
    assert result.returncode == 5
    assert json.loads(result.stdout) == {"running": False, "parts": {}}
    assert not home.exists()


def test_an_admin_token_needs_a_running_zoo(home: Path) -> None:
    result = _zoo("admin-token", "--home", str(home))
    assert result.returncode == 1
    assert "No Zoo runs" in result.stdout + result.stderr


def test_down_where_nothing_runs_is_no_error(home: Path) -> None:
    result = _zoo("down", "--home", str(home))
    assert result.returncode == 0
    assert "No Zoo runs" in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
        ("box", "http://box:80"),
    ],
)
def test_the_url_is_one_that_this_machine_reaches(host: str, url: str) -> None:
    assert server_url(host, 80) == url
