"""Steps on GPUs: what a recipe may ask for, what the plan says, and what becomes of it."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.zoo_server.jobs import manifests
from tests.zoo_server.jobs.scenes import Hands
from tests.zoo_server.pipelines.conftest import Start
from tests.zoo_server.pipelines.examples import HEAD
from tests.zoo_server.pipelines.scenes import PIPELINES
from tests.zoo_server.pipelines.test_planning import plan, steps_of, took
from zoo_sdk.operations import Resources
from zoo_server.catalog.models import Version
from zoo_server.jobs.models import Job
from zoo_server.pipelines.models import Pipeline

pytestmark = pytest.mark.django_db(transaction=True)
TRAIN = manifests.TRAIN.model_copy(update={"version": 2, "resources": Resources(max_gpus=8, time_limit_seconds=600)})
RECIPE = (
    HEAD
    + """\
values: {devices: {train: 0}}
sets:
  full: {values: {devices: {train: 4}}}
axes:
  count: [1, 2]
steps:
  base:
    operation: toy.train
    gpus: ${values.devices.train}
    inputs:
      data: ${inputs.data}
  more:
    operation: toy.train
    for_each: [count]
    gpus: ${axes.count}
    seed: 1
    inputs:
      data: ${inputs.data}
  check:
    operation: toy.evaluate
    inputs:
      model: ${steps.base}
      data: ${inputs.data}
"""
)


@pytest.fixture
def cards(hands: Hands) -> Hands:
    """The tests' worker, with two GPUs."""
    answer = hands.register(TRAIN, manifests.EVALUATE, queues=["toy.cpu", "toy.gpu"], gpus=["NVIDIA H100"] * 2)
    assert answer.status_code == 200, answer.content
    return hands


def errors_of(api: APIClient, text: str, **changes: Any) -> list[dict[str, Any]]:
    body = {"recipe": text, "team": "vision", "inputs": {"data": "vision/pictures@1"}} | changes
    answer = api.post("/api/v1/recipes/plan", body, format="json")
    assert answer.status_code == 422, answer.content
    found: list[dict[str, Any]] = answer.json()["errors"]
    return found


def test_a_plan_tells_the_gpus_of_each_step_and_which_no_worker_has(
    api: APIClient, cards: Hands, data: Version
) -> None:
    steps = steps_of(plan(api, RECIPE, set="full"))
    assert {key: step["gpus"] for key, step in steps.items()} == {
        "base": 4, "more[count=1]": 1, "more[count=2]": 2, "check": 0,
    }  # fmt: skip
    words = "a worker that offers toy.train v2 with 4 GPUs: the largest that is alive has 2"
    assert (steps["base"]["available"], steps["base"]["waiting_for"]) == (False, words)
    assert all(step["available"] and step["waiting_for"] is None for key, step in steps.items() if key != "base")
    assert steps_of(plan(api, RECIPE))["base"]["available"] is True


def test_a_pipelines_jobs_get_the_gpus_and_the_pipeline_says_what_waits(
    start: Start, cards: Hands, api: APIClient
) -> None:
    scene = start(RECIPE, set="full")
    assert {job.pipeline_step.key: (job.gpus, job.queue) for job in Job.objects.select_related("pipeline_step")} == {
        "base": (4, "toy.gpu"), "more[count=1]": (1, "toy.gpu"), "more[count=2]": (2, "toy.gpu"),
    }  # fmt: skip
    steps = {step["key"]: step["job"] for step in api.get(f"{PIPELINES}/{scene.id}").json()["steps"]}
    assert (steps["base"]["gpus"], steps["more[count=2]"]["waiting_for"]) == (4, None)
    assert steps["base"]["waiting_for"].endswith("with 4 GPUs: the largest that is alive has 2")


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        ("{train: 0}", "{train: 9}", "values.devices.train", "toy.train can use 8 at most, as steps.base.gpus"),
        ("{train: 0}", "{train: many}", "values.devices.train", "'many' is not a whole number from 0 to 16"),
        ("gpus: ${values.devices.train}", "gpus: 17", "steps.base.gpus", "must be a whole number from 0 to 16"),
        ("gpus: ${values.devices.train}", "gpus: 9", "steps.base.gpus", "toy.train can use 8 at most"),
        ("gpus: ${values.devices.train}", "gpus: true", "steps.base.gpus", "must be a whole number from 0 to 16"),
        ("gpus: ${values.devices.train}", "gpus: ${values.none}", "steps.base.gpus", "names a value 'none'"),
        ("[1, 2]", "[1, 12]", "axes.count.1", "toy.train can use 8 at most, as steps.more.gpus"),
        ("toy.evaluate\n", "toy.evaluate\n    gpus: 1\n", "steps.check.gpus", "toy.evaluate cannot use GPUs"),
    ],
)
def test_a_wrong_number_of_gpus_is_told_where_it_was_written(
    api: APIClient, cards: Hands, data: Version, old: str, new: str, key: str, message: str
) -> None:
    assert RECIPE.count(old) == 1
    found = errors_of(api, RECIPE.replace(old, new))
    assert any(item["key"] == key and message in item["message"] for item in found), found
    assert not Pipeline.objects.exists()


def test_a_request_may_ask_for_other_gpus_and_its_mistakes_are_told(
    api: APIClient, cards: Hands, data: Version
) -> None:
    assert steps_of(plan(api, RECIPE, values={"devices": {"train": 2}}))["base"]["gpus"] == 2
    found = errors_of(api, RECIPE, values={"devices": {"train": 9}})
    assert [item["key"] for item in found] == ["request.values.devices.train"]


def test_an_operation_that_needs_gpus_has_them_in_the_plan_without_a_word(
    api: APIClient, cards: Hands, data: Version
) -> None:
    cards.register(
        TRAIN.model_copy(update={"version": 3, "resources": Resources(gpus=2, max_gpus=4)}),
        manifests.EVALUATE,
        queues=["toy.cpu", "toy.gpu"],
        gpus=["NVIDIA H100"] * 2,
    )
    text = RECIPE.replace("    gpus: ${values.devices.train}\n", "").replace("values: {devices: {train: 0}}\n", "")
    text = text.replace("sets:\n  full: {values: {devices: {train: 4}}}\n", "").replace("[1, 2]", "[2, 3]")
    assert steps_of(plan(api, text))["base"]["gpus"] == 2


def test_estimates_prefer_jobs_with_as_many_gpus(start: Start, cards: Hands, api: APIClient) -> None:
    scene = start(RECIPE, cache="off", axes={"count": [1]})
    scene.finish("base")
    took(100)
    basis = {key: step["estimate_basis"] for key, step in steps_of(plan(api, RECIPE, cache="off")).items()}
    assert (basis["base"], basis["more[count=1]"]) == ("1 job", "1 job with another number of GPUs")
