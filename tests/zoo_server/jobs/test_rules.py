"""Rules between parameters: checked when a job is submitted or a recipe is planned, not only by the worker."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.zoo_server.jobs import manifests
from tests.zoo_server.jobs.conftest import Submit
from tests.zoo_server.jobs.scenes import Hands
from tests.zoo_server.jobs.test_submission import fault
from zoo_sdk.rules import RULES_KEY, AtMost, Excludes, Rule, rules_as_data
from zoo_server.catalog.models import Version
from zoo_server.jobs.models import Job

pytestmark = pytest.mark.django_db


def with_rules(*rules: Rule | dict[str, Any]) -> dict[str, Any]:
    data = [rule if isinstance(rule, dict) else rules_as_data([rule])[0] for rule in rules]
    return {"version": 2, "params_schema": manifests.TRAIN_SCHEMA | {RULES_KEY: data}}


@pytest.fixture
def ruled(hands: Hands) -> Hands:
    rules = (AtMost(field="temperature", limit="epochs"), Excludes(field="augment", other="limit"))
    assert hands.register(manifests.TRAIN.model_copy(update=with_rules(*rules))).status_code == 200
    return hands


def test_a_job_whose_parameters_break_a_rule_is_422_by_the_parameter(submit: Submit, ruled: Hands) -> None:
    assert fault(submit(params={"temperature": 9}), "params.temperature") == {
        "field": "params.temperature", "message": "temperature (9) must not exceed epochs (3)", "value": 9,
        "allowed": "at most 3",
    }  # fmt: skip
    told = fault(submit(params={"temperature": 1, "augment": True, "limit": 5}), "params.augment")
    assert told["message"] == "augment does not go with limit"
    assert not Job.objects.exists()
    assert submit(params={"temperature": 9, "epochs": 9}).status_code == 202


def test_a_recipe_that_breaks_a_rule_is_told_where_the_parameter_was_written(
    api: APIClient, ruled: Hands, data: Version
) -> None:
    recipe = (
        "zoo_recipe: 1\nname: made\ninputs:\n  data: {kind: dataset}\nvalues: {heat: 9}\nsteps:\n  base:\n"
        "    operation: toy.train\n    inputs:\n      data: ${inputs.data}\n"
        '    params: {temperature: "${values.heat}", epochs: 4}\n'
    )
    body = {"recipe": recipe, "team": "vision", "inputs": {"data": "vision/pictures@1"}}
    answer = api.post("/api/v1/recipes/plan", body, format="json")
    assert answer.status_code == 422
    (entry,) = answer.json()["errors"]
    assert (entry["key"], entry["line"]) == ("values.heat", 5)
    assert "temperature (9) must not exceed epochs (4), as steps.base.params.temperature" in entry["message"]


@pytest.mark.parametrize("rule", [{"kind": "sometimes", "field": "epochs"}, {"kind": "at_most", "field": "epochs"}, 7])
def test_a_worker_with_rules_that_are_none_is_refused(hands: Hands, rule: Any) -> None:
    changed = manifests.TRAIN_SCHEMA | {RULES_KEY: [rule]}
    answer = hands.register(manifests.TRAIN.model_copy(update={"version": 2, "params_schema": changed}))
    assert answer.status_code == 422
    assert RULES_KEY in answer.json()["detail"]
