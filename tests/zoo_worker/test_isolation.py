"""What an operation's process cannot reach: the network, other people's files, the worker itself."""

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.zoo_worker.conftest import hold_input
from tests.zoo_worker.stand_in_registry import StandInRegistry
from zoo_sdk.errors import InvalidInput
from zoo_worker import confinement
from zoo_worker.agent import Agent
from zoo_worker.confinement import Confinement, find_confinement
from zoo_worker.landlock import landlock_version
from zoo_worker.settings import read_settings
from zoo_worker.state import StateFolder

pytestmark = pytest.mark.usefixtures("probe_plugin")
needs_landlock = pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
NETWORK = subprocess.run(
    [sys.executable, "-m", "zoo_worker.isolation", '{"isolation": {"network": true}}'], capture_output=True, check=False
)
needs_network_namespaces = pytest.mark.skipif(
    NETWORK.returncode != 0, reason="this machine lets nobody make a network of its own"
)


@pytest.fixture
def listener() -> Iterator[str]:
    """A server outside, as the registry or the database would be: its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1|{server.getsockname()[1]}"


def reach(registry: StandInRegistry, agent: Agent, listener: str, folder: Path) -> dict[str, Any]:
    """What the operation `probe.reach` could get at."""
    other = folder / "another's"
    other.mkdir()
    (other / "secret").write_text("secret")
    weights = hold_input(registry, b"[1, 2]")
    text = f"{listener}|{other / 'secret'}|{other}"
    job = registry.submit("probe.reach", {"text": text}, inputs={"weights": (weights,)})
    assert agent.run(str(job.id)) == "FINISHED", job.failed
    found: dict[str, Any] = json.loads(next(body.message for body in job.messages("log") if body.stream == "operation"))
    return found


@needs_landlock
@needs_network_namespaces
def test_an_operation_reaches_neither_network_nor_strangers_files_nor_its_worker(
    registry: StandInRegistry, make_agent: Callable[..., Agent], listener: str, tmp_path: Path
) -> None:
    agent = make_agent(isolation="required")
    found = reach(registry, agent, listener, tmp_path)
    refused = {name: outcome for name, outcome in found["reached"].items() if outcome != "yes"}
    assert refused == {
        "worker's server": "ConnectionRefusedError",
        "another's file": "PermissionError",
        "another's folder": "PermissionError",
        "worker's environment": "PermissionError",
        "signal to the worker": "PermissionError",
        "passwords": "PermissionError",
    }
    assert (found["status"]["CapEff"], found["status"]["NoNewPrivs"]) == ("0000000000000000", "1")
    assert found["core"] == [0, 0]
    assert registry.registrations[0].environment["isolation"] == "network, privileges"


def test_without_isolation_it_reaches_them_and_the_worker_says_so(
    registry: StandInRegistry, make_agent: Callable[..., Agent], listener: str, tmp_path: Path
) -> None:
    agent = make_agent(isolation="off")
    reached = reach(registry, agent, listener, tmp_path)["reached"]
    assert reached["worker's server"] == reached["another's file"] == "yes"
    assert registry.registrations[0].environment["isolation"] == "none"


@needs_landlock
@needs_network_namespaces
def test_outputs_checkpoints_and_measurements_come_back_from_an_isolated_operation(
    registry: StandInRegistry, make_agent: Callable[..., Agent]
) -> None:
    agent = make_agent(isolation="required")
    job = registry.submit("example.make", {"notes": True}, seed=3)
    assert agent.run(str(job.id)) == "FINISHED"
    assert set(job.finished[0].outputs) == {"model", "notes"}
    assert job.finished[0].environment["isolation"] == "network, privileges"


def test_what_the_machine_refuses_is_said_in_the_log_and_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        confinement, "_refusal", lambda wanted, _state: "Operation not permitted" if wanted.network else None
    )
    with caplog.at_level(logging.WARNING):
        found = find_confinement("auto", None, StateFolder(tmp_path / "state"))
    assert (found.title, found.network, found.files) == ("privileges", False, True)
    assert "isolation of operations: privileges. Refused here:" in caplog.text
    assert "network and files: Operation not permitted" in caplog.text


def test_required_isolation_that_is_refused_keeps_the_worker_from_starting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(confinement, "_refusal", lambda _wanted, _state: "no")
    assert find_confinement("auto", None, StateFolder(tmp_path / "state")) == Confinement()
    with pytest.raises(InvalidInput, match="network and privileges"):
        find_confinement("required", None, StateFolder(tmp_path / "state"))


def test_a_child_that_cannot_be_isolated_runs_no_operation(
    registry: StandInRegistry, make_agent: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_agent(isolation="off")
    agent._confinement = Confinement(user=(-5, -5))
    monkeypatch.setattr(confinement, "_hand_over", lambda _place, _user: None)
    job = registry.submit("example.make")
    agent.run(str(job.id))
    assert [(report.code, report.cause) for report in job.failed] == [("not-isolated", "infrastructure")]


TRIAL = """
import json, os, sys
from pathlib import Path
from zoo_worker.isolation import Isolation, isolate
import socket, encodings.idna
before = json.loads(sys.argv[1]).pop("without", [])
if before:
    import ctypes, struct
    libc = ctypes.CDLL(None, use_errno=True)
    held = int(next(l for l in open("/proc/self/status") if l.startswith("CapEff")).split()[1], 16)
    for number in before:
        held &= ~(1 << number)
    low, high = held & 0xFFFFFFFF, held >> 32
    assert libc.capset(struct.pack("Ii", 0x20080522, 0), struct.pack("6I", low, low, 0, high, high, 0)) == 0
