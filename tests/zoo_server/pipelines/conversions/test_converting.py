"""Conversions over REST: the pipeline that makes a version for each step."""

import pytest
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_member, make_team
from tests.zoo_server.jobs.scenes import Hands, make_model
from tests.zoo_server.pipelines.conversions.converters import CONVERSIONS, PLAN
from tests.zoo_server.pipelines.scenes import Scene
from zoo_sdk.vocabulary import TeamRole
from zoo_server.accounts.models import Team
from zoo_server.catalog.models import LineageEdge, Version
from zoo_server.jobs.models import Job
from zoo_server.pipelines.models import Pipeline
from zoo_server.rest.principals import Principal

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_conversion_makes_a_version_for_each_step_with_lineage(
    api: APIClient, offers: Hands, source: Version, principal: Principal
) -> None:
    body = {
        "version": "vision/net@1",
        "to": "safetensors",
        "precision": "fp16",
        "options": {"toy.export": {"opset": 19}},
    }
    answer = api.post(CONVERSIONS, body, format="json")
    assert answer.status_code == 202, answer.content
    scene = Scene(principal, offers, answer.json()["id"])
    assert answer.json()["name"] == "convert-to-safetensors"
    assert set(scene.states()) == {"1-onnx", "2-safetensors-fp16"}
    job = scene.job("1-onnx")
    assert job.params == {"opset": 19, "precision": "fp32"}
    assert job.outputs == {"model": "vision/net"}
    # The hands upload safetensors; here it is enough that what the first step makes is what the second would get.
    scene.fail("1-onnx")
    assert scene.states() == {"1-onnx": "failed", "2-safetensors-fp16": "skipped"}


def test_one_step_ends_with_a_version_of_the_same_model(
    api: APIClient, offers: Hands, team: Team, principal: Principal
) -> None:
    make_model(team, "graph", "onnx")
    body = {"version": "vision/graph@1", "to": "safetensors", "precision": "fp16"}
    answer = api.post(CONVERSIONS, body, format="json")
    assert answer.status_code == 202, answer.content
    scene = Scene(principal, offers, answer.json()["id"])
    scene.finish("1-safetensors-fp16")
    assert scene.state == "succeeded"
    made = scene.step("1-safetensors-fp16").result
    assert str(made) == "vision/graph@2"
    assert LineageEdge.objects.filter(child=made, role="converted_from").count() == 1


def test_the_same_key_answers_the_same_pipeline(api: APIClient, offers: Hands, source: Version) -> None:
    body = {"version": "vision/net@1", "to": "onnx"}
    answers = [api.post(CONVERSIONS, body, format="json", headers={"Idempotency-Key": "k1"}) for _ in range(2)]
    assert [item.status_code for item in answers] == [202, 200]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert Job.objects.count() == 1


def test_without_a_path_nothing_starts_and_the_answer_says_why(api: APIClient, offers: Hands, source: Version) -> None:
    answer = api.post(CONVERSIONS, {"version": "vision/net@1", "to": "openvino-ir"}, format="json")
    assert answer.status_code == 422
    assert answer.json()["code"] == "no-conversion"
    assert {item["operation"] for item in answer.json()["facts"]["unavailable"]} >= {"toy.fast"}
    assert not Pipeline.objects.exists()


def test_an_artifact_that_no_worker_would_get_is_no_start(api: APIClient, offers: Hands, team: Team) -> None:
    findings = [{"severity": "dangerous", "reason": "it imports os.system"}]
    make_model(team, "trap", findings=findings)
    make_model(team, "draft", sealed=False)
    for name, reason in (("trap", "something dangerous"), ("draft", "is a draft")):
        body = api.post(PLAN, {"version": f"vision/{name}@1", "to": "onnx"}, format="json").json()
        assert body["found"] is False
        assert reason in body["problem"]
        answer = api.post(CONVERSIONS, {"version": f"vision/{name}@1", "to": "onnx"}, format="json")
        assert (answer.status_code, answer.json()["code"]) == (422, "no-conversion")


def test_what_is_there_already_is_not_converted(api: APIClient, offers: Hands, source: Version) -> None:
    answer = api.post(CONVERSIONS, {"version": "vision/net@1", "to": "safetensors"}, format="json")
    assert answer.status_code == 409
    assert answer.json()["code"] == "already-converted"


def test_versions_of_another_team_are_converted_into_ones_own(offers: Hands, source: Version) -> None:
    other = make_team("audio")
    user = make_member(other, TeamRole.ENGINEER)
    body = {"version": "vision/net@1", "to": "onnx"}
    answer = client_for(user).post(CONVERSIONS, body, format="json")
    assert answer.status_code == 202, answer.content
    assert answer.json()["team"] == "audio"
    assert answer.json()["steps"][0]["model"] == "audio/net"


def test_a_reader_may_not_convert(offers: Hands, source: Version, team: Team) -> None:
    reader = make_member(team, TeamRole.READER)
    answer = client_for(reader).post(CONVERSIONS, {"version": "vision/net@1", "to": "onnx"}, format="json")
    assert answer.status_code in {403, 422}
    assert not Pipeline.objects.exists()
