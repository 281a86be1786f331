"""Plans of conversions over REST: the path, and why other edges cannot be taken."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.zoo_server.conftest import QueryCounter
from tests.zoo_server.jobs.scenes import Hands, make_model, owner_of
from tests.zoo_server.pipelines.conversions.converters import BACK, CONVERSIONS, EXPORT, FAST, PLAN, QUANTIZE, converter
from zoo_sdk.conversions import ConversionEdge, Unserved
from zoo_server.accounts.models import Team
from zoo_server.catalog.models import Artifact, Version
from zoo_server.catalog.services import seal_version
from zoo_server.jobs.models import Worker
from zoo_server.jobs.services.clock import in_seconds
from zoo_server.pipelines.models import Pipeline

pytestmark = pytest.mark.django_db


def planned(api: APIClient, to: str, **changes: Any) -> Any:
    answer = api.post(PLAN, {"version": "vision/net@1", "to": to} | changes, format="json")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_a_plan_shows_the_path_and_starts_nothing(api: APIClient, offers: Hands, source: Version) -> None:
    body = planned(api, "onnx")
    assert body["found"] is True
    assert body["start"]["format"] == "safetensors"
    assert [(step["operation"], step["target"], step["cost"]) for step in body["steps"]] == [("toy.export", "onnx", 10)]
    assert (body["team"], body["model"]) == ("vision", "net")
    assert not Pipeline.objects.exists()


def test_all_edges_are_listed_with_what_they_need(api: APIClient, offers: Hands) -> None:
    answer = api.get(CONVERSIONS)
    assert answer.status_code == 200
    edges = {item["operation"]: item for item in answer.json()["edges"]}
    assert list(edges) == ["toy.back", "toy.export", "toy.fast", "toy.quantize"]
    assert (edges["toy.quantize"]["precision"], edges["toy.quantize"]["available"]) == ("int8", True)
    assert edges["toy.fast"]["requires"] == ["GPU: it builds for the device at hand", "fastconv: it does the work"]
    assert edges["toy.fast"]["available"] is False
    assert "has no GPU" in edges["toy.fast"]["reasons"][0]


@pytest.mark.parametrize("rows", [3, 30])
def test_list_and_plan_take_as_many_queries_for_any_number_of_operations(
    api: APIClient, offers: Hands, source: Version, count_queries: QueryCounter, rows: int
) -> None:
    offers.register(EXPORT, *(converter(f"toy.more{number}", "onnx", "tflite") for number in range(rows)))
    with count_queries("conversion-list"):
        assert len(api.get(CONVERSIONS).json()["edges"]) == rows + 1
    with count_queries("conversion-plan"):
        assert planned(api, "tflite")["cost"] == 20


def test_an_edge_that_no_machine_can_take_says_what_is_missing(api: APIClient, offers: Hands, source: Version) -> None:
    body = planned(api, "openvino-ir", precision="int8", data="vision/pictures@1")
    reasons = {item["operation"]: item["reasons"] for item in body["unavailable"]}
    assert [step["operation"] for step in body["steps"]] == ["toy.export", "toy.quantize"]
    assert reasons["toy.fast"] == [
        "worker box-1 has no GPU (it builds for the device at hand) and no package fastconv (it does the work)"
    ]


def test_a_worker_that_has_everything_makes_the_edge_available(api: APIClient, offers: Hands, source: Version) -> None:
    offers.register(EXPORT, BACK, QUANTIZE, FAST, environment={"gpus": [{"name": "H100"}], "missing_packages": []})
    assert [step["operation"] for step in planned(api, "openvino-ir")["steps"]] == ["toy.fast"]


def test_without_a_data_set_quantization_says_that_it_needs_one(api: APIClient, offers: Hands, source: Version) -> None:
    body = planned(api, "openvino-ir", precision="int8")
    assert body["found"] is False
    assert "not all of its edges can be taken" in body["problem"]
    reasons = {item["operation"]: item["reasons"] for item in body["unavailable"]}
    assert reasons["toy.quantize"] == ["needs a data set for its input 'data'"]


def test_the_edges_of_a_worker_that_is_away_are_told_as_such(api: APIClient, offers: Hands, source: Version) -> None:
    Worker.objects.update(last_seen_at=in_seconds(-3600))
    body = planned(api, "onnx")
    assert body["found"] is False
    assert body["unavailable"][0]["reasons"] == ["no worker that offers toy.export is alive"]


def test_a_queue_that_nobody_serves_is_told(api: APIClient, offers: Hands, source: Version) -> None:
    Worker.objects.update(queues=["toy.gpu"])
    assert planned(api, "onnx")["unavailable"][0]["reasons"] == ["no living worker serves the queue toy.cpu"]


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"options": {"toy.export": {"opset": 99}}}, "options.toy.export.opset", "is not a whole number"),
        ({"options": {"toy.export": {"colour": 1}}}, "options.toy.export.colour", "is not a parameter"),
        ({"options": {"toy.exprt": {}}}, "options.toy.exprt", "is not an operation that converts"),
    ],
)
def test_a_wrong_option_is_refused_by_name(
    api: APIClient, offers: Hands, source: Version, changes: Any, field: str, message: str
) -> None:
    answer = api.post(PLAN, {"version": "vision/net@1", "to": "onnx"} | changes, format="json")
    assert answer.status_code == 422
    error = answer.json()["errors"][0]
    assert error["field"] == field
    assert message in error["message"]


def test_an_option_that_forbids_an_edge_is_the_reason(api: APIClient, offers: Hands, source: Version) -> None:
    body = planned(api, "safetensors", precision="fp16", options={"toy.back": {"precision": "fp32"}})
    assert body["unavailable"][0]["reasons"][0] == "the option toy.back.precision is not 'fp16'"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"to": "onxx"}, 422),
        ({"version": "vision/nothing@1"}, 404),
        ({"version": "vision/net@1#other.bin"}, 422),
        ({"precision": "fp31"}, 422),
        ({"unknown": 1}, 422),
    ],
)
def test_what_does_not_exist_is_refused(
    api: APIClient, offers: Hands, source: Version, changes: Any, status: int
) -> None:
    answer = api.post(PLAN, {"version": "vision/net@1", "to": "onnx"} | changes, format="json")
    assert answer.status_code == status, answer.content


def test_a_conversion_that_no_worker_serves_is_told_with_its_queue(
    api: APIClient, offers: Hands, source: Version
) -> None:
    edge = ConversionEdge(source="onnx", target="tensorrt-plan")
    unserved = Unserved(operation="plan.build", queue="plan.gpu", gpus=1, edges=(edge,))
    environment = {"gpus": [], "unserved_conversions": [unserved.model_dump(mode="json")]}
    assert offers.register(EXPORT, environment=environment).status_code == 200
    body = planned(api, "tensorrt-plan")
    assert body["found"] is False
    assert "not all of its edges can be taken" in body["problem"]
    assert [(item["operation"], item["reasons"]) for item in body["unavailable"]] == [
        ("plan.build", ["worker box-1 does not serve the queue plan.gpu and has no GPU"])
    ]


def test_what_a_worker_of_another_release_tells_does_no_harm(api: APIClient, offers: Hands, source: Version) -> None:
    offers.register(EXPORT, environment={"unserved_conversions": [{"whatever": 1}]})
    assert planned(api, "onnx")["found"] is True


def test_the_details_of_an_artifact_answer_what_an_edge_asks(api: APIClient, offers: Hands, team: Team) -> None:
    asking = ConversionEdge(source="safetensors", target="onnx", asks=("opset",))
    offers.register(converter("toy.export", "safetensors", "onnx", asking, version=2))
    silent = make_model(team, "silent")
    body = planned(api, "onnx", version=str(silent))
    assert body["found"] is False
    assert body["unavailable"][0]["reasons"] == ["needs the option toy.export.opset"]
    told = planned(api, "onnx", version=str(silent), options={"toy.export": {"opset": 19}})
    assert told["steps"][0]["params"] == {"opset": 19}
    telling = make_model(team, "telling", sealed=False)
    Artifact.objects.filter(version=telling).update(details={"opset": 20})
    seal_version(principal=owner_of(team), version=telling)
    assert planned(api, "onnx", version=str(telling))["found"] is True
