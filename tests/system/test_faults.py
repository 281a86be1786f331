"""Kill -9 of every part in the middle of a job, duplicate messages, and every way in which a job can end.

Whatever happens, a job ends as succeeded or as failed with its cause, at most one version is made of it, none of its
attempts is left running, the audit chain is whole, and its MLflow run has the right status.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from celery import Celery

from zoo_client.records import Job
from zoo_onebox.leftovers import wait_gone
from zoo_onebox.valkey import answers_ping
from zoo_sdk.vocabulary import FINAL_JOB_STATES

from .running_zoo import TEAM, RunningZoo, end_process

pytestmark = pytest.mark.timeout(300)
STEPS = 40
WAIT = {"steps": STEPS, "seconds": 0.1}
"""Four seconds of work in forty steps, each with a checkpoint."""
LONG_WAIT = {"steps": 3000, "seconds": 0.1}
BELL = "zoo_worker.run_job"


@pytest.fixture(autouse=True)
def whole_audit_chain(zoo: RunningZoo) -> Iterator[None]:
    """After each test the chain is whole, and every part runs."""
    yield
    verification = zoo.client.audit.verify()
    assert verification["ok"], verification
    zoo.wait(lambda: _not_running(zoo) == [], lambda: f"still not running: {_not_running(zoo)}", 60)


def _not_running(zoo: RunningZoo) -> list[str]:
    return [name for name, program in zoo.manager.states().items() if not program.pid]


def check_succeeded(zoo: RunningZoo, job_id: str, into: str, steps: int = STEPS) -> list[dict[str, Any]]:
    """The job made exactly one version, the one that it makes undisturbed; returns its attempts."""
    job = zoo.job(job_id)
    assert (job["state"], job["cause"], job["error"]) == ("succeeded", None, None)
    assert job["result"] == f"{TEAM}/{into}@1"
    versions = zoo.client.models.versions
    assert len(list(versions.iterate(f"{TEAM}/{into}"))) == 1
    version = versions.show(job["result"])
    assert (version["job"], version["state"]) == (job_id, "candidate")
    route = f"{zoo.url}/api/v1/{versions.route(job['result'], 'files', 'model.json')}"
    made = httpx.get(route, headers={"Authorization": f"Bearer {zoo.token}"}).raise_for_status().json()
    assert made == {"steps": steps, "seed": job["seed"], "centroids": [[float(steps)]]}
    attempts = check_attempts(zoo, job)
    assert attempts[-1]["state"] == "succeeded"
    assert [attempt["state"] for attempt in attempts].count("succeeded") == 1
    run = zoo.mlflow_run(job_id, "FINISHED")
    assert check_run(run, job)["zoo.version"] == job["result"]
    return attempts


def check_not_succeeded(zoo: RunningZoo, job: Job, into: str, *, cause: str, run: str) -> None:
    """The job ended with its cause, told in words, and made nothing."""
    assert job["cause"] == cause, job
    assert job["error"] is not None
    assert job["error"]["message"]
    assert job["result"] is None
    assert _versions_of(zoo, into) == []
    attempts = check_attempts(zoo, job)
    assert attempts[-1]["cause"] == cause
    check_run(zoo.mlflow_run(job["id"], run), job)


def check_attempts(zoo: RunningZoo, job: Job) -> list[dict[str, Any]]:
    attempts = zoo.client.jobs.attempts(job["id"])
    assert [attempt["number"] for attempt in attempts] == list(range(1, job["attempt"] + 1))
    assert [attempt for attempt in attempts if attempt["state"] not in FINAL_JOB_STATES] == []
    assert zoo.operation_process(job["id"]) is None
    return attempts


def check_run(run: dict[str, Any], job: Job) -> dict[str, str]:
    """The run is the job's, with its parameters; returns its tags."""
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    params = {param["key"]: param["value"] for param in run["data"]["params"]}
    assert (tags["zoo.job"], tags["zoo.attempt"]) == (job["id"], str(job["attempt"]))
    assert params["steps"] == str(job["params"]["steps"])
    return tags


def check_curve(zoo: RunningZoo, job_id: str) -> None:
    """MLflow has every point of the job's curve, once."""
    query = {"run_id": zoo.job(job_id)["mlflow_run_id"], "metric_key": "step"}
    answer = httpx.get(f"{zoo.mlflow_url}/api/2.0/mlflow/metrics/get-history", params=query, timeout=20).json()
    assert [int(point["step"]) for point in answer["metrics"]] == list(range(1, STEPS + 1))


def _versions_of(zoo: RunningZoo, name: str) -> list[Any]:
    known = {item["name"] for item in zoo.client.models.iterate(team=TEAM)}
    return list(zoo.client.models.versions.iterate(f"{TEAM}/{name}")) if name in known else []


