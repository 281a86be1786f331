"""Pipelines on a real MLflow server: one parent run, whoever makes it, and its end, whenever it comes."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.zoo_worker.conftest import wait_until
from tests.zoo_worker.mlflow_server import MlflowServer
from tests.zoo_worker.stand_in_registry import StandInPipeline, StandInRegistry
from zoo_sdk.errors import NotFound, Unavailable
from zoo_sdk.messages import ParentRunReply
from zoo_worker.agent import Agent
from zoo_worker.journal import Journal, StartEntry, journal_path
from zoo_worker.mlflow_mirror import JournalReplay
from zoo_worker.parent_runs import ParentRuns

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::FutureWarning:mlflow"),
]
MakeAgent = Callable[..., Agent]


@pytest.fixture
def experiment(mlflow: "MlflowClient") -> str:
    found = mlflow.get_experiment_by_name("vision")
    return str(found.experiment_id if found else mlflow.create_experiment("vision"))


def runs_of(mlflow: "MlflowClient", experiment: str, pipeline: str) -> "list[Run]":
    return list(mlflow.search_runs([experiment], f"tags.`zoo.pipeline` = '{pipeline}'"))


def test_the_jobs_of_a_pipeline_are_children_of_one_run_which_ends_with_it(
    registry: StandInRegistry, make_agent: MakeAgent, server: MlflowServer, mlflow: "MlflowClient", experiment: str
) -> None:
    agent = make_agent(mlflow_tracking_uri=server.url)
    pipeline = registry.begin_pipeline()
    jobs = [registry.submit("example.make", tags={"zoo.pipeline": pipeline.id}) for _ in range(2)]
    for job in jobs:
        assert agent.run(str(job.id)) == "FINISHED"
    wait_until(lambda: all(job.mlflow_run_id for job in jobs), 60)
    assert pipeline.run_id is not None
    parent = mlflow.get_run(pipeline.run_id)
    assert parent.info.status == "RUNNING"
    assert parent.info.run_name == f"distil {pipeline.id[-6:]}"
    assert parent.data.params == {"epochs": "3"}
    assert "mlflow.parentRunId" not in parent.data.tags
    for job in jobs:
        child = mlflow.get_run(job.mlflow_run_id or "")
        assert child.data.tags["mlflow.parentRunId"] == pipeline.run_id
    pipeline.status = "FAILED"
    wait_until(lambda: mlflow.get_run(pipeline.run_id or "").info.status == "FAILED", 60)
    parent = mlflow.get_run(pipeline.run_id)
    assert (parent.info.end_time - parent.info.start_time) / 1000 == 3600
    assert parent.data.tags["zoo.pipeline_state"] == "failed"
    wait_until(lambda: list((agent.settings.state / "journals").iterdir()) == [], 30)
    asked = pipeline.asked
    time.sleep(2.5)
    assert pipeline.asked == asked, "nobody asks for what has ended"


def test_with_mlflow_away_a_pipelines_jobs_run_and_its_run_is_made_afterwards(
    registry: StandInRegistry, make_agent: MakeAgent, server: MlflowServer, mlflow: "MlflowClient", experiment: str
) -> None:
    agent = make_agent(mlflow_tracking_uri=server.url)
    pipeline = registry.begin_pipeline()
    server.stop()
    try:
        job = registry.submit("example.make", tags={"zoo.pipeline": pipeline.id})
        assert agent.run(str(job.id)) == "FINISHED"
        pipeline.status = "FINISHED"
    finally:
        server.start()
    wait_until(lambda: pipeline.run_id and mlflow.get_run(pipeline.run_id).info.status == "FINISHED", 90)
    assert mlflow.get_run(job.mlflow_run_id or "").data.tags["mlflow.parentRunId"] == pipeline.run_id


def test_of_two_workers_that_make_a_run_at_once_the_second_deletes_its_own(
    mlflow: "MlflowClient", experiment: str, tmp_path: Path
) -> None:
    pipeline = StandInPipeline()

    def slowly(_pipeline: str, run_id: str | None) -> ParentRunReply:
        if run_id is not None and pipeline.run_id is None:  # the other worker reports first
            pipeline.answer(other)
        return pipeline.answer(run_id)

    other = str(mlflow.create_run(experiment).info.run_id)
    assert ParentRuns(tmp_path, mlflow, slowly).run_of(pipeline.id, experiment) == other
    assert runs_of(mlflow, experiment, pipeline.id) == []


def test_a_run_whose_maker_died_before_it_told_the_registry_is_found_again(
    mlflow: "MlflowClient", experiment: str, tmp_path: Path
) -> None:
    pipeline = StandInPipeline()

    def dying(_pipeline: str, run_id: str | None) -> ParentRunReply:
        if run_id is not None:
            raise Unavailable("away")
        return pipeline.answer(None)

    with pytest.raises(Unavailable):
        ParentRuns(tmp_path, mlflow, dying).run_of(pipeline.id, experiment)
    (made,) = runs_of(mlflow, experiment, pipeline.id)
    parents = ParentRuns(tmp_path, mlflow, lambda _pipeline, run_id: pipeline.answer(run_id))
    assert parents.run_of(pipeline.id, experiment) == made.info.run_id == pipeline.run_id
    assert len(runs_of(mlflow, experiment, pipeline.id)) == 1


def test_a_pipeline_that_is_tried_again_goes_on_with_its_run(
    mlflow: "MlflowClient", experiment: str, tmp_path: Path
) -> None:
    pipeline = StandInPipeline()
    parents = ParentRuns(tmp_path, mlflow, lambda _pipeline, run_id: pipeline.answer(run_id))
    run_id = parents.run_of(pipeline.id, experiment)
    assert run_id is not None
    assert not parents.settle()
    pipeline.status = "FAILED"
    assert parents.settle()
    assert mlflow.get_run(run_id).info.status == "FAILED"
    pipeline.status = "RUNNING"
    assert parents.run_of(pipeline.id, experiment) == run_id
    assert mlflow.get_run(run_id).info.status == "RUNNING"


def test_a_run_that_somebody_deleted_in_mlflow_is_left_alone(
    mlflow: "MlflowClient", experiment: str, tmp_path: Path
) -> None:
    pipeline = StandInPipeline()
    parents = ParentRuns(tmp_path, mlflow, lambda _pipeline, run_id: pipeline.answer(run_id))
    run_id = parents.run_of(pipeline.id, experiment)
    assert run_id is not None
    mlflow.delete_run(run_id)
    assert parents.run_of(pipeline.id, experiment) == run_id
    pipeline.status = "FINISHED"
    assert parents.settle()
    assert list(tmp_path.iterdir()) == []


def test_a_job_of_a_pipeline_that_nobody_knows_has_a_run_without_a_parent(
    mlflow: "MlflowClient", experiment: str, tmp_path: Path
) -> None:
    def forgotten(_pipeline: str, _run_id: str | None) -> ParentRunReply:
        raise NotFound("no such pipeline")

    job, pipeline = str(uuid4()), str(uuid4())
    path = journal_path(tmp_path, job, 1)
    Journal(path, StartEntry(job=job, attempt=1, experiment="vision", run_name="r", pipeline=pipeline)).end("FINISHED")
    parents = ParentRuns(tmp_path, mlflow, forgotten)
    JournalReplay(mlflow, path, lambda _job, _attempt, _run: {}, parents).run()
    (run,) = mlflow.search_runs([experiment], f"tags.`zoo.job` = '{job}'")
    assert "mlflow.parentRunId" not in run.data.tags
    assert run.info.status == "FINISHED"
    assert parents.settle()
