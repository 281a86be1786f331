"""Whole attempts: a real agent and real child processes against the stand-in registry."""

import json
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.zoo_worker.conftest import child_pids, hold_input, is_running, run_beside, wait_until
from tests.zoo_worker.stand_in_registry import TOKEN, StandInRegistry
from zoo_worker.agent import Agent
from zoo_worker.processes import SPIN_COUNT
from zoo_worker.settings import WorkerSettings

pytestmark = pytest.mark.usefixtures("probe_plugin")


def test_a_job_is_carried_out_and_files_measurements_and_events_arrive(registry: StandInRegistry, agent: Agent) -> None:
    job = registry.submit("example.make", {"notes": True}, seed=3)
    assert agent.run(str(job.id)) == "FINISHED"
    report = job.finished[0]
    assert set(report.outputs) == {"model", "notes"}
    entry = report.outputs["model"].files[0]
    upload = next(item for item in registry.uploads.values() if item.filename == "model.json")
    assert upload.complete
    assert (entry.path, entry.sha256, entry.size) == ("model.json", upload.sha256, len(upload.data))
    assert {item.name for item in report.measurements} == {"size_bytes", "parameters"}
    assert [(item.kind, list(item.content)) for item in report.reports] == [("centroids", ["per_class"])]
    assert [body.state for body in job.messages("state")] == ["inputs", "running", "uploading"]
    assert job.messages("progress")[-1].done == 3
    assert [body.step for body in job.messages("metric")] == [1, 2]
    assert [number for _, number in sorted(job.events)] == list(range(1, len(job.events) + 1))


def test_the_environment_record_names_machine_and_distributions(registry: StandInRegistry, agent: Agent) -> None:
    job = registry.submit("example.make")
    agent.run(str(job.id))
    environment = job.finished[0].environment
    assert environment["python"]["version"].startswith("3.")
    assert environment["cpu"]["threads"] >= 1
    assert environment["memory_bytes"] > 0
    assert environment["distributions"].keys() >= {"zoo-example", "zoo-sdk", "zoo-vision", "numpy", "pydantic"}


def test_the_registration_offers_the_operations_of_the_queues(registry: StandInRegistry, agent: Agent) -> None:
    registration = registry.registrations[0]
    names = {manifest.name for manifest in registration.operations}
    assert {"example.make", "example.wait", "probe.environment"} <= names
    assert not any(name.startswith("torch.") for name in names)
    assert registration.queues == ("example.cpu", "probe.cpu")


def test_an_idle_worker_registers_again_so_that_it_counts_as_alive(
    registry: StandInRegistry, make_agent: Callable[..., Agent]
) -> None:
    registry.heartbeat_seconds = 1
    make_agent()
    wait_until(lambda: len(registry.registrations) >= 2, seconds=5)


def test_a_second_message_for_the_same_job_is_dropped(registry: StandInRegistry, agent: Agent) -> None:
    job = registry.submit("example.wait", {"steps": 1})
    assert agent.run(str(job.id)) == "FINISHED"
    assert agent.run(str(job.id)) is None
    assert (job.claims, job.attempt, len(job.finished)) == (2, 1, 1)


@pytest.mark.parametrize("message", ["no job at all", "../../register", "7b5d2f6e-9d1c-7000-8000-000000000000"])
def test_a_message_for_no_job_is_dropped(agent: Agent, message: str) -> None:
    assert agent.run(message) is None


@pytest.mark.parametrize(
    ("failure", "cause", "code"),
    [
        ("raise", "plugin_error", "operation-failed"),
        ("unavailable", "infrastructure", "unavailable"),
        ("invalid", "invalid_input", "invalid-input"),
        ("exit", "plugin_error", "no-result"),
        ("kill", "plugin_error", "killed"),
        ("no_output", "plugin_error", "operation-failed"),
    ],
)
def test_each_end_of_the_child_has_its_cause(
    registry: StandInRegistry, agent: Agent, failure: str, cause: str, code: str
) -> None:
    job = registry.submit("example.wait", {"failure": failure, "steps": 1})
    assert agent.run(str(job.id)) == "FAILED"
    assert (job.failed[0].cause, job.failed[0].code) == (cause, code)
    assert job.failed[0].environment["python"]


def test_a_child_that_is_killed_tells_signal_and_last_lines(registry: StandInRegistry, agent: Agent) -> None:
    job = registry.submit("example.wait", {"failure": "kill", "steps": 1, "print_lines": 50})
    agent.run(str(job.id))
    report = job.failed[0]
    assert "SIGKILL" in report.message
    assert report.facts["stderr"].splitlines()[-1] == "stderr line 49"