# Kill -9 in the middle of a job


def test_a_job_whose_child_is_killed_fails_and_tells_the_signal(zoo: RunningZoo) -> None:
    job_id = zoo.submit("example.wait", LONG_WAIT, into="child-killed")
    zoo.wait_running(job_id)
    child = zoo.operation_process(job_id)
    assert child is not None
    child.kill()
    job = zoo.wait_ended(job_id)
    assert job["state"] == "failed"
    check_not_succeeded(zoo, job, "child-killed", cause="plugin_error", run="FAILED")
    assert "SIGKILL" in str(job["error"])


def test_a_job_whose_worker_is_killed_resumes_from_its_checkpoint_in_a_second_attempt(zoo: RunningZoo) -> None:
    job_id = zoo.submit("example.wait", WAIT, into="worker-killed")
    zoo.wait_running(job_id, steps=5)
    child = zoo.operation_process(job_id)
    assert child is not None
    former = zoo.kill("worker-example")
    assert not wait_gone([child], seconds=10), "the child outlived its worker"
    zoo.wait_restarted("worker-example", former)
    zoo.wait_ended(job_id)
    first, second = check_succeeded(zoo, job_id, "worker-killed")
    assert (first["state"], first["cause"]) == ("failed", "worker_lost")
    assert second["state"] == "succeeded"
    resumed = [line for line in zoo.log_lines(job_id) if line.startswith("Resumed after step")]
    assert len(resumed) == 1
    assert int(resumed[0].split()[-1].rstrip(".")) >= 5


def test_a_job_survives_the_web_servers_death(zoo: RunningZoo) -> None:
    job_id = zoo.submit("example.wait", WAIT, into="web-killed")
    zoo.wait_running(job_id)
    former = zoo.kill("web", children=True)
    zoo.wait_restarted("web", former)
    zoo.wait_ended(job_id)
    check_succeeded(zoo, job_id, "web-killed")
    check_curve(zoo, job_id)


def test_jobs_survive_valkeys_death_the_running_one_and_the_one_whose_message_waits(zoo: RunningZoo) -> None:
    running = zoo.submit("example.wait", WAIT, into="valkey-killed-running")
    waiting = zoo.submit("example.wait", WAIT, into="valkey-killed-waiting")
    zoo.wait_running(running)
    former = zoo.kill("valkey")
    zoo.wait_restarted("valkey", former)
    for job_id, into in ((running, "valkey-killed-running"), (waiting, "valkey-killed-waiting")):
        zoo.wait_ended(job_id)
        assert len(check_succeeded(zoo, job_id, into)) == 1


def test_a_job_submitted_while_valkey_is_dead_is_accepted_and_rung_for_later(zoo: RunningZoo) -> None:
    socket = zoo.sockets / "valkey.sock"
    zoo.kill("valkey")
    zoo.manager.stop_program("valkey")  # else the manager starts it again before the submission
    zoo.wait(lambda: not answers_ping(socket), "Valkey still answers", 20)
    job_id = zoo.submit("example.wait", WAIT, into="valkey-away")
    assert zoo.job(job_id)["state"] == "queued"
    assert not answers_ping(socket)
    zoo.manager.start_program("valkey")
    zoo.wait_ended(job_id)
    assert len(check_succeeded(zoo, job_id, "valkey-away")) == 1


def test_a_job_survives_postgresqls_death(zoo: RunningZoo) -> None:
    job_id = zoo.submit("example.wait", WAIT, into="postgres-killed")
    zoo.wait_running(job_id)
    former = zoo.kill("postgres")
    zoo.wait_restarted("postgres", former)
    zoo.wait_ended(job_id)
    check_succeeded(zoo, job_id, "postgres-killed")
    check_curve(zoo, job_id)


# Duplicate messages


@contextmanager
def second_worker(zoo: RunningZoo, folder: Path) -> Iterator[Path]:
    """Another worker of the same queue, as the Zoo starts its own; yields its log."""
    specification = json.loads((zoo.home.specifications / "worker-example.json").read_text())
    secrets = {name: Path(path).read_text().strip() for name, path in specification["secret_files"].items()}
    names = {"ZOO_WORKER_NAME": "second-example", "ZOO_WORKER_STATE": str(folder / "state")}
    command = [word.replace("example@", "second@") for word in specification["command"]]
    log = folder / "second-worker.log"
    with log.open("wb") as stream:
        environment = specification["environment"] | secrets | names
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream, cwd=folder)
        try:
            yield log
        finally:
            end_process(process)


