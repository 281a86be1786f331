"""What a running attempt does: heartbeats, events, inputs, uploads; and the fence around it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_user
from tests.zoo_server.jobs.conftest import Submit
from tests.zoo_server.jobs.scenes import (
    JOBS,
    WORKER,
    Hands,
    digest_of,
    failure,
    job_now,
    make_hands,
    make_model,
    model_report,
    safetensors,
)
from zoo_sdk.vocabulary import Scope
from zoo_server.artifacts.models import Holding, Upload
from zoo_server.artifacts.store import LocalStore
from zoo_server.catalog.models import Version, VersionFile
from zoo_server.jobs.models import Job, JobEvent, Worker
from zoo_server.jobs.services import events as event_services
from zoo_server.jobs.services.clock import in_seconds

pytestmark = pytest.mark.django_db


def event(number: int, **body: Any) -> dict[str, Any]:
    body = body or {"kind": "log", "message": f"line {number}"}
    return {"number": number, "time": datetime.now(UTC).isoformat(), "body": body}


def test_a_heartbeat_renews_the_lease_and_shows_that_the_worker_is_alive(running: str, hands: Hands) -> None:
    Job.objects.filter(pk=running).update(lease_until=in_seconds(1))
    Worker.objects.update(last_seen_at=in_seconds(-500))
    answer = hands.post(running, 1, "heartbeat")
    assert answer.json() == {"command": "run", "lease_seconds": 60}
    assert Job.objects.filter(pk=running, lease_until__gt=in_seconds(50)).exists()
    assert Worker.objects.filter(last_seen_at__gt=in_seconds(-5)).exists()


def test_a_heartbeat_says_cancel_once_somebody_asked_for_it(running: str, hands: Hands, api: APIClient) -> None:
    api.post(f"{JOBS}/{running}/cancel")
    assert hands.post(running, 1, "heartbeat").json()["command"] == "cancel"


def test_a_heartbeat_says_cancel_long_after_the_time_limit(running: str, hands: Hands) -> None:
    Job.objects.filter(pk=running).update(started_at=in_seconds(-630))
    assert hands.post(running, 1, "heartbeat").json()["command"] == "run", "the worker has some grace to stop it itself"
    Job.objects.filter(pk=running).update(started_at=in_seconds(-700))
    assert hands.post(running, 1, "heartbeat").json()["command"] == "cancel"


def test_a_lease_that_ran_out_but_was_not_taken_away_can_be_renewed(running: str, hands: Hands) -> None:
    Job.objects.filter(pk=running).update(lease_until=in_seconds(-5))
    assert hands.post(running, 1, "heartbeat").status_code == 200


def test_events_are_kept_in_order_and_the_newest_progress_is_the_jobs(
    running: str, hands: Hands, api: APIClient
) -> None:
    batch = [
        event(1, kind="state", state="child started"),
        event(2, kind="metric", name="loss", value=0.5, step=10),
        event(3, kind="progress", done=1, total=4, message="epoch 1"),
        event(4, kind="log", message="hello", stream="stdout"),
    ]
    assert hands.post(running, 1, "events", {"events": batch}).status_code == 204
    found = api.get(f"{JOBS}/{running}/events").json()
    assert [item["kind"] for item in found["results"]] == ["state", "metric", "progress", "log"]
    assert found["results"][1]["body"] == {"name": "loss", "value": 0.5, "step": 10}
    assert found["next"] == found["results"][-1]["id"]
    assert api.get(f"{JOBS}/{running}").json()["progress"] == {"done": 1.0, "total": 4.0, "message": "epoch 1"}
    after = api.get(f"{JOBS}/{running}/events", {"after": found["results"][1]["id"], "kind": "log"}).json()
    assert [item["body"]["message"] for item in after["results"]] == ["hello"]
    nothing = api.get(f"{JOBS}/{running}/events", {"after": found["next"]}).json()
    assert nothing == {"results": [], "next": found["next"]}


def test_events_sent_twice_are_kept_once(running: str, hands: Hands) -> None:
    batch = {"events": [event(1), event(2)]}
    assert hands.post(running, 1, "events", batch).status_code == 204
    assert hands.post(running, 1, "events", {"events": [event(2), event(3)]}).status_code == 204
    assert hands.post(running, 1, "events", batch).status_code == 204
    assert list(JobEvent.objects.order_by("number").values_list("number", flat=True)) == [1, 2, 3]


def test_text_that_the_database_cannot_hold_does_not_lose_the_batch(running: str, hands: Hands) -> None:
    batch = [event(1, kind="log", message="a\x00b"), event(2, kind="metric", name="loss", value="NaN")]
    assert hands.post(running, 1, "events", {"events": batch}).status_code == 204
    first, second = JobEvent.objects.order_by("number")
    assert first.body["message"] == "a\ufffdb"
    assert second.body["value"] is None


def test_more_events_than_are_kept_are_refused_clearly(
    running: str, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_services, "MAX_EVENTS_PER_ATTEMPT", 3)
    assert hands.post(running, 1, "events", {"events": [event(3)]}).status_code == 204
    answer = hands.post(running, 1, "events", {"events": [event(4)]})
    assert (answer.status_code, answer.json()["code"]) == (422, "too-many-events")
    assert answer.json()["facts"] == {"limit": 3, "number": 4}


@pytest.mark.parametrize(
    "wrong", [{"kind": "poem", "text": "x"}, {"kind": "log", "message": "m" * 8001}, {"kind": "log", "msg": "x"}]
)
def test_an_event_of_the_wrong_shape_is_422(running: str, hands: Hands, wrong: dict[str, Any]) -> None:
    assert hands.post(running, 1, "events", {"events": [event(1, **wrong)]}).status_code == 422


def test_the_worker_fetches_the_bytes_of_its_inputs_and_no_others(
    running: str, hands: Hands, base: Version, store: Any
) -> None:
    file = VersionFile.objects.get(path="images")
    path = LocalStore(store).blob_path(file.blob_id)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"vision pictures images")
    route = f"{WORKER}/jobs/{running}/attempts/1/blobs"
    answer: Any = hands.client.get(f"{route}/{file.blob_id}")
    assert b"".join(answer.streaming_content) == b"vision pictures images"
    assert answer["ETag"] == f'"{file.blob_id}"'
    other = VersionFile.objects.get(version=base)
    assert hands.client.get(f"{route}/{other.blob_id}").status_code == 404
    assert hands.client.get(f"{route}/sha256:0").status_code == 404


def test_of_a_model_only_the_selected_artifact_is_handed_out(submit: Submit, hands: Hands, team: Any) -> None:
    model = make_model(team, "both", "safetensors", "onnx")
    job = submit("toy.convert", inputs={"model": str(model)}).json()["id"]
    hands.claim(job)
    other = VersionFile.objects.get(version=model, path="weights/model.safetensors")
    assert hands.client.get(f"{WORKER}/jobs/{job}/attempts/1/blobs/{other.blob_id}").status_code == 404


def test_an_upload_belongs_to_the_jobs_team_and_to_the_attempt(running: str, hands: Hands, team: Any) -> None:
    digest = hands.upload(running, 1, safetensors())
    upload = Upload.objects.get(blob_id=digest)
    assert (str(upload.job_id), upload.attempt, upload.team) == (running, 1, team)
    again = hands.post(running, 1, "uploads", {"size": len(safetensors()), "sha256": digest})
    assert (again.status_code, again.json()["state"]) == (200, "complete")
    assert Holding.objects.filter(team=team, blob_id=digest).exists()


def test_a_released_job_is_queued_at_once_and_the_attempt_does_not_count(
    submit: Submit, hands: Hands, api: APIClient
) -> None:
    job = submit(max_attempts=1).json()["id"]
    hands.claim(job)
    released = hands.post(job, 1, "release").json()
    assert (released["state"], released["max_attempts"]) == ("queued", 2)
    assert hands.claim(job).json()["attempt"] == 2
    attempts = api.get(f"{JOBS}/{job}/attempts").json()["results"]
    assert [(item["number"], item["state"]) for item in attempts] == [(1, "cancelled"), (2, "running")]
    assert attempts[0]["error"]["code"] == "released"
    hands.post(job, 2, "fail", failure("infrastructure"))
    assert job_now(job).state == "failed", "the released attempt gave back one try, not more"


def test_the_mlflow_run_is_kept_also_after_the_end(running: str, hands: Hands, settings: Any, api: APIClient) -> None:
    settings.ZOO_MLFLOW_TRACKING_URI = "http://mlflow.example/"
    hands.post(running, 1, "fail", failure())
    told = hands.post(running, 1, "mlflow-run", {"mlflow_run_id": "abc123"}).json()
    assert (told["state"], told["attempt"], told["cause"]) == ("failed", 1, "plugin_error")
    body = api.get(f"{JOBS}/{running}").json()
    assert (body["mlflow_run_id"], body["mlflow_url"]) == ("abc123", "http://mlflow.example/#/runs/abc123")
    api.post(f"{JOBS}/{running}/retry")
    assert hands.claim(running).json()["mlflow_run_id"] == "abc123"
    hands.post(running, 2, "mlflow-run", {"mlflow_run_id": "second"})
    hands.post(running, 1, "mlflow-run", {"mlflow_run_id": "late"})
    assert job_now(running).mlflow_run_id == "second"


ACTIONS: list[tuple[str, Any]] = [
    ("heartbeat", None),
    ("events", {"events": []}),
    ("uploads", {"size": 1}),
    ("finish", model_report(digest_of(b"x"))),
    ("fail", failure()),
    ("release", None),
    ("mlflow-run", {"mlflow_run_id": "x"}),
]


@pytest.mark.parametrize(("action", "body"), ACTIONS)
def test_another_users_token_cannot_act_on_the_attempt(running: str, action: str, body: Any) -> None:
    thief = make_hands("box-2")
    thief.register()
    answer = thief.post(running, 1, action, body)
    assert (answer.status_code, answer.json()["code"]) == (409, "lease-lost")
    assert job_now(running).state == "running"


@pytest.mark.parametrize(("action", "body"), [item for item in ACTIONS if item[0] != "mlflow-run"])
def test_an_earlier_attempt_can_do_nothing_once_the_job_was_queued_again(
    running: str, hands: Hands, action: str, body: Any
) -> None:
    hands.post(running, 1, "release")
    hands.claim(running)
    answer = hands.post(running, 1, action, body)
    assert (answer.status_code, answer.json()["code"]) == (409, "lease-lost")
    assert (job_now(running).state, job_now(running).attempt) == ("running", 2)


@pytest.mark.parametrize(("action", "body"), ACTIONS)
def test_a_token_without_the_scope_worker_is_403(running: str, hands: Hands, action: str, body: Any) -> None:
    everything_else = client_for(hands.user, [scope for scope in Scope if scope is not Scope.WORKER])
    route = f"{WORKER}/jobs/{running}/attempts/1/{action}"
    assert everything_else.post(route, body, format="json").status_code == 403
    assert client_for(make_user(is_superuser=True)).post(route, body, format="json").status_code == 403


def test_inputs_are_fenced_too(running: str, hands: Hands) -> None:
    digest = VersionFile.objects.get(path="images").blob_id
    route = f"{WORKER}/jobs/{running}/attempts"
    assert hands.client.get(f"{route}/2/blobs/{digest}").status_code == 409
    assert make_hands("box-2").client.get(f"{route}/1/blobs/{digest}").status_code == 409