def test_kill_9_of_the_child_from_outside_ends_the_job_as_plugin_error(
    registry: StandInRegistry, agent: Agent, settings: WorkerSettings
) -> None:
    job = registry.submit("example.wait", {"seconds": 60, "steps": 1})
    thread = run_beside(agent, job)
    wait_until(lambda: child_pids(settings.state))
    os.kill(child_pids(settings.state)[0], signal.SIGKILL)
    thread.join(10)
    assert (job.state, job.failed[0].cause) == ("failed", "plugin_error")


def test_sigterm_of_the_child_from_outside_is_the_infrastructures_fault(
    registry: StandInRegistry, agent: Agent, settings: WorkerSettings
) -> None:
    job = registry.submit("example.wait", {"seconds": 0.1, "steps": 1000})
    thread = run_beside(agent, job)
    wait_until(lambda: job.messages("progress"))
    os.kill(child_pids(settings.state)[0], signal.SIGTERM)
    thread.join(10)
    assert job.failed[0].cause == "infrastructure"


def test_an_exit_from_within_the_operation_is_a_plugin_error(registry: StandInRegistry, agent: Agent) -> None:
    job = registry.submit("probe.leave")
    agent.run(str(job.id))
    assert job.failed[0].cause == "plugin_error"
    assert "no reason at all" in job.failed[0].message


def test_a_frameworks_own_memory_error_is_out_of_memory(registry: StandInRegistry, agent: Agent) -> None:
    job = registry.submit("probe.framework_memory")
    agent.run(str(job.id))
    assert (job.failed[0].cause, job.failed[0].code) == ("out_of_memory", "out-of-memory")


def test_pythons_memory_error_is_out_of_memory(registry: StandInRegistry, agent: Agent) -> None:
    job = registry.submit("example.wait", {"failure": "memory", "memory_mib": 1_000_000, "steps": 1})
    agent.run(str(job.id))
    assert job.failed[0].cause == "out_of_memory"


