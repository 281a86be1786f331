"""Finishing a job: one version with lineage, strategy and metrics, all or nothing, once."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.zoo_server.jobs.conftest import Submit
from tests.zoo_server.jobs.manifests import ALL, DATA, manifest
from tests.zoo_server.jobs.manifests import WEIGHTS as WEIGHTS_PORT
from tests.zoo_server.jobs.scenes import (
    JOBS,
    Hands,
    digest_of,
    job_now,
    make_blob,
    make_model,
    model_report,
    owner_of,
    safetensors,
)
from tests.zoo_server.jobs.threads import at_once
from zoo_sdk.vocabulary import MetricSource, StrategyKind, Visibility
from zoo_server.accounts.models import Team
from zoo_server.audit.models import AuditEvent
from zoo_server.audit.selectors import verify_chain
from zoo_server.catalog.models import LineageEdge, Metric, Repository, Version
from zoo_server.catalog.services import withdraw_version
from zoo_server.jobs.models import Job, JobAttempt
from zoo_server.jobs.services import results

WEIGHTS = safetensors(3.0)


def finish(hands: Hands, job: str, attempt: int = 1, **changes: Any) -> Any:
    """Upload the weights and report them."""
    digest = hands.upload(job, attempt, WEIGHTS)
    return hands.post(job, attempt, "finish", model_report(digest, sizes=len(WEIGHTS), **changes))


def counts() -> dict[str, int]:
    models = (Repository, Version, LineageEdge, Metric)
    return {model.__name__: model.objects.count() for model in models}


@pytest.mark.django_db
def test_a_finished_job_makes_a_sealed_version_with_files_and_artifacts(
    running: str, hands: Hands, api: APIClient, member: Any
) -> None:
    answer = finish(hands, running)
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert (body["state"], body["result"], body["owner"]) == ("succeeded", "vision/made@1", None)
    assert body["finished_at"] is not None
    version = api.get("/api/v1/models/vision/made/versions/1").json()
    assert (version["state"], version["job"], version["created_by"]) == ("candidate", running, member.username)
    assert [(file["path"], file["sha256"]) for file in version["files"]] == [("model.safetensors", digest_of(WEIGHTS))]
    assert [(item["format"], item["files"]) for item in version["artifacts"]] == [
        ("safetensors", ["model.safetensors"])
    ]
    assert version["parents"] == [
        {"role": "trained_on", "weight": None, "reference": "vision/pictures@1", "external_uri": None}
    ]
    assert version["aliases"] == []
    attempt = JobAttempt.objects.get()
    assert (attempt.state, attempt.environment) == ("succeeded", {"python": "3.11"})
    assert AuditEvent.objects.filter(action="job.succeeded", actor=hands.user.username).count() == 1


@pytest.mark.django_db
def test_lineage_strategy_and_metrics_come_from_the_job_that_ran(
    submit: Submit, hands: Hands, base: Version, teacher: Version, api: APIClient, team: Team
) -> None:
    make_model(team, "other")
    inputs = {
        "student": "vision/base@1",
        "teacher": [{"version": "vision/teacher@1", "weight": 0.75}, {"version": "vision/other@1", "weight": 0.25}],
        "data": "vision/pictures@1",
    }
    job = submit("toy.distill", inputs=inputs, params={"temperature": 2}).json()["id"]
    hands.claim(job)
    assert finish(hands, job).json()["result"] == "vision/base@2"
    version = api.get("/api/v1/models/vision/base/versions/2").json()
    assert {(item["role"], item["reference"], item["weight"]) for item in version["parents"]} == {
        ("base", "vision/base@1", None),
        ("teacher", "vision/teacher@1", 0.75),
        ("teacher", "vision/other@1", 0.25),
        ("trained_on", "vision/pictures@1", None),
    }
    first, second = version["strategy"]
    assert (first["kind"], first["method"], first["job"]) == ("pretraining", "supervised", None)
    assert (second["kind"], second["method"], second["operation"]) == ("distillation", "kd", "toy.distill")
    assert (second["job"], second["parameters"]["temperature"], second["parameters"]["epochs"]) == (job, 2, 3)
    (metric,) = version["metrics"]
    assert (metric["name"], metric["value"], metric["source"]) == ("top1", 91.5, "measured")
    assert (metric["dataset"], metric["split"], metric["runtime"]) == ("vision/pictures@1", "test", "torch")
    assert (metric["artifact"], metric["job"]) == ("model.safetensors", job)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("strategy", "stage", "kind"),
    [
        (StrategyKind.TRAINING, "finetuning", "finetuning"),
        (StrategyKind.TRAINING, "training", "training"),
        (StrategyKind.TRAINING, "second", "training"),
        (StrategyKind.PRUNING, "finetuning", "pruning"),
    ],
)
def test_a_training_s_stage_is_the_kind_of_its_step(
    api: APIClient, hands: Hands, data: Version, strategy: StrategyKind, stage: str, kind: str
) -> None:
    schema = {"type": "object", "properties": {"stage": {"type": "string"}}}
    study = manifest("toy.study", params_schema=schema, inputs=(DATA,), outputs=(WEIGHTS_PORT,), strategy=strategy)
    assert hands.register(*ALL, study).status_code == 200
    body = {
        "operation": "toy.study",
        "params": {"stage": stage},
        "inputs": {"data": str(data)},
        "outputs": {"model": "vision/studied"},
    }
    job = api.post(JOBS, body, format="json").json()["id"]
    hands.claim(job)
    assert finish(hands, job).json()["result"] == "vision/studied@1"
    (step,) = api.get("/api/v1/models/vision/studied/versions/1").json()["strategy"]
    assert step["kind"] == kind


@pytest.mark.django_db
def test_an_evaluation_measures_its_input_and_makes_no_version(
    submit: Submit, hands: Hands, base: Version, api: APIClient
) -> None:
    job = submit("toy.evaluate", inputs={"model": "vision/base@1", "data": "vision/pictures@1"}).json()["id"]
    hands.claim(job)
    measurements = [{"name": "top1", "value": 90, "dataset_port": "data"}, {"name": "size_bytes", "value": 12}]
    reports = [{"kind": "classification", "content": {"samples": 3}, "dataset_port": "data", "split": "test"}]
    finished = {"measurements": measurements, "reports": reports, "environment": {}}
    body = hands.post(job, 1, "finish", finished).json()
    assert (body["state"], body["result"]) == ("succeeded", None)
    (kept,) = api.get("/api/v1/models/vision/base/versions/1/reports").json()["results"]
    assert (kept["kind"], kept["dataset"], kept["split"], kept["job"]) == (
        "classification", "vision/pictures@1", "test", job,
    )  # fmt: skip
    assert kept["artifact"] == base.artifacts.get().files.first().path
    found = {metric.name: metric for metric in Metric.objects.filter(version=base)}
    assert found["top1"].dataset is not None
    assert str(found["top1"].dataset) == "vision/pictures@1"
    assert found["top1"].artifact == base.artifacts.get()
    assert found["size_bytes"].source == MetricSource.MEASURED
    assert str(found["size_bytes"].job_id) == job
    assert not Version.objects.filter(job_id=job).exists()


@pytest.mark.django_db
def test_a_further_output_port_becomes_further_artifacts_below_its_name(
    submit: Submit, hands: Hands, base: Version, api: APIClient
) -> None:
    job = submit("toy.convert", inputs={"model": "vision/base@1"}).json()["id"]
    hands.claim(job)
    digest = hands.upload(job, 1, WEIGHTS)
    notes = hands.upload(job, 1, b"hello", "notes.txt")
    report = model_report(digest, sizes=len(WEIGHTS), measurements=[])
    report["outputs"]["notes"] = {
        "artifacts": [{"name": "notes", "format": "text", "files": ["notes.txt"]}],
        "files": [{"path": "notes.txt", "sha256": notes, "size": 5}],
    }
    assert hands.post(job, 1, "finish", report).json()["state"] == "succeeded"
    version = api.get("/api/v1/models/vision/base/versions/2").json()
    assert sorted(file["path"] for file in version["files"]) == ["model.safetensors", "notes/notes.txt"]
    assert [item["format"] for item in version["artifacts"]] == ["safetensors", "text"]


@pytest.mark.django_db
def test_a_new_model_is_no_more_visible_than_what_it_is_made_from(submit: Submit, hands: Hands, team: Team) -> None:
    make_model(team, "secret", visibility=Visibility.PRIVATE)
    inputs = {"data": "vision/pictures@1", "init": "vision/secret@1"}
    job = submit(inputs=inputs, outputs={"model": "vision/tuned"}).json()["id"]
    hands.claim(job)
    finish(hands, job)
    made = Repository.objects.get(name="tuned")
    assert (made.visibility, made.licence) == ("private", "MIT")


@pytest.mark.django_db
def test_the_same_report_again_gives_the_same_answer_and_makes_nothing(running: str, hands: Hands) -> None:
    first = finish(hands, running)
    before = counts()
    report = model_report(digest_of(WEIGHTS), sizes=len(WEIGHTS))
    second = hands.post(running, 1, "finish", report)
    assert second.status_code == 200
    assert second.json() == first.json()
    assert counts() == before


@pytest.mark.django_db
def test_another_report_after_the_end_is_a_conflict(running: str, hands: Hands) -> None:
    finish(hands, running)
    answer = hands.post(running, 1, "finish", model_report(digest_of(WEIGHTS), sizes=len(WEIGHTS), measurements=[]))
    assert (answer.status_code, answer.json()["code"]) == (409, "report-differs")
    answer = hands.post(running, 1, "fail", {"cause": "plugin_error", "code": "x", "message": "x"})
    assert answer.status_code == 409


@pytest.mark.django_db
def test_files_of_an_earlier_attempt_count(running: str, hands: Hands) -> None:
    digest = hands.upload(running, 1, WEIGHTS)
    hands.post(running, 1, "release")
    hands.claim(running)
    assert hands.post(running, 2, "finish", model_report(digest, sizes=len(WEIGHTS))).json()["state"] == "succeeded"


@pytest.mark.django_db
def test_bytes_that_this_job_did_not_bring_up_are_refused(running: str, hands: Hands) -> None:
    blob = make_blob("somebody else's", "safetensors")
    body = hands.post(running, 1, "finish", model_report(blob.sha256, sizes=blob.size)).json()
    assert (body["state"], body["cause"]) == ("failed", "plugin_error")
    assert "was not uploaded" in body["error"]["message"]


@pytest.mark.django_db
def test_bytes_that_another_job_brought_up_are_refused(running: str, submit: Submit, hands: Hands) -> None:
    other = submit(seed=9).json()["id"]
    hands.claim(other)
    digest = hands.upload(other, 1, WEIGHTS)
    body = hands.post(running, 1, "finish", model_report(digest, sizes=len(WEIGHTS))).json()
    assert "was not uploaded by this job" in body["error"]["message"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"outputs": {}}, "did not report its output 'model'"),
        ({"measurements": [{"name": "topp1", "value": 1}]}, "Did you mean top1"),
        ({"measurements": [{"name": "top1", "value": 1, "dataset_port": "model"}]}, "Unknown data set port"),
        ({"measurements": [{"name": "top1", "value": "NaN"}]}, "finite"),
        ({"reports": [{"kind": "classification", "content": {}, "dataset_port": "model"}]}, "Unknown data set port"),
    ],
)
def test_a_report_without_what_was_promised_fails_the_job_and_makes_nothing(
    running: str, hands: Hands, changes: dict[str, Any], said: str
) -> None:
    before = counts()
    answer = finish(hands, running, **changes)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["state"], body["cause"], body["result"]) == ("failed", "plugin_error", None)
    assert said in body["error"]["message"]
    assert counts() == before
    assert JobAttempt.objects.get().state == "failed"


@pytest.mark.django_db
def test_outputs_of_the_wrong_kind_fail_the_job(running: str, hands: Hands) -> None:
    text = hands.upload(running, 1, b"hello", "notes.txt")
    output = {
        "artifacts": [{"name": "notes", "format": "text", "files": ["notes.txt"]}],
        "files": [{"path": "notes.txt", "sha256": text, "size": 5}],
    }
    body = hands.post(running, 1, "finish", {"outputs": {"model": output}, "environment": {}}).json()
    assert "not safetensors" in body["error"]["message"]
    assert body["state"] == "failed"


@pytest.mark.django_db
def test_bytes_that_are_not_what_the_artifact_says_fail_the_job(running: str, hands: Hands) -> None:
    digest = hands.upload(running, 1, b"not weights at all")
    body = hands.post(running, 1, "finish", model_report(digest, sizes=18)).json()
    assert (body["state"], body["cause"]) == ("failed", "plugin_error")


@pytest.mark.django_db
def test_a_wrong_size_fails_the_job(running: str, hands: Hands) -> None:
    digest = hands.upload(running, 1, WEIGHTS)
    assert "bytes" in hands.post(running, 1, "finish", model_report(digest, sizes=1)).json()["error"]["message"]


@pytest.mark.django_db
def test_a_measured_version_that_was_withdrawn_meanwhile_fails_the_job_with_words(
    submit: Submit, hands: Hands, base: Version, team: Team
) -> None:
    job = submit("toy.evaluate", inputs={"model": "vision/base@1", "data": "vision/pictures@1"}).json()["id"]
    hands.claim(job)
    withdraw_version(principal=owner_of(team), version=base)
    report = {"measurements": [{"name": "top1", "value": 90}], "environment": {}}
    body = hands.post(job, 1, "finish", report).json()
    assert body["state"] == "failed"
    assert "withdrawn" in body["error"]["message"]


@pytest.mark.django_db
def test_a_body_that_is_no_report_is_422_and_the_job_goes_on(running: str, hands: Hands) -> None:
    assert hands.post(running, 1, "finish", {"outputs": {}}).status_code == 422
    assert job_now(running).state == "running"


@pytest.mark.django_db
def test_a_result_that_comes_after_a_cancellation_was_asked_for_is_kept(
    running: str, hands: Hands, api: APIClient
) -> None:
    api.post(f"{JOBS}/{running}/cancel")
    assert finish(hands, running).json()["state"] == "succeeded"


@pytest.mark.django_db(transaction=True)
def test_a_failure_in_the_last_step_leaves_nothing_behind(
    running: str, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hands.upload(running, 1, WEIGHTS)
    before, events = counts(), AuditEvent.objects.count()

    def breaks(**_: Any) -> None:
        raise RuntimeError("the last step")

    with monkeypatch.context() as patched:
        patched.setattr(results, "end_job", breaks)
        hands.client.raise_request_exception = False
        assert hands.post(running, 1, "finish", model_report(digest, sizes=len(WEIGHTS))).status_code == 500
    assert counts() == before
    assert AuditEvent.objects.count() == events
    job = job_now(running)
    assert (job.state, job.attempt) == ("running", 1)
    assert JobAttempt.objects.get().report_digest == ""
    answer = hands.post(running, 1, "finish", model_report(digest, sizes=len(WEIGHTS)))
    assert answer.json()["state"] == "succeeded", "the worker sends it again"
    assert verify_chain().ok


@pytest.mark.django_db(transaction=True)
def test_the_same_report_from_four_threads_makes_one_version(running: str, hands: Hands) -> None:
    digest = hands.upload(running, 1, WEIGHTS)
    report = model_report(digest, sizes=len(WEIGHTS))
    codes = at_once(4, lambda _: hands.post(running, 1, "finish", report).status_code)
    assert codes == [200] * 4
    assert Version.objects.filter(job_id=running).count() == 1
    assert verify_chain().ok


@pytest.mark.django_db(transaction=True)
def test_two_jobs_that_make_the_same_new_model_at_once_both_succeed(submit: Submit, hands: Hands) -> None:
    jobs = [submit(seed=seed).json()["id"] for seed in range(2)]
    reports = []
    for number, job in enumerate(jobs):
        hands.claim(job)
        data = safetensors(number)
        reports.append(model_report(hands.upload(job, 1, data), sizes=len(data)))
    at_once(2, lambda number: hands.post(jobs[number], 1, "finish", reports[number]))
    assert set(Job.objects.values_list("state", flat=True)) == {"succeeded"}
    assert sorted(Version.objects.filter(repository__name="made").values_list("number", flat=True)) == [1, 2]