wanted = {key: value for key, value in json.loads(sys.argv[1]).items() if key != "without"}
isolate(Isolation(**wanted))
told = {"user": [os.getuid(), os.getgid(), os.getgroups()]}
for name in sys.argv[2:]:
    try:
        Path(name).read_text()
        told[name] = True
    except OSError:
        told[name] = False
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
    told["loopback"] = True
told["interfaces"] = sorted(name for _, name in socket.if_nameindex())
print(json.dumps(told))
"""


def isolated(isolation: dict[str, Any], *paths: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", TRIAL, json.dumps(isolation), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@needs_root
def test_a_root_workers_child_becomes_another_user_for_good(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "secret").chmod(0o600)
    found = isolated({"user": [65534, 65534]}, tmp_path / "secret", Path("/proc/self/status"))
    assert (found["user"], found[str(tmp_path / "secret")]) == ([65534, 65534, []], False)
    assert found["/proc/self/status"]


@needs_root
@needs_network_namespaces
def test_without_the_right_to_make_networks_a_user_namespace_brings_it() -> None:
    cap_net_admin, cap_sys_admin = 12, 21
    found = isolated({"network": True, "without": [cap_net_admin, cap_sys_admin]})
    assert (found["interfaces"], found["loopback"]) == (["lo"], True)


@needs_root
def test_a_user_who_cannot_reach_what_operations_need_is_not_become(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(confinement, "_refusal", lambda _wanted, _state: None)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with caplog.at_level(logging.INFO):
        found = find_confinement("auto", "nobody", StateFolder(closed / "state"))
    assert found.user is None
    assert "is closed to others, and operations need" in caplog.text


@needs_root
def test_the_folders_that_another_user_writes_into_are_given_to_it(tmp_path: Path) -> None:
    (tmp_path / "inputs" / "deep").mkdir(parents=True, mode=0o700)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "old").touch()
    Confinement(user=(65534, 65534)).of_child(inputs=[tmp_path / "inputs"], writable=[tmp_path / "outputs"])
    assert (tmp_path / "outputs" / "old").stat().st_uid == (tmp_path / "outputs").stat().st_uid == 65534
    assert (tmp_path / "inputs" / "deep").stat().st_mode & 0o777 == 0o755


def test_the_settings_name_the_isolation_and_refuse_other_words() -> None:
    assert read_settings({}).isolation == "auto"
    assert read_settings({"ZOO_WORKER_ISOLATION": "required", "ZOO_WORKER_USER": "zoo"}).user == "zoo"
    with pytest.raises(InvalidInput, match="ZOO_WORKER_ISOLATION"):
        read_settings({"ZOO_WORKER_ISOLATION": "maybe"})


def test_a_user_who_does_not_exist_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(InvalidInput, match="no such user"):
        find_confinement("auto", "nobody-at-all", StateFolder(tmp_path / "state"))