def test_pages_of_a_mapped_file_are_no_memory_that_a_child_could_be_short_of(
    registry: StandInRegistry, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo_worker.attempt.usable_memory_bytes", lambda: 256 * 2**20)
    job = registry.submit("probe.map_file", {"count": 300, "seconds": 3})
    assert agent.run(str(job.id)) == "FINISHED"
    assert int(job.messages("log")[-1].message) > 300


def test_a_child_beyond_the_memory_limit_is_ended_as_out_of_memory(
    registry: StandInRegistry, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo_worker.attempt.usable_memory_bytes", lambda: 256 * 2**20)
    job = registry.submit("probe.hold_memory", {"count": 400, "seconds": 60})
    started = time.monotonic()
    agent.run(str(job.id))
    assert (job.failed[0].cause, job.failed[0].code) == ("out_of_memory", "memory-limit")
    assert time.monotonic() - started < 20


def test_a_job_beyond_its_time_limit_is_stopped_with_that_cause(registry: StandInRegistry, agent: Agent) -> None:
    job = registry.submit("example.wait", {"seconds": 60, "steps": 1}, time_limit_seconds=1)
    agent.run(str(job.id))
    assert (job.failed[0].cause, job.state) == ("time_limit", "failed")


def test_a_child_deaf_to_sigterm_is_killed_after_the_grace_with_all_its_descendants(
    registry: StandInRegistry, agent: Agent, settings: WorkerSettings
) -> None:
    job = registry.submit("example.wait", {"failure": "orphan", "steps": 1})
    thread = run_beside(agent, job)
    wait_until(lambda: child_pids(settings.state))
    leader = child_pids(settings.state)[0]
    wait_until(lambda: len(members_of_group(leader)) == 2)
    members = members_of_group(leader)
    job.command = "cancel"
    thread.join(15)
    assert (job.state, job.failed[0].cause) == ("cancelled", "cancelled")
    wait_until(lambda: not any(is_running(pid) for pid in members), seconds=3)


def members_of_group(leader: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[2]) == leader:
            found.append(int(path.parent.name))
    return found


def test_a_cancelled_job_stops_at_a_safe_point(registry: StandInRegistry, agent: Agent) -> None:
    job = registry.submit("example.wait", {"seconds": 0.1, "steps": 1000})
    thread = run_beside(agent, job)
    wait_until(lambda: job.messages("progress"))
    job.command = "cancel"
    thread.join(10)
    assert (job.state, job.failed[0].cause, job.failed[0].code) == ("cancelled", "cancelled", "cancelled")


def test_a_lost_lease_kills_the_child_at_once_and_nothing_is_reported(
    registry: StandInRegistry, make_agent: Callable[..., Agent], settings: WorkerSettings
) -> None:
    agent = make_agent(grace_seconds=60)
    job = registry.submit("example.wait", {"failure": "hang", "steps": 1})
    thread = run_beside(agent, job)
    wait_until(lambda: job.heartbeats)
    pid = child_pids(settings.state)[0]
    job.attempt += 1
    lost_at = time.monotonic()
    thread.join(10)
    assert not is_running(pid)
    assert time.monotonic() - lost_at < registry.heartbeat_seconds + 1.5
    assert (job.finished, job.failed, job.released) == ([], [], 0)


def test_a_registry_away_for_longer_than_the_lease_fences_the_child_off(
    registry: StandInRegistry, make_agent: Callable[..., Agent], settings: WorkerSettings
) -> None:
    registry.lease_seconds, registry.heartbeat_seconds = 3, 1
    agent = make_agent(grace_seconds=60)
    job = registry.submit("example.wait", {"failure": "hang", "steps": 1})
    thread = run_beside(agent, job)
    wait_until(lambda: child_pids(settings.state))
    pid = child_pids(settings.state)[0]
    registry.away = True
    thread.join(10)
    assert not is_running(pid)
    assert (job.finished, job.failed, job.released) == ([], [], 0)


def test_a_registry_away_for_a_while_misses_no_event(registry: StandInRegistry, agent: Agent) -> None:
    job = registry.submit("example.wait", {"seconds": 0.1, "steps": 30})
    thread = run_beside(agent, job)
    wait_until(lambda: job.messages("metric"))
    registry.away = True
    time.sleep(1.5)
    registry.away = False
    thread.join(20)
    assert job.state == "succeeded"
    assert [body.step for body in job.messages("metric")] == list(range(1, 31))


def test_a_finish_whose_answer_was_lost_is_sent_again_and_counts_once(registry: StandInRegistry, agent: Agent) -> None:
    answers: list[str] = []

    def lose_first_answer(_method: str, path: str) -> None:
        if path.endswith("/finish"):
            answers.append(path)
            if len(answers) == 1:
                raise ConnectionError

    registry.after = lose_first_answer
    job = registry.submit("example.wait", {"steps": 1})
    assert agent.run(str(job.id)) == "FINISHED"
    assert (len(answers), len(job.finished)) == (2, 1)


def test_a_worker_that_shuts_down_gives_its_attempt_back_and_another_one_goes_on_from_the_checkpoint(
    registry: StandInRegistry, make_agent: Callable[..., Agent]
) -> None:
    first = make_agent()
    job = registry.submit("example.wait", {"seconds": 0.1, "steps": 25})
    thread = run_beside(first, job)
    wait_until(lambda: len(job.messages("progress")) >= 2)
    first.shut_down()
    thread.join(10)
    assert (job.state, job.released) == ("queued", 1)
    first.close()
    assert make_agent().run(str(job.id)) == "FINISHED"
    assert "Resumed after step" in job.logged()
    steps = [body.step for body in job.messages("metric")]
    assert len(steps) < 30
    assert steps[-1] == 25


def test_nothing_is_left_of_a_job_that_has_ended(
    registry: StandInRegistry, agent: Agent, settings: WorkerSettings
) -> None:
    job = registry.submit("example.wait", {"steps": 2})
    agent.run(str(job.id))
    assert list((settings.state / "checkpoints").iterdir()) == []
    assert list((settings.state / "attempts").iterdir()) == []
    assert list((settings.state / "running").iterdir()) == []


def test_the_child_sees_no_token_and_no_address_of_the_workers_services(
    registry: StandInRegistry, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "ZOO_WORKER_TOKEN",
        "ZOO_BROKER_URL",
        "MLFLOW_TRACKING_URI",
        "AWS_SECRET_ACCESS_KEY",
        "GITHUB_TOKEN",
        "PGPASSWORD",
    ):
        monkeypatch.setenv(name, "hidden")
    monkeypatch.setenv("INNOCENT", f"bearer {TOKEN}")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    job = registry.submit("probe.environment")
    agent.run(str(job.id))
    seen = json.loads(job.messages("log")[0].message)
    environ = seen["environ"]
    assert "hidden" not in environ.values()
    assert TOKEN not in json.dumps(environ)
    assert not any(name.startswith("ZOO_") for name in environ)
    assert environ["KERAS_BACKEND"] == "torch"
    assert environ["OMP_NUM_THREADS"].isdigit()
    assert environ["GOMP_SPINCOUNT"] == SPIN_COUNT
    assert seen["sid"] == seen["pid"]
    assert seen["cwd"].endswith("/scratch")


def test_what_the_child_prints_is_bounded_and_can_be_stored(registry: StandInRegistry, agent: Agent) -> None:
    job = registry.submit("probe.odd_text", {"count": 5000})
    assert agent.run(str(job.id)) == "FINISHED"
    lines = [body for body in job.messages("log") if body.stream == "stdout"]
    assert lines[0].message == "nul \N{REPLACEMENT CHARACTER} and \N{REPLACEMENT CHARACTER}"
    assert len(lines[1].message) == 4000
    assert [body.message for body in lines[2:4]] == ["progress 1", "progress 2"]
    assert len(lines) < 1500
    assert "lines of stdout left out" in job.logged()


def test_a_metric_that_is_no_number_arrives_as_such(registry: StandInRegistry, agent: Agent) -> None:
    job = registry.submit("probe.not_a_number")
    agent.run(str(job.id))
    first, second = job.messages("metric")
    assert math.isnan(first.value)
    assert (second.value, second.step) == (0.5, 4)


@pytest.mark.parametrize(
    ("operation", "version", "params", "text"),
    [
        ("example.mak", 1, {}, "Did you mean example.make"),
        ("example.make", 7, {}, "version 7"),
        ("example.make", 1, {"passes": 0}, "passes"),
        ("example.make", 1, {"colour": "blue"}, "colour"),
        ("example.score", 1, {}, "model"),
    ],
)
def test_what_the_operation_does_not_take_is_invalid_input(
    registry: StandInRegistry, agent: Agent, operation: str, version: int, params: dict[str, object], text: str
) -> None:
    job = registry.submit(operation, params, operation_version=version)
    agent.run(str(job.id))
    assert job.failed[0].cause == "invalid_input"
    assert text in job.failed[0].message


def test_a_link_in_the_output_is_refused_and_not_followed(registry: StandInRegistry, agent: Agent) -> None:
    job = registry.submit("probe.link")
    agent.run(str(job.id))
    assert job.failed[0].cause == "plugin_error"
    assert "not a regular file" in job.failed[0].message
    assert not registry.uploads


def test_a_pickle_handed_in_as_weights_reaches_the_operation_as_a_file_and_is_never_loaded(
    registry: StandInRegistry, agent: Agent, tmp_path: Path
) -> None:
    witness = tmp_path / "loaded"
    data = b"cos\nsystem\n(S'touch %s'\ntR." % str(witness).encode()
    item = hold_input(registry, data, path="weights.pth", kind="pickle")
    job = registry.submit("probe.read", inputs={"weights": (item,)})
    assert agent.run(str(job.id)) == "FINISHED"
    assert json.loads(job.logged()) == {"size": len(data), "mode": "0o444", "name": "weights.pth"}
    assert not witness.exists()


def test_a_fault_of_the_workers_own_is_reported_as_infrastructure(
    registry: StandInRegistry, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(_folder: Path) -> None:
        raise ZeroDivisionError("nobody foresaw this")

    monkeypatch.setattr("zoo_worker.attempt.output_files", break_down)
    job = registry.submit("example.make")
    assert agent.run(str(job.id)) == "FAILED"
    assert (job.failed[0].cause, job.failed[0].code) == ("infrastructure", "worker-fault")


def test_an_upload_goes_on_after_a_broken_connection(
    registry: StandInRegistry, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo_worker.uploads.PART_BYTES", 100_000)
    monkeypatch.setattr("zoo_worker.uploads.BREAK_SECONDS", 0.01)
    registry.part_limit = 60_000
    job = registry.submit("probe.large", {"count": 250_000})
    assert agent.run(str(job.id)) == "FINISHED"
    assert [upload.complete for upload in registry.uploads.values()] == [True]
    offsets = [int(headers["Upload-Offset"]) for method, _, headers in registry.requests if method == "PATCH"]
    assert offsets == [60_000, 160_000]


def test_bytes_that_the_registry_has_are_not_sent(registry: StandInRegistry, agent: Agent) -> None:
    first = registry.submit("example.make", seed=1)
    agent.run(str(first.id))
    registry.hold(bytes(next(iter(registry.uploads.values())).data))
    sent = len(registry.uploads)
    second = registry.submit("example.make", seed=1)
    agent.run(str(second.id))
    assert second.finished[0].outputs == first.finished[0].outputs
    assert len(registry.uploads) == sent