def test_six_messages_for_one_job_and_two_workers_are_one_attempt_and_one_version(
    zoo: RunningZoo, tmp_path: Path
) -> None:
    own_log = zoo.home.logs / "worker-example.log"
    broker = json.loads((zoo.home.specifications / "worker-example.json").read_text())["environment"]["ZOO_BROKER_URL"]
    app = Celery("duplicates", broker=broker, set_as_current=False)
    app.conf.broker_transport_options = {"priority_steps": list(range(10)), "sep": ":"}
    with second_worker(zoo, tmp_path) as other_log:
        zoo.wait(lambda: " ready." in other_log.read_text(), "the second worker is not ready", 90)
        job_id = zoo.submit("example.wait", WAIT, into="duplicates")
        with app.connection_for_write() as connection:
            for _ in range(5):
                app.send_task(BELL, args=[job_id], queue="example.cpu", connection=connection, ignore_result=True)
        zoo.wait_ended(job_id)

        def dropped() -> list[int]:
            texts = [log.read_text(errors="replace") for log in (own_log, other_log)]
            return [text.count(f"job {job_id}: nothing to do") for text in texts]

        zoo.wait(lambda: sum(dropped()) == 5, lambda: f"dropped: {dropped()}", 30)
        (attempt,) = check_succeeded(zoo, job_id, "duplicates")
        other = int(attempt["worker"] != "second-example")
        assert dropped()[other] >= 1, "the other worker never tried to claim the job"


# How a job ends


def test_a_running_job_that_is_cancelled_ends_cancelled_and_its_mlflow_run_killed(zoo: RunningZoo) -> None:
    job_id = zoo.submit("example.wait", LONG_WAIT, into="cancelled")
    zoo.wait_running(job_id)
    assert zoo.client.jobs.cancel(job_id)["cancel_requested"]
    job = zoo.wait_ended(job_id, seconds=30)
    assert job["state"] == "cancelled"
    check_not_succeeded(zoo, job, "cancelled", cause="cancelled", run="KILLED")


@pytest.mark.parametrize(
    ("failure", "options", "cause", "words"),
    [
        ({"failure": "raise"}, {}, "plugin_error", "Failed in step 1, as asked."),
        ({"failure": "exit", "exit_code": 7}, {}, "plugin_error", "exit code 7"),
        ({"failure": "invalid"}, {}, "invalid_input", "Found the input wrong in step 1, as asked."),
        # More than any machine has: the kernel refuses it at once, and the machine of the test lives on.
        ({"failure": "memory", "memory_mib": 1_000_000}, {}, "out_of_memory", "MemoryError"),
        ({"steps": 3000, "seconds": 0.1}, {"time_limit_seconds": 2}, "time_limit", "its time limit is 2 s"),
    ],
    ids=["plugin error", "exit", "invalid input", "out of memory", "time limit"],
)
def test_causes_of_failure_are_told_apart(
    zoo: RunningZoo, failure: dict[str, Any], options: dict[str, Any], cause: str, words: str
) -> None:
    job_id = zoo.submit("example.wait", {"steps": 3} | failure, into=f"fails-{cause}", **options)
    job = zoo.wait_ended(job_id)
    assert (job["state"], job["attempt"]) == ("failed", 1)
    check_not_succeeded(zoo, job, f"fails-{cause}", cause=cause, run="FAILED")
    assert job["error"] is not None
    assert words in job["error"]["message"]


def test_a_failure_that_may_pass_is_tried_again_and_the_job_resumes(zoo: RunningZoo) -> None:
    params = {"steps": 3, "failure": "unavailable", "fail_at_step": 2, "fail_once": True}
    job_id = zoo.submit("example.wait", params, into="tried-again")
    zoo.wait_ended(job_id)
    first, second = check_succeeded(zoo, job_id, "tried-again", steps=3)
    assert (first["cause"], second["state"]) == ("infrastructure", "succeeded")


def test_a_child_deaf_to_sigterm_and_its_own_children_are_killed_after_the_grace(zoo: RunningZoo) -> None:
    params = {"steps": 2, "failure": "orphan", "fail_at_step": 2}
    job_id = zoo.submit("example.wait", params, into="deaf")
    zoo.wait_running(job_id)
    family = zoo.wait(lambda: _family_of_two(zoo, job_id), "the child has not started its own child", 20)
    zoo.client.jobs.cancel(job_id)
    job = zoo.wait_ended(job_id, seconds=90)
    assert job["state"] == "cancelled"
    assert not wait_gone(family, seconds=5)
    check_not_succeeded(zoo, job, "deaf", cause="cancelled", run="KILLED")


def _family_of_two(zoo: RunningZoo, job_id: str) -> list[psutil.Process]:
    child = zoo.operation_process(job_id)
    children = child.children() if child else []
    return [child, *children] if child and children else []
