"""Whole starts with stand-ins under the real manager: start, stop, crash, kill -9, a second start."""

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from zoo_onebox.leftovers import marked_processes, wait_gone

from .conftest import Started, alive, kill_all

Start = Callable[..., Started]


def _job(started: Started) -> int:
    return int(re.findall(r"^job (\d+)$", (started.home.logs / "worker.log").read_text(), re.MULTILINE)[-1])


def _sockets(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_socket()]


def _everything(started: Started) -> list[psutil.Process]:
    return [psutil.Process(started.process.pid), *psutil.Process(started.process.pid).children(recursive=True)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_ends_everything_and_leaves_nothing(start: Start, number: int) -> None:
    zoo = start("web", "worker", "valkey").wait_ready()
    everything = _everything(zoo)
    assert _job(zoo) in {item.pid for item in everything}

    assert zoo.stop(number) == 0

    assert not [item for item in everything if alive(item.pid)]
    assert not marked_processes(zoo.home)
    assert not _sockets(zoo.home.root)
    assert not zoo.home.run.exists()
    assert not zoo.home.note.exists()


def test_programs_are_stopped_in_the_reverse_order_of_their_need(start: Start) -> None:
    zoo = start("valkey", "web", "worker").wait_ready()
    assert zoo.stop() == 0
    assert re.findall(r"■ (\S+)", zoo.output) == ["worker", "web", "Valkey"]


def test_a_program_that_ignores_the_stop_signal_is_killed(start: Start) -> None:
    zoo = start("stubborn").wait_ready()
    number = zoo.note["pids"]["stubborn"]
    assert zoo.stop() == 0
    assert not alive(number)


def test_the_note_tells_where_the_zoo_is_and_what_runs(start: Start) -> None:
    zoo = start("web", "valkey").wait_ready()
    zoo.wait_for(lambda: zoo.note.get("ready") == ["valkey", "web"])
    note = zoo.note
    assert note["state"] == "ready"
    assert note["pid"] == zoo.process.pid
    assert note["url"].startswith("http://127.0.0.1:")
    assert set(note["pids"]) == {"web", "valkey"}
    assert all(alive(number) for number in note["pids"].values())


def test_a_crashed_program_is_started_again_and_it_is_logged(start: Start) -> None:
    zoo = start("web").wait_ready()
    first = zoo.note["pids"]["web"]
    os.kill(first, signal.SIGKILL)
    zoo.wait_for(lambda: zoo.note.get("pids", {}).get("web", first) != first)
    zoo.wait_for(lambda: "web server has crashed" in (zoo.home.logs / "zoo.log").read_text())
    assert alive(zoo.note["pids"]["web"])


@pytest.mark.slow
def test_the_job_of_a_killed_worker_does_not_outlive_it(start: Start) -> None:
    zoo = start("worker").wait_ready()
    job = _job(zoo)
    os.kill(zoo.note["pids"]["worker"], signal.SIGKILL)
    zoo.wait_for(lambda: not alive(job), seconds=30)
    zoo.wait_for(lambda: "ended an orphaned sleep" in zoo.output)
    zoo.wait_for(lambda: _job(zoo) != job and alive(_job(zoo)))


def test_a_second_start_says_that_the_first_runs(start: Start) -> None:
    first = start("web").wait_ready()
    first.wait_for(lambda: first.note.get("state") == "ready")
    second = start("web")
    assert second.process.wait(20) == 1
    assert "runs on" in second.output
    assert first.note["url"] in second.output
    assert str(first.process.pid) in second.output
    assert alive(first.note["pids"]["web"])


def test_two_homes_run_side_by_side(start: Start, home: Path) -> None:
    first = start("web", "valkey").wait_ready()
    second = start("web", "valkey", at=home.with_name("other")).wait_ready()
    assert first.note["url"] != second.note["url"]
    assert first.stop() == 0
    assert alive(second.note["pids"]["valkey"])


def test_killing_the_command_ends_the_programs_too(start: Start) -> None:
    zoo = start("web", "worker", "valkey").wait_ready()
    zoo.wait_for(lambda: str(_job(zoo)) in zoo.note["processes"])
    numbers = [item.pid for item in _everything(zoo) if item.pid != _job(zoo)]
    zoo.process.kill()
    zoo.process.wait()
    assert not wait_gone([psutil.Process(number) for number in numbers if alive(number)], seconds=30)


def test_a_killed_manager_is_replaced_with_all_it_ran(start: Start) -> None:
    zoo = start("web", "worker", "valkey").wait_ready()
    before = zoo.note["pids"]
    job = _job(zoo)
    (manager,) = psutil.Process(zoo.process.pid).children()
    manager.kill()
    zoo.wait_for(
        lambda: zoo.note.get("state") == "ready" and zoo.note["pids"].get("web", before["web"]) != before["web"]
    )
    assert "All is started again" in zoo.output
    assert not [number for number in (*before.values(), job) if alive(number)]
    assert zoo.stop() == 0


def test_what_a_kill_of_everything_leaves_is_ended_by_the_next_start(start: Start) -> None:
    zoo = start("web", "worker", "valkey").wait_ready()
    job = _job(zoo)  # in a session of its own and with an empty environment: as hard to find as can be
    zoo.wait_for(lambda: str(job) in zoo.note["processes"])
    kill_all(item for item in _everything(zoo) if item.pid != job)
    zoo.process.wait()
    assert alive(job)

    again = start("web", "worker", "valkey").wait_ready()

    assert "ended what an earlier run had left" in again.output
    assert not alive(job)
    assert again.stop() == 0


def test_a_part_that_does_not_come_up_ends_the_start_with_its_last_words(start: Start) -> None:
    zoo = start("valkey", "broken")
    assert zoo.process.wait(60) == 1
    assert "broken part does not stay up" in zoo.output
    assert "the disk is made of cheese" in zoo.output
    assert not marked_processes(zoo.home)


def test_a_step_that_fails_ends_the_start_with_its_last_words(start: Start) -> None:
    zoo = start("valkey", "broken-step")
    assert zoo.process.wait(60) == 1
    assert "broken step ended with exit status 1" in zoo.output
    assert "the disk is made of cheese" in zoo.output


def test_a_stop_signal_during_the_start_stops_what_has_started(start: Start) -> None:
    zoo = start("valkey", "broken")
    zoo.wait_for(lambda: "✔ Valkey" in zoo.output)
    assert zoo.stop() in {0, 1}
    assert not marked_processes(zoo.home)
    assert not _sockets(zoo.home.root)


def test_a_background_start_returns_when_ready_and_goes_on(start: Start) -> None:
    zoo = start("web", "--detach")
    assert zoo.process.wait(60) == 0
    note = zoo.note
    assert alive(note["pid"])
    assert note["pid"] != zoo.process.pid
    assert "shown-once" in zoo.output
    os.kill(note["pid"], signal.SIGTERM)
    zoo_process = psutil.Process(note["pid"])
    zoo_process.wait(30)
    assert not marked_processes(zoo.home)


def test_a_background_start_that_fails_says_so_by_its_exit_status(start: Start) -> None:
    zoo = start("broken-step", "--detach")
    assert zoo.process.wait(60) == 1
    assert "cheese" in zoo.output


def test_secrets_are_neither_arguments_nor_logged_nor_readable_by_others(start: Start) -> None:
    password = "postgresql://zoo:hunter2@db/zoo"
    zoo = start("web", "worker", environment={"ZOO_DATABASE_URL": password}).wait_ready()
    token = zoo.home.secret("worker-token").read_text()
    environment = psutil.Process(zoo.note["pids"]["worker"]).environ()
    assert environment["ZOO_WORKER_TOKEN"] == token
    assert environment["ZOO_DATABASE_URL"] == password

    listing = subprocess.run(["ps", "axww", "-o", "args"], check=True, capture_output=True, text=True).stdout
    kept = "".join(
        path.read_text() for path in (*zoo.home.logs.iterdir(), *zoo.home.run.rglob("*.json"), zoo.home.note)
    )
    for secret in (token, "hunter2", "shown-once"):
        assert secret not in listing
        assert secret not in kept
    assert zoo.home.secrets.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in zoo.home.secrets.iterdir()} == {0o600}


def test_programs_get_the_named_environment_and_no_more(start: Start) -> None:
    zoo = start("web", environment={"SOMETHING_PRIVATE": "1"}).wait_ready()
    environment = psutil.Process(zoo.note["pids"]["web"]).environ()
    assert set(environment) <= {"ONEBOX_HOME", "LC_CTYPE"}


@pytest.mark.parametrize("name", ["a" * 120, "with space; #hash 50%d 'q' \"dq\" ü"])
def test_a_long_or_odd_path_makes_no_difference(start: Start, home: Path, name: str) -> None:
    zoo = start("web", "worker", "valkey", at=home.with_name(name)).wait_ready()
    elsewhere = Path(zoo.note["sockets"])
    assert _sockets(elsewhere)
    assert zoo.stop() == 0
    assert not elsewhere.exists()
