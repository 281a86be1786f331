"""A pipeline's MLflow run: the first one that a worker reports is kept, and its end is told to whoever asks."""

from typing import Any
from uuid import uuid4

import pytest

from tests.zoo_server.jobs.scenes import WORKER, Hands, make_hands
from tests.zoo_server.pipelines.conftest import Start
from tests.zoo_server.pipelines.examples import CHAIN, GATED
from tests.zoo_server.pipelines.scenes import PIPELINES
from zoo_server.pipelines.services.control import cancel_pipeline

pytestmark = pytest.mark.django_db(transaction=True)


def report(hands: Hands, pipeline: Any, run_id: str | None = None) -> Any:
    body = {} if run_id is None else {"mlflow_run_id": run_id}
    return hands.client.post(f"{WORKER}/pipelines/{pipeline}/mlflow-run", body, format="json")


def test_the_first_run_wins_and_everybody_hears_of_it(start: Start, hands: Hands, api: Any) -> None:
    scene = start(CHAIN)
    other = make_hands("box-2")
    assert other.register().status_code == 200
    scene.claim("base")
    other.claim(scene.job("other").pk)
    assert report(hands, scene.id).json()["mlflow_run_id"] is None
    assert report(hands, scene.id, "run-1").json()["mlflow_run_id"] == "run-1"
    assert report(other, scene.id, "run-2").json()["mlflow_run_id"] == "run-1"
    assert report(other, scene.id).json()["mlflow_run_id"] == "run-1"
    assert api.get(f"{PIPELINES}/{scene.id}").json()["mlflow_run_id"] == "run-1"


def test_the_answer_says_what_the_run_is_to_say(start: Start, hands: Hands) -> None:
    text = GATED.replace("steps:", "values: {rate: 0.5}\nsteps:", 1)
    text = text.replace("seed: 1", "params: {temperature: '${values.rate}'}", 1)
    scene = start(text, values={"rate": 2})
    scene.claim("free")
    answer = report(hands, scene.id).json()
    assert answer["name"] == f"made {str(scene.id)[-6:]}"
    assert (answer["status"], answer["finished_at"]) == ("RUNNING", None)
    assert answer["tags"]["zoo.pipeline_state"] == "running"
    assert answer["tags"]["zoo.pipeline_url"].endswith(f"/api/v1/pipelines/{scene.id}")
    assert answer["tags"]["zoo.submitted_by"] == "curie"
    assert answer["params"] == {"rate": "2"}


@pytest.mark.parametrize(
    ("ending", "status", "state"),
    [("succeed", "FINISHED", "succeeded"), ("gate", "FAILED", "stopped"), ("cancel", "KILLED", "cancelled")],
)
def test_the_end_of_a_pipeline_is_told_in_mlflows_words(
    start: Start, hands: Hands, ending: str, status: str, state: str
) -> None:
    scene = start(GATED)
    scene.finish("base", top1=95 if ending == "succeed" else 10)
    if ending == "cancel":
        cancel_pipeline(principal=scene.principal, pipeline_id=scene.id)
    else:
        scene.finish("free")
    if ending == "succeed":
        scene.finish("after")
    answer = report(hands, scene.id, "run-1").json()
    assert (answer["status"], answer["tags"]["zoo.pipeline_state"]) == (status, state)
    assert answer["finished_at"] is not None


def test_a_worker_hears_only_of_pipelines_that_it_worked_for(start: Start, hands: Hands) -> None:
    scene = start(CHAIN)
    assert report(hands, scene.id, "run-1").status_code == 404
    assert scene.pipeline.mlflow_run_id == ""
    assert report(hands, uuid4()).status_code == 404
    stranger = make_hands("box-2")
    stranger.register()
    scene.claim("base")
    assert report(stranger, scene.id, "run-1").status_code == 404
    assert scene.pipeline.mlflow_run_id == ""


def test_callers_who_are_no_workers_cannot_set_the_run(start: Start, api: Any) -> None:
    scene = start(CHAIN)
    scene.claim("base")
    answer = api.post(f"{WORKER}/pipelines/{scene.id}/mlflow-run", {"mlflow_run_id": "x"}, format="json")
    assert answer.status_code == 403


def test_a_jobs_assignment_names_its_pipeline(start: Start, hands: Hands) -> None:
    scene = start(CHAIN)
    tags = hands.claim(scene.job("base").pk).json()["tags"]
    assert (tags["zoo.pipeline"], tags["zoo.step"]) == (str(scene.id), "base")
