"""Submitting jobs: everything wrong is said at once, with field, value and what is allowed."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_member, make_team
from tests.zoo_server.jobs import manifests
from tests.zoo_server.jobs.conftest import Submit
from tests.zoo_server.jobs.scenes import JOBS, Hands, job_now, make_dataset, make_hands, make_model, owner_of
from zoo_sdk.vocabulary import TeamRole, Visibility
from zoo_server.accounts.models import Team
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog.models import Version
from zoo_server.catalog.services import withdraw_version
from zoo_server.jobs.models import Job, JobDispatch

pytestmark = pytest.mark.django_db


def fault(answer: Any, field: str) -> dict[str, Any]:
    """The entry of a 422 answer about ``field``."""
    assert answer.status_code == 422, answer.content
    entries: list[dict[str, Any]] = answer.json()["errors"]
    found = [entry for entry in entries if entry["field"] == field]
    assert found, f"nothing about {field} in {entries}"
    return found[0]


def test_a_job_is_queued_with_complete_parameters(submit: Submit) -> None:
    answer = submit(params={"epochs": 7, "schedule": {"name": "cosine"}}, seed=5, priority=9)
    assert answer.status_code == 202
    body = answer.json()
    assert answer["Location"] == f"{JOBS}/{body['id']}"
    assert body["params"] == {
        "epochs": 7,
        "temperature": 4.0,
        "optimizer": "sgd",
        "limit": None,
        "schedule": {"name": "cosine", "warmup": 1},
        "augment": False,
    }
    assert (body["state"], body["team"], body["queue"], body["seed"]) == ("queued", "vision", "toy.cpu", 5)
    assert (body["attempt"], body["max_attempts"], body["time_limit_seconds"]) == (0, 3, 600)
    assert body["inputs"] == [{"port": "data", "reference": "vision/pictures@1", "artifact": None, "weight": None}]
    assert body["outputs"] == {"model": "vision/made"}
    job = job_now(body["id"])
    assert JobDispatch.objects.get(job=job).times_sent == 0
    assert AuditEvent.objects.get(action="job.submitted").object_id == str(job.pk)


@pytest.mark.parametrize(
    ("params", "field", "value", "allowed"),
    [
        ({"temprature": 2}, "params.temprature", 2, "did you mean temperature"),
        ({"epochs": "many"}, "params.epochs", "many", "a whole number at least 1 and at most 100"),
        ({"epochs": 0}, "params.epochs", 0, "at least 1"),
        ({"epochs": 101}, "params.epochs", 101, "at most 100"),
        ({"epochs": 1.5}, "params.epochs", 1.5, "a whole number"),
        ({"epochs": True}, "params.epochs", True, "a whole number"),
        ({"temperature": 0}, "params.temperature", 0, "greater than 0"),
        ({"optimizer": "lion"}, "params.optimizer", "lion", "one of: sgd, adamw"),
        ({"limit": "no"}, "params.limit", "no", "a whole number at least 1 or null"),
        ({"augment": 1}, "params.augment", 1, "true or false"),
        ({"widths": [8, "x"]}, "params.widths.1", "x", "a whole number"),
        ({"widths": [1, 2, 3, 4]}, "params.widths", "[1, 2, 3, 4]", "at most 3"),
        ({"schedule": {"warmup": -1}}, "params.schedule.warmup", -1, "at least 0"),
        ({"schedule": {"wramup": 1}}, "params.schedule.wramup", 1, "warmup"),
    ],
)
def test_a_wrong_parameter_is_422_with_field_value_and_what_is_allowed(
    submit: Submit, params: dict[str, Any], field: str, value: Any, allowed: str
) -> None:
    entry = fault(submit(params=params), field)
    assert entry["value"] == value
    assert allowed in entry["allowed"]
    assert not Job.objects.exists()


def test_all_wrong_fields_are_named_at_once(submit: Submit) -> None:
    answer = submit(params={"epochs": 0}, inputs={"date": "vision/pictures@1"}, outputs={"model": "no slash"})
    assert fault(answer, "params.epochs")
    assert "did you mean data" in fault(answer, "inputs.date")["allowed"]
    assert fault(answer, "inputs.data")["message"].startswith("is required")
    assert fault(answer, "outputs.model")["value"] == "no slash"


def test_a_nul_in_a_parameter_is_refused(submit: Submit) -> None:
    assert submit(params={"schedule": {"name": "a\x00b"}}).status_code == 422


def test_parameters_that_are_nested_too_deep_are_refused(submit: Submit) -> None:
    for depth in (30, 300, 900):
        deep: Any = 1
        for _ in range(depth):
            deep = {"a": deep}
        assert submit(params=deep).status_code in {400, 422}


def test_an_unknown_operation_is_422_with_the_nearest(submit: Submit) -> None:
    entry = fault(submit("toy.trian"), "operation")
    assert entry["value"] == "toy.trian"
    assert "toy.train" in entry["allowed"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", -1),
        ("priority", 10),
        ("priority", -1),
        ("max_attempts", 0),
        ("max_attempts", 11),
        ("time_limit_seconds", 0),
        ("seed", "x"),
        ("colour", "red"),
    ],
)
def test_a_wrong_setting_is_422(submit: Submit, field: str, value: Any) -> None:
    answer = submit(**{field: value})
    assert answer.status_code == 422
    assert field in answer.json()["detail"]


def test_the_newest_version_that_a_worker_offers_is_used(submit: Submit, hands: Hands) -> None:
    newer = manifests.TRAIN.model_copy(update={"version": 2})
    assert make_hands("box-2").register(newer).status_code == 200
    assert submit().json()["operation_version"] == 2


def test_an_operation_that_no_worker_offers_any_more_is_unknown(submit: Submit, hands: Hands) -> None:
    assert hands.register(manifests.EVALUATE).status_code == 200
    assert fault(submit(), "operation")


def test_a_missing_input_is_422(submit: Submit) -> None:
    assert "required" in fault(submit(inputs={}), "inputs.data")["message"]


def test_several_versions_for_a_single_port_are_422(submit: Submit, base: Version) -> None:
    entry = fault(submit(inputs={"data": "vision/pictures@1", "init": ["vision/base@1", "vision/base"]}), "inputs.init")
    assert "one version" in entry["allowed"]


def test_a_weight_needs_a_weighted_port(submit: Submit, base: Version) -> None:
    inputs = {"data": "vision/pictures@1", "init": {"version": "vision/base@1", "weight": 2}}
    assert fault(submit(inputs=inputs), "inputs.init.0.weight")["value"] == 2


def test_weights_and_order_of_teachers_are_kept(submit: Submit, base: Version, teacher: Version, team: Team) -> None:
    other = make_model(team, "other")
    inputs = {
        "student": "vision/base@1",
        "teacher": [{"version": "vision/teacher@1", "weight": 0.7}, str(other)],
        "data": "vision/pictures@1",
    }
    body = submit("toy.distill", inputs=inputs).json()
    teachers = [item for item in body["inputs"] if item["port"] == "teacher"]
    assert [(item["reference"], item["weight"]) for item in teachers] == [
        ("vision/teacher@1", 0.7),
        ("vision/other@1", None),
    ]
    assert body["outputs"] == {"model": "vision/base"}, "the default is the base's repository"


def test_the_same_version_twice_in_a_port_is_422(submit: Submit, base: Version, teacher: Version) -> None:
    inputs = {"student": "vision/base@1", "teacher": ["vision/teacher@1"] * 2, "data": "vision/pictures@1"}
    assert "twice" in fault(submit("toy.distill", inputs=inputs), "inputs.teacher.1")["message"]


def test_the_first_format_of_the_port_that_the_version_has_is_selected(submit: Submit, team: Team) -> None:
    make_model(team, "both", "safetensors", "onnx")
    body = submit("toy.convert", inputs={"model": "vision/both@1"}).json()
    assert body["inputs"][0]["artifact"] == "weights/model.onnx"


def test_a_path_picks_the_artifact(submit: Submit, team: Team) -> None:
    make_model(team, "both", "safetensors", "onnx")
    body = submit("toy.convert", inputs={"model": "vision/both@1#weights/model.safetensors"}).json()
    assert body["inputs"][0]["artifact"] == "weights/model.safetensors"


def test_an_input_of_the_wrong_format_is_422_with_what_is_there_and_what_is_taken(submit: Submit, team: Team) -> None:
    make_model(team, "graph", "onnx")
    inputs = {"data": "vision/pictures@1", "init": "vision/graph@1"}
    entry = fault(submit(inputs=inputs), "inputs.init")
    assert "onnx" in entry["message"]
    assert "safetensors" in entry["allowed"]
    picked = fault(submit(inputs=inputs | {"init": "vision/graph@1#weights/model.onnx"}), "inputs.init")
    assert "safetensors" in picked["allowed"]
    absent = fault(submit(inputs=inputs | {"init": "vision/graph@1#nothing"}), "inputs.init")
    assert "nothing" in absent["message"]


def test_a_model_is_no_data_set(submit: Submit, base: Version) -> None:
    assert "dataset" in fault(submit(inputs={"data": "vision/base@1"}), "inputs.data")["message"]


def test_what_is_hidden_looks_like_what_does_not_exist(submit: Submit) -> None:
    secret = make_team("secret")
    make_dataset(secret, "hidden", Visibility.PRIVATE)
    hidden = fault(submit(inputs={"data": "secret/hidden@1"}), "inputs.data")
    absent = fault(submit(inputs={"data": "secret/absent@1"}), "inputs.data")
    assert hidden["message"].replace("hidden", "absent") == absent["message"]
    assert hidden["allowed"] == absent["allowed"]


def test_drafts_and_withdrawn_versions_are_refused(submit: Submit, team: Team) -> None:
    draft = make_model(team, "young", sealed=False)
    old = make_model(team, "old")
    withdraw_version(principal=owner_of(team), version=old)
    inputs = {"data": "vision/pictures@1"}
    assert "draft" in fault(submit(inputs=inputs | {"init": str(draft)}), "inputs.init")["message"]
    assert "withdrawn" in fault(submit(inputs=inputs | {"init": str(old)}), "inputs.init")["message"]


def test_a_file_in_which_the_scan_found_something_dangerous_is_not_handed_out(submit: Submit, team: Team) -> None:
    make_model(team, "trap", findings=[{"severity": "dangerous", "reason": "os.system"}])
    make_model(team, "fine", findings=[{"severity": "clean", "reason": "nothing found"}])
    inputs = {"data": "vision/pictures@1"}
    assert "dangerous" in fault(submit(inputs=inputs | {"init": "vision/trap@1"}), "inputs.init")["message"]
    assert submit(inputs=inputs | {"init": "vision/fine@1"}).status_code == 202


def test_a_result_needs_a_model_to_go_to(submit: Submit) -> None:
    assert "required" in fault(submit(outputs={}), "outputs.model")["message"]
    assert fault(submit(outputs={"weights": "vision/made"}), "outputs.weights")
    assert "version" in fault(submit(outputs={"model": "vision/made@2"}), "outputs.model")["message"]
    assert "name" in fault(submit(outputs={"model": "vision/Made!"}), "outputs.model")["message"]


def test_a_result_goes_to_the_jobs_own_team(submit: Submit) -> None:
    make_team("others")
    assert fault(submit(outputs={"model": "others/made"}), "outputs")
    assert fault(submit(team="vision", outputs={"model": "others/made"}), "outputs.model")


def test_an_operation_without_outputs_takes_the_team_of_its_input(submit: Submit, base: Version) -> None:
    body = submit("toy.evaluate", inputs={"model": "vision/base@1", "data": "vision/pictures@1"}).json()
    assert (body["team"], body["outputs"]) == ("vision", {})


def test_nobody_has_the_models_of_other_teams_measured(submit: Submit) -> None:
    make_model(make_team("others"), "theirs", visibility=Visibility.PUBLIC)
    inputs = {"model": "others/theirs@1", "data": "vision/pictures@1"}
    assert "may not write" in fault(submit("toy.evaluate", inputs=inputs), "inputs.model")["message"]


def test_an_operation_without_inputs_takes_the_callers_only_team(submit: Submit) -> None:
    assert submit("toy.nothing").json()["team"] == "vision"


def test_a_caller_with_several_teams_must_name_one(submit: Submit, member: Any) -> None:
    make_member(make_team("audio"), TeamRole.ENGINEER, user=member)
    assert "audio" in fault(submit("toy.nothing"), "team")["allowed"]
    assert submit("toy.nothing", team="audio").json()["team"] == "audio"


def test_only_those_who_may_submit_do(hands: Hands, data: Version, team: Team, stranger_api: APIClient) -> None:
    body = {"operation": "toy.train", "inputs": {"data": str(data)}, "outputs": {"model": "vision/made"}}
    reader = client_for(make_member(team, TeamRole.CONTRIBUTOR))
    assert reader.post(JOBS, body | {"team": "vision"}, format="json").status_code == 403
    assert stranger_api.post(JOBS, body | {"team": "vision"}, format="json").status_code == 404
    assert APIClient().post(JOBS, body, format="json").status_code in {401, 403}
    assert hands.client.post(JOBS, body, format="json").status_code == 403
    assert not Job.objects.exists()


def test_the_same_key_and_body_lead_to_the_same_job(submit: Submit) -> None:
    first, second = submit(key="abc"), submit(key="abc")
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json()["id"] == second.json()["id"]
    assert Job.objects.count() == 1


def test_a_key_with_another_body_is_a_conflict(submit: Submit) -> None:
    submit(key="abc")
    answer = submit(key="abc", seed=2)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency-mismatch")


def test_a_key_that_is_too_long_or_unprintable_is_422(submit: Submit) -> None:
    assert submit(key="k" * 201).status_code == 422
    assert submit(key="\u00e9").status_code == 422
