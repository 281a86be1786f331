"""The mirror against a real MLflow server: complete runs, whatever MLflow's state while the job ran."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.zoo_worker.conftest import run_beside, wait_until
from tests.zoo_worker.mlflow_server import MlflowServer
from tests.zoo_worker.stand_in_registry import StandInJob, StandInRegistry
from zoo_sdk.errors import NotFound, Unavailable
from zoo_worker.agent import Agent
from zoo_worker.journal import Journal, StartEntry, close_dead_journals, journal_path
from zoo_worker.mlflow_mirror import JournalReplay, MlflowMirror
from zoo_worker.settings import WorkerSettings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::FutureWarning:mlflow"),
]
MakeAgent = Callable[..., Agent]
OpenJournal = Callable[[Path, StartEntry], Journal]


def runs_of(mlflow: "MlflowClient", job: str) -> "list[Run]":
    experiment = mlflow.get_experiment_by_name("vision")
    if experiment is None:
        return []
    return list(mlflow.search_runs([experiment.experiment_id], f"tags.`zoo.job` = '{job}'"))


def ended_run(mlflow: "MlflowClient", job: StandInJob) -> "Run":
    def has_ended() -> bool:
        runs = runs_of(mlflow, str(job.id))
        return len(runs) == 1 and runs[0].info.status in {"FINISHED", "FAILED", "KILLED"}

    wait_until(has_ended, 30)
    return runs_of(mlflow, str(job.id))[0]


def test_a_jobs_run_is_complete(
    registry: StandInRegistry, make_agent: MakeAgent, server: MlflowServer, mlflow: "MlflowClient"
) -> None:
    agent = make_agent(mlflow_tracking_uri=server.url)
    job = registry.submit("example.make", {"passes": 3}, seed=5)
    assert agent.run(str(job.id)) == "FINISHED"
    run = ended_run(mlflow, job)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"passes": "3", "seed": "5"}
    expected = {"zoo.version": "vision/made@1", "zoo.operation": "example.make", "team.colour": "blue"}
    assert run.data.tags.items() >= expected.items()
    assert run.data.tags["mlflow.runName"].startswith("example.make ")
    assert [point.step for point in mlflow.get_metric_history(run.info.run_id, "distance")] == [1, 2, 3]
    assert run.data.metrics["size_bytes"] > 0
    assert "system/cpu_utilization_percentage" in run.data.metrics
    wait_until(lambda: job.mlflow_run_id == run.info.run_id)


def test_with_mlflow_stopped_a_job_is_as_fast_and_its_run_is_complete_afterwards(
    registry: StandInRegistry, make_agent: MakeAgent, server: MlflowServer, mlflow: "MlflowClient"
) -> None:
    agent = make_agent(mlflow_tracking_uri=server.url)
    seconds = {}
    for state in ("up", "down"):
        if state == "down":
            server.stop()
        job = registry.submit("example.wait", {"steps": 40, "seconds": 0.05})
        started = time.monotonic()
        assert agent.run(str(job.id)) == "FINISHED"
        seconds[state] = time.monotonic() - started
    assert seconds["down"] < seconds["up"] * 1.5 + 1
    server.start()
    run = ended_run(mlflow, job)
    assert run.info.status == "FINISHED"
    assert len(mlflow.get_metric_history(run.info.run_id, "step")) == 40
    wait_until(lambda: job.mlflow_run_id == run.info.run_id)


@pytest.mark.parametrize(("ending", "status"), [("cancel", "KILLED"), ("failure", "FAILED")])
def test_a_job_that_does_not_succeed_ends_its_run_accordingly(
    registry: StandInRegistry,
    make_agent: MakeAgent,
    server: MlflowServer,
    mlflow: "MlflowClient",
    ending: str,
    status: str,
) -> None:
    agent = make_agent(mlflow_tracking_uri=server.url)
    params = {"seconds": 0.1, "steps": 1000} if ending == "cancel" else {"failure": "raise"}
    job = registry.submit("example.wait", params)
    thread = run_beside(agent, job)
    if ending == "cancel":
        wait_until(lambda: job.messages("metric"))
        job.command = "cancel"
    thread.join(20)
    assert ended_run(mlflow, job).info.status == status


def test_the_run_of_a_killed_worker_ends_as_killed_and_a_second_attempt_goes_on_with_it(
    registry: StandInRegistry,
    make_agent: MakeAgent,
    server: MlflowServer,
    mlflow: "MlflowClient",
    settings: WorkerSettings,
    open_journal: OpenJournal,
) -> None:
    job = registry.submit("example.wait", {"steps": 2}, attempt=1)
    folder = settings.state / "journals"
    folder.mkdir(parents=True)
    left_open = journal_path(folder, str(job.id), 1)
    entry = StartEntry(job=str(job.id), attempt=1, experiment="vision", run_name="r", tags={"zoo.attempt": "1"})
    open_journal(left_open, entry).metric("step", 1, 1)
    agent = make_agent(mlflow_tracking_uri=server.url)
    assert ended_run(mlflow, job).info.status == "KILLED"
    assert agent.run(str(job.id)) == "FINISHED"
    wait_until(lambda: runs_of(mlflow, str(job.id))[0].info.status == "FINISHED", 20)
    assert len(runs_of(mlflow, str(job.id))) == 1
    wait_until(lambda: list(folder.iterdir()) == [])


def replay(mlflow: "MlflowClient", path: Path) -> None:
    JournalReplay(mlflow, path, lambda _job, _attempt, _run: None).run()


def test_a_dead_attempts_end_does_not_end_the_run_of_the_attempt_after_it(
    mlflow: "MlflowClient", tmp_path: Path, open_journal: OpenJournal
) -> None:
    job = f"overtaken-{time.time_ns()}"
    starts = [
        StartEntry(job=job, attempt=number, experiment="vision", run_name="r", tags={"zoo.attempt": str(number)})
        for number in (1, 2)
    ]
    paths = [journal_path(tmp_path, job, number) for number in (1, 2)]
    first = open_journal(paths[0], starts[0])
    replay(mlflow, paths[0])
    open_journal(paths[1], starts[1]).metric("loss", 1)
    replay(mlflow, paths[1])
    first.end("KILLED")
    replay(mlflow, paths[0])
    (run,) = runs_of(mlflow, job)
    assert run.info.status == "RUNNING"
    assert not paths[0].exists()


def test_a_batch_sent_twice_because_of_a_crash_counts_once(
    mlflow: "MlflowClient", tmp_path: Path, open_journal: OpenJournal
) -> None:
    job = f"twice-{time.time_ns()}"
    path = journal_path(tmp_path, job, 1)
    start = StartEntry(job=job, attempt=1, experiment="vision", run_name="r", params={"a": "1"})
    journal = open_journal(path, start)
    for number in range(5):
        journal.metric("loss", number)
    replay(mlflow, path)
    path.with_suffix(".position").unlink()
    replay(mlflow, path)
    (run,) = runs_of(mlflow, job)
    assert len(mlflow.get_metric_history(run.info.run_id, "loss")) == 5


def test_a_data_set_that_went_in_is_an_input_of_the_run(
    mlflow: "MlflowClient", tmp_path: Path, open_journal: OpenJournal
) -> None:
    job = f"data-{time.time_ns()}"
    path = journal_path(tmp_path, job, 1)
    note = {"name": "vision/digits@2", "digest": "0" * 36, "source": '{"url": "http://zoo"}', "context": "train"}
    start = StartEntry.model_validate(
        {"job": job, "attempt": 1, "experiment": "vision", "run_name": "r", "datasets": (note,)}
    )
    open_journal(path, start)
    replay(mlflow, path)
    inputs = runs_of(mlflow, job)[0].inputs
    assert inputs is not None
    (item,) = inputs.dataset_inputs
    assert (item.dataset.name, item.dataset.digest) == ("vision/digits@2", "0" * 36)
    assert item.tags[0].value == "train"


def test_the_registry_is_told_the_run_id_as_soon_as_it_answers(server: MlflowServer, tmp_path: Path) -> None:
    told: list[str] = []

    def report(_job: str, _attempt: int, run_id: str) -> None:
        told.append(run_id)
        if len(told) == 1:
            raise Unavailable("away")

    job = f"told-{time.time_ns()}"
    path = journal_path(tmp_path, job, 1)
    journal = Journal(path, StartEntry(job=job, attempt=1, experiment="vision", run_name="r"))
    mirror = MlflowMirror(tmp_path, server.url, report)
    mirror._thread.start()
    journal.end("FINISHED")
    mirror.wake()
    wait_until(lambda: not path.exists(), 20)
    assert len(told) == 2
    mirror.close(5)


def test_a_registry_that_forgot_the_job_does_not_keep_the_journal_for_ever(
    mlflow: "MlflowClient", tmp_path: Path
) -> None:
    def refuse(_job: str, _attempt: int, _run: str) -> dict[str, Any]:
        raise NotFound("no such job")

    job = f"forgotten-{time.time_ns()}"
    path = journal_path(tmp_path, job, 1)
    Journal(path, StartEntry(job=job, attempt=1, experiment="vision", run_name="r")).end("FINISHED")
    JournalReplay(mlflow, path, refuse).run()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("state", "cause", "attempt", "status"),
    [
        ("succeeded", None, 1, "FINISHED"),
        ("failed", "plugin_error", 1, "FAILED"),
        ("failed", "worker_lost", 1, "KILLED"),
        ("running", None, 1, "KILLED"),
        ("succeeded", None, 2, "KILLED"),
    ],
)
def test_a_killed_workers_run_ends_as_the_registry_says_that_its_attempt_did(
    mlflow: "MlflowClient",
    tmp_path: Path,
    open_journal: OpenJournal,
    state: str,
    cause: str | None,
    attempt: int,
    status: str,
) -> None:
    def tell(_job: str, _attempt: int, _run: str) -> dict[str, Any]:
        return {"state": state, "cause": cause, "attempt": attempt, "result": "vision/made@1"}

    job = f"unheard-{time.time_ns()}"
    path = journal_path(tmp_path, job, 1)
    open_journal(path, StartEntry(job=job, attempt=1, experiment="vision", run_name="r"))
    assert close_dead_journals(tmp_path) == [path]
    JournalReplay(mlflow, path, tell).run()
    (run,) = runs_of(mlflow, job)
    assert run.info.status == status
    assert run.data.tags.get("zoo.version") == ("vision/made@1" if status == "FINISHED" else None)
