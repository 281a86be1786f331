"""The routes of recipes and pipelines: what they answer, to whom, and at which cost."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from rest_framework.test import APIClient

from tests.zoo_server.conftest import QueryCounter
from tests.zoo_server.factories import client_for, make_member, make_team
from tests.zoo_server.jobs.scenes import Hands, make_dataset, make_model
from tests.zoo_server.jobs.threads import at_once
from tests.zoo_server.pipelines.conftest import Start
from tests.zoo_server.pipelines.examples import BRANCHED, CHAIN, GATED, SEEDS
from tests.zoo_server.pipelines.recipes.texts import DISTIL, changed
from tests.zoo_server.pipelines.scenes import PIPELINES
from zoo_sdk.vocabulary import Scope, TeamRole, Visibility
from zoo_server.accounts.models import Team, User
from zoo_server.catalog.models import Version
from zoo_server.jobs.models import Job
from zoo_server.pipelines.models import Pipeline
from zoo_server.rest.identifiers import new_id

pytestmark = pytest.mark.django_db(transaction=True)
RECIPES = "/api/v1/recipes"
Post = Callable[..., Any]


@pytest.fixture
def post(api: APIClient, hands: Hands, data: Version) -> Post:
    """Start a recipe over REST on ``vision/pictures@1``; answers the response."""

    def posted(recipe: str = CHAIN, *, key: str | None = None, client: APIClient = api, **changes: Any) -> Any:
        body = {"recipe": recipe, "team": "vision", "inputs": {"data": "vision/pictures@1"}} | changes
        return client.post(PIPELINES, body, format="json", headers={"Idempotency-Key": key} if key else {})

    return posted


def errors_of(answer: Any) -> dict[str, str]:
    assert answer.status_code == 422, answer.content
    body = answer.json()
    assert body["code"] == "invalid-recipe", body
    return {item["key"]: item["message"] for item in body["errors"]}


def test_a_right_recipe_is_described(api: APIClient, hands: Hands) -> None:
    answer = api.post(f"{RECIPES}/validate", {"recipe": DISTIL}, format="json")
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert body["inputs"]["teacher"] == {"kind": "model", "required": False, "description": ""}
    assert body["sets"]["small"] == {"summary": "", "values": {"epochs": 1}, "axes": {"seed": [0, 1]}}
    assert [step["name"] for step in body["steps"]] == ["base", "teacher", "student", "check"]
    assert body["outputs"]["student"] == {"sources": ["student"], "model": "distilled", "alias": None}


def test_a_wrong_recipe_is_a_problem_with_every_mistake(api: APIClient, hands: Hands) -> None:
    text = changed(("{epochs: 1}", "{epochs: 0}"), ("${values.heat}", "${values.heet}"))
    answer = api.post(f"{RECIPES}/validate", {"recipe": text, "file": "mine.yaml"}, format="json")
    assert answer.status_code == 422
    assert answer["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["code"] == "invalid-recipe"
    assert {(item["file"], item["line"], item["key"]) for item in body["errors"]} == {
        ("mine.yaml", 9, "values.heat"),
        ("mine.yaml", 12, "sets.small.values.epochs"),
        ("mine.yaml", 37, "steps.student.params.temperature"),
    }
    assert body["detail"].startswith("mine.yaml:9:3: values.heat: is used nowhere")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"recipe": 3},
        {"recipe": "x" * 300_001},
        {"recipe": "a", "fyle": "b"},
        {"recipe": "a", "file": ""},
        {"recipe": "a", "file": "a\0"},
    ],
)
def test_a_wrong_body_is_422(api: APIClient, hands: Hands, body: Any) -> None:
    assert api.post(f"{RECIPES}/validate", body, format="json").status_code == 422


def test_a_recipe_above_the_limit_is_told_its_size(api: APIClient, hands: Hands) -> None:
    answer = api.post(f"{RECIPES}/validate", {"recipe": "#" * (256 * 1024 + 1)}, format="json")
    assert "262145 bytes" in answer.json()["detail"]


def test_a_started_pipeline_is_answered_with_its_steps(post: Post, api: APIClient) -> None:
    answer = post()
    assert answer.status_code == 202, answer.content
    body = answer.json()
    assert answer["Location"] == f"{PIPELINES}/{body['id']}"
    assert (body["state"], body["inputs"], body["counts"]) == (
        "running",
        {"data": "vision/pictures@1"},
        {"running": 2, "waiting": 2},
    )
    steps = {step["key"]: step for step in body["steps"]}
    taken = {item["port"]: (item["source"], item["weight"]) for item in steps["student"]["inputs"]}
    assert taken == {"student": ("steps.base", None), "teacher": ("steps.base", 2), "data": ("vision/pictures@1", None)}
    assert steps["base"]["inputs"] == [
        {"port": "data", "source": "vision/pictures@1", "weight": None, "artifact": None}
    ]
    assert (steps["base"]["job"]["state"], steps["student"]["job"]) == ("queued", None)
    assert {"source": "base", "target": "student", "kind": "input"} in body["edges"]
    assert api.get(answer["Location"]).json() == body


def test_results_gates_and_outputs_are_shown(start: Start, api: APIClient) -> None:
    scene = start(BRANCHED)
    scene.finish("quick", top1=50)
    scene.finish("repair")
    body = api.get(f"{PIPELINES}/{scene.id}").json()
    steps = {step["key"]: step for step in body["steps"]}
    assert steps["quick"]["gates"] == [
        {
            "metric": "top1",
            "rule": "at_least",
            "value": 50,
            "reference": None,
            "limit": 90,
            "passed": False,
            "message": "top1 >= 90: not passed (vision/best@1: 50)",
        }
    ]
    assert (steps["repair"]["result"], steps["only_quick"]["state"]) == ("vision/best@2", "skipped")
    assert body["outputs"]["best"] == {
        "model": "vision/best",
        "alias": "chosen",
        "alias_error": None,
        "versions": ["vision/best@2"],
    }
    assert api.get(PIPELINES).json()["results"][0]["outputs"] == body["outputs"]


def test_the_same_key_answers_the_same_pipeline(post: Post) -> None:
    first, second, other = post(key="k"), post(key="k"), post(key="l")
    assert (first.status_code, second.status_code, other.status_code) == (202, 200, 202)
    assert first.json()["id"] == second.json()["id"] != other.json()["id"]
    clash = post(GATED, key="k")
    assert (clash.status_code, clash.json()["code"]) == (409, "idempotency-mismatch")
    assert post(key="\t").status_code == 422


def test_the_same_key_at_the_same_time_starts_one_pipeline(post: Post, member: User) -> None:
    clients = [client_for(member) for _ in range(4)]
    answers = at_once(4, lambda number: post(key="k", client=clients[number]))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 202]
    assert Pipeline.objects.count() == 1
    assert Job.objects.count() == 2


def test_what_the_request_fills_in_wrongly_is_told(post: Post, team: Team) -> None:
    assert errors_of(post(inputs={})) == {"request.inputs.data": "is required: a dataset"}
    wrong = errors_of(post(inputs={"data": "vision/nothing@1", "dat": "vision/pictures@1"}))
    assert wrong["request.inputs.data"] == "there is no dataset 'vision/nothing@1' that you may see"
    assert wrong["request.inputs.dat"] == "is not an input of the recipe"
    assert "is not a reference" in errors_of(post(inputs={"data": "pictures"}))["request.inputs.data"]
    assert errors_of(post(set="tiny")) == {"request.set": "the recipe has no set 'tiny'"}
    onnx = make_model(team, "graph", "onnx")
    refused = errors_of(post(SEEDS, inputs={"data": "vision/pictures@1", "student": str(onnx)}))
    assert refused == {
        "request.inputs.student": "vision/graph@1 has these artifacts: weights/model.onnx (onnx) (step ensemble)"
    }
    draft = make_model(team, "rough", sealed=False)
    assert (
        "is draft"
        in errors_of(post(SEEDS, inputs={"data": "vision/pictures@1", "student": str(draft)}))["request.inputs.student"]
    )
    assert post(team="vi\0sion").status_code == 422
    for odd in ("vision/pictures@\0", "vision/pictures@1#\0", "vision/pictures@" + "9" * 40, "x" * 2000):
        assert "request.inputs.data" in errors_of(post(inputs={"data": odd})), odd
    assert Pipeline.objects.count() == 0


def test_inputs_are_pinned_when_the_pipeline_starts(post: Post, api: APIClient, team: Team, base: Version) -> None:
    body = post(SEEDS, inputs={"data": "vision/pictures@latest", "student": "vision/base@latest"}).json()
    make_model(team, "base")
    assert body["inputs"] == {"data": "vision/pictures@1", "student": "vision/base@1"}
    assert api.get(f"{PIPELINES}/{body['id']}").json()["inputs"]["student"] == "vision/base@1"


def test_an_input_of_another_team_needs_the_rights_to_see_and_to_measure_it(post: Post) -> None:
    other = make_team("audio")
    make_dataset(other, "secret", Visibility.PRIVATE)
    assert "that you may see" in errors_of(post(inputs={"data": "audio/secret@1"}))["request.inputs.data"]
    shared = make_model(other, "shared")
    measuring = (
        "zoo_recipe: 1\nname: m\ninputs:\n  data: {kind: dataset}\n  model: {kind: model}\nsteps:\n  check:\n"
        "    operation: toy.evaluate\n    inputs:\n      model: ${inputs.model}\n      data: ${inputs.data}\n"
    )
    answer = post(measuring, inputs={"data": "vision/pictures@1", "model": str(shared)})
    assert "you may not write in the team audio" in errors_of(answer)["request.inputs.model"]


def test_who_may_not_submit_or_set_an_alias_is_refused(post: Post, team: Team, stranger_api: APIClient) -> None:
    reader, engineer = (client_for(make_member(team, role)) for role in (TeamRole.READER, TeamRole.ENGINEER))
    assert post(client=stranger_api).status_code == 404
    assert post(client=reader).status_code == 403
    assert post(client=client_for(make_member(team), [Scope.READ])).status_code == 403
    assert post(client=engineer).status_code == 202
    denied = post(BRANCHED, client=engineer)
    assert (denied.status_code, denied.json()["facts"]) == (403, {"scope": "curate"})


def test_the_team_follows_if_the_caller_has_one_only(post: Post, member: User) -> None:
    assert post(team=None).status_code == 202
    make_member(make_team("audio"), user=member)
    assert "is required" in errors_of(post(team=None))["request.team"]


def test_another_teams_pipeline_is_not_found(post: Post, stranger_api: APIClient, superuser_api: APIClient) -> None:
    pipeline = post().json()["id"]
    for client, status in ((stranger_api, 404), (APIClient(), 404), (superuser_api, 200)):
        assert client.get(f"{PIPELINES}/{pipeline}").status_code == status
    for action in ("cancel", "retry"):
        assert stranger_api.post(f"{PIPELINES}/{pipeline}/{action}").status_code == 404
    assert stranger_api.get(PIPELINES).json()["results"] == []


def test_pipelines_are_filtered_and_paged_newest_first(post: Post, api: APIClient) -> None:
    ids = [post(key=str(number), cache="off").json()["id"] for number in range(3)]
    gated = post(GATED.replace("name: made", "name: gated")).json()["id"]

    def found(**query: Any) -> list[str]:
        return [item["id"] for item in api.get(PIPELINES, query).json()["results"]]

    assert found() == [gated, *reversed(ids)]
    assert found(name="gated") == [gated]
    assert found(state="succeeded") == found(team="audio") == []
    page = api.get(PIPELINES, {"limit": 2}).json()
    assert [item["id"] for item in page["results"]] + found(limit=2, cursor=page["next"]) == [gated, *reversed(ids)]
    assert "steps" not in page["results"][0]
    assert api.get(PIPELINES, {"state": "asleep"}).status_code == 422


def test_cancel_and_retry_over_rest(post: Post, api: APIClient) -> None:
    route = f"{PIPELINES}/{post().json()['id']}"
    early = api.post(f"{route}/retry")
    assert (early.status_code, early.json()["code"]) == (409, "wrong-pipeline-state")
    assert api.post(f"{route}/cancel").json()["state"] == "cancelled"
    assert api.post(f"{route}/cancel").status_code == 409
    assert api.post(f"{route}/retry").json()["state"] == "running"


def copy_of(pipeline_id: UUID) -> None:
    """One more pipeline like that one, without its jobs."""
    pipeline = Pipeline.objects.get(pk=pipeline_id)
    inputs, steps = list(pipeline.inputs.all()), list(pipeline.steps.all())
    pipeline.id = new_id()
    pipeline.save(force_insert=True)
    for item in inputs:
        item.id, item.pipeline = new_id(), pipeline
        item.save(force_insert=True)
    for step in steps:
        step.id, step.pipeline, step.job = new_id(), pipeline, None
        step.save(force_insert=True)


@pytest.mark.parametrize("rows", [3, 30])
def test_the_list_takes_as_many_queries_for_any_number_of_rows(
    start: Start, api: APIClient, count_queries: QueryCounter, rows: int
) -> None:
    scene = start(CHAIN)
    for _ in range(rows - 1):
        copy_of(scene.id)
    with count_queries("pipeline-list"):
        assert len(api.get(PIPELINES, {"limit": 50}).json()["results"]) == rows


@pytest.mark.parametrize("seeds", [3, 30])
def test_one_pipeline_takes_as_many_queries_for_any_number_of_steps(
    start: Start, api: APIClient, base: Version, count_queries: QueryCounter, seeds: int
) -> None:
    scene = start(SEEDS, inputs={"student": str(base)}, axes={"seed": list(range(seeds))})
    with count_queries("pipeline-detail"):
        assert len(api.get(f"{PIPELINES}/{scene.id}").json()["steps"]) == seeds + 1
