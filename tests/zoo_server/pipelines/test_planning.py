"""A plan: the graph, what the result cache has, and what the rest will cost."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_member, make_team
from tests.zoo_server.jobs.scenes import Hands
from tests.zoo_server.pipelines.conftest import Start
from tests.zoo_server.pipelines.examples import CHAIN, GATED, HEAD
from tests.zoo_server.pipelines.recipes.texts import DISTIL
from zoo_sdk.vocabulary import TeamRole
from zoo_server.accounts.models import Team
from zoo_server.catalog.models import Version
from zoo_server.jobs.cache_keys import cache_key
from zoo_server.jobs.models import Job, Worker
from zoo_server.jobs.services.clock import in_seconds
from zoo_server.pipelines.models import Pipeline

pytestmark = pytest.mark.django_db(transaction=True)
ENVIRONMENT = "sha256:" + "e" * 64


def plan(api: APIClient, recipe: str, **changes: Any) -> Any:
    body = {"recipe": recipe, "team": "vision", "inputs": {"data": "vision/pictures@1"}} | changes
    answer = api.post("/api/v1/recipes/plan", body, format="json")
    assert answer.status_code == 200, answer.content
    return answer.json()


def steps_of(body: Any) -> dict[str, Any]:
    return {step["key"]: step for step in body["steps"]}


def took(seconds: float, **filters: Any) -> None:
    """Let the finished jobs have taken so long."""
    Job.objects.filter(state="succeeded", **filters).update(started_at=F("finished_at") - timedelta(seconds=seconds))


def test_a_plan_starts_nothing_and_shows_the_graph(api: APIClient, hands: Hands, data: Version) -> None:
    body = plan(api, DISTIL, set="small")
    assert (body["name"], body["set"], body["team"]) == ("distil", "small", "vision")
    student = steps_of(body)["student[seed=1]"]
    assert student["coordinates"] == {"seed": 1}
    assert student["gates"] == ["top1 >= top1 of steps.base - 0.5"]
    assert student["model"] == "vision/distilled"
    assert [item["source"] for item in student["inputs"]] == ["steps.base", "steps.teacher", "vision/pictures@1"]
    assert student["available"] is True
    assert {"source": "base", "target": "student[seed=1]", "kind": "gate"} in body["edges"]
    assert not Pipeline.objects.exists()
    assert not Job.objects.exists()


def test_a_plan_without_inputs_names_what_is_missing(api: APIClient, hands: Hands) -> None:
    sources = {item["source"] for item in steps_of(plan(api, CHAIN, inputs={}))["student"]["inputs"]}
    assert sources == {"steps.base", "inputs.data"}


def test_nothing_is_known_without_a_history(api: APIClient, hands: Hands, data: Version) -> None:
    body = plan(api, CHAIN)
    assert body["estimate"] == {"seconds": 0, "critical_path_seconds": 0, "unknown": 4}
    assert steps_of(body)["base"]["estimate_basis"] == "no finished job of this operation"


def test_estimates_come_from_jobs_with_the_nearest_parameters(start: Start, api: APIClient) -> None:
    text = HEAD + (
        "axes:\n  epochs: [10, 20]\n  heat: [1, 2]\nsteps:\n  train:\n    operation: toy.train\n"
        "    for_each: [epochs, heat]\n    inputs:\n      data: ${inputs.data}\n"
        '    params: {epochs: "${axes.epochs}", temperature: "${axes.heat}"}\n'
    )
    scene = start(text, cache="off", axes={"epochs": [10], "heat": [1]})
    scene.finish("train[epochs=10,heat=1]")
    took(100)
    body = plan(api, text)
    found = {key: (step["estimate_seconds"], step["estimate_basis"]) for key, step in steps_of(body).items()}
    assert found == {
        "train[epochs=10,heat=1]": (100, "1 job"),
        "train[epochs=10,heat=2]": (100, "1 job with 1 other parameter"),
        "train[epochs=20,heat=1]": (200, "1 job, scaled by epochs"),
        "train[epochs=20,heat=2]": (200, "1 job with 1 other parameter, scaled by epochs"),
    }
    assert body["estimate"] == {"seconds": 600, "critical_path_seconds": 200, "unknown": 0}


def test_the_critical_path_is_the_longest_chain(start: Start, api: APIClient) -> None:
    scene = start(CHAIN)
    for key in ("base", "other", "student", "check"):
        scene.finish(key)
    took(10, operation__name="toy.train")
    took(100, operation__name="toy.distill")
    took(1, operation__name="toy.evaluate")
    assert plan(api, CHAIN, cache="off")["estimate"] == {"seconds": 121, "critical_path_seconds": 111, "unknown": 0}


def test_the_history_of_other_teams_is_not_told(start: Start, team: Team, data: Version) -> None:
    scene = start(CHAIN)
    scene.finish("base")
    other = client_for(make_member(make_team("audio"), TeamRole.ENGINEER))
    body = plan(other, CHAIN, team="audio")
    assert steps_of(body)["base"]["estimate_seconds"] is None


def test_a_plan_shows_what_the_cache_has_and_counts_only_the_rest(start: Start, api: APIClient, hands: Hands) -> None:
    scene = start(CHAIN)
    scene.finish("base")
    job = scene.job("base")
    Worker.objects.update(environment_digests={"toy.train": ENVIRONMENT}, last_seen_at=in_seconds(0))
    Job.objects.filter(pk=job.pk).update(
        cache_key=cache_key(work_digest=job.work_digest, environment_digest=ENVIRONMENT)
    )
    took(10)
    body = plan(api, CHAIN)
    steps = steps_of(body)
    assert (steps["base"]["cached"], steps["other"]["cached"]) == ("vision/made-base@1", None)
    assert steps["other"]["estimate_seconds"] == 10
    assert body["estimate"] == {"seconds": 10, "critical_path_seconds": 10, "unknown": 2}
    assert steps_of(plan(api, CHAIN, cache="refresh"))["base"]["cached"] is None


def test_a_pipeline_takes_from_the_cache_and_goes_on_at_once(start: Start) -> None:
    scene = start(CHAIN)
    scene.finish("base", top1=90)
    job = scene.job("base")
    Worker.objects.update(environment_digests={"toy.train": ENVIRONMENT}, last_seen_at=in_seconds(0))
    Job.objects.filter(pk=job.pk).update(
        cache_key=cache_key(work_digest=job.work_digest, environment_digest=ENVIRONMENT)
    )
    again = start(CHAIN)
    assert again.states() == {"base": "succeeded", "other": "running", "student": "running", "check": "waiting"}
    assert again.job("base").cached_from_id == job.pk
    assert again.step("base").result == scene.step("base").result


@pytest.mark.parametrize(("top1", "state"), [(95, "succeeded"), (10, "gated")])
def test_gates_look_at_results_from_the_cache_as_at_any_other(start: Start, top1: float, state: str) -> None:
    scene = start(GATED)
    scene.finish("base", top1=top1)
    job = scene.job("base")
    key = cache_key(work_digest=job.work_digest, environment_digest=ENVIRONMENT)
    Worker.objects.update(environment_digests={"toy.train": ENVIRONMENT}, last_seen_at=in_seconds(0))
    Job.objects.filter(pk=job.pk).update(cache_key=key)
    for text in (GATED, GATED.replace("name: made", "name: elsewhere")):
        again = start(text)
        assert again.job("base").cached_from_id == job.pk
        assert again.states()["base"] == state
        assert again.step("base").gates[0]["value"] == top1
