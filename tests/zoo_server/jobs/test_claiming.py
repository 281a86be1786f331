"""Claiming: exactly one worker gets a job, and gets everything that it needs."""

import pytest
from django.db.models import F
from django.db.models.functions import Now

from tests.zoo_server.jobs import manifests
from tests.zoo_server.jobs.conftest import Submit
from tests.zoo_server.jobs.scenes import Hands, job_now, make_hands
from tests.zoo_server.jobs.threads import at_once
from zoo_sdk.messages import Assignment
from zoo_server.catalog.models import Version
from zoo_server.jobs.models import Job, JobAttempt, JobDispatch
from zoo_server.jobs.services.clock import in_seconds


@pytest.mark.django_db
def test_a_claim_answers_with_everything_that_the_attempt_needs(
    submit: Submit, hands: Hands, base: Version, teacher: Version
) -> None:
    inputs = {"student": "vision/base@1", "teacher": {"version": "vision/teacher@1", "weight": 2}}
    job = submit("toy.distill", inputs=inputs | {"data": "vision/pictures@1"}, seed=11).json()["id"]
    assignment = Assignment.model_validate(hands.claim(job).json())
    assert (str(assignment.job_id), assignment.attempt, assignment.seed) == (job, 1, 11)
    assert (assignment.operation, assignment.operation_version, assignment.team) == ("toy.distill", 1, "vision")
    assert assignment.params["temperature"] == 4.0
    assert (assignment.lease_seconds, assignment.time_limit_seconds) == (60, 600)
    (student,) = assignment.inputs["student"]
    assert student.artifact is not None
    assert student.artifact.files == ("weights/model.safetensors",)
    assert [file.path for file in student.files] == ["weights/model.safetensors"]
    assert student.version_id == base.pk
    assert assignment.inputs["teacher"][0].weight == 2
    (data,) = assignment.inputs["data"]
    assert data.dataset is not None
    assert sorted(file.path for file in data.files) == ["images", "labels"]
    assert assignment.tags["zoo.job"] == job
    assert assignment.tags["zoo.operation"] == "toy.distill"
    assert assignment.mlflow_run_id is None


@pytest.mark.django_db
def test_a_claimed_job_is_running_with_owner_lease_and_attempt(queued: str, hands: Hands) -> None:
    hands.claim(queued)
    job = job_now(queued)
    assert (job.state, job.attempt) == ("running", 1)
    assert job.owner is not None
    assert job.owner.name == "box-1"
    assert Job.objects.filter(pk=queued, lease_until__gt=in_seconds(50), lease_until__lt=in_seconds(61)).exists()
    attempt = JobAttempt.objects.get(job=job)
    assert (attempt.number, attempt.state, attempt.worker_name) == (1, "running", "box-1")
    assert not JobDispatch.objects.exists()


@pytest.mark.django_db
def test_a_second_message_is_refused(queued: str, hands: Hands) -> None:
    hands.claim(queued)
    answer = hands.claim(queued)
    assert (answer.status_code, answer.json()["code"]) == (409, "not-claimable")
    assert answer.json()["facts"]["state"] == "running"
    assert job_now(queued).attempt == 1


@pytest.mark.django_db
def test_a_job_that_is_not_due_cannot_be_claimed(queued: str, hands: Hands) -> None:
    Job.objects.filter(pk=queued).update(available_at=in_seconds(5))
    answer = hands.claim(queued)
    assert answer.status_code == 409
    assert "not due" in answer.json()["detail"]
    Job.objects.filter(pk=queued).update(available_at=Now())
    assert hands.claim(queued).status_code == 200


@pytest.mark.django_db
def test_a_worker_claims_only_what_it_registered(queued: str, hands: Hands) -> None:
    other = make_hands("box-2")
    assert other.claim(queued).json()["code"] == "unknown-worker"
    other.register(manifests.EVALUATE)
    assert other.claim(queued).json()["code"] == "operation-not-offered"
    assert other.claim(queued, worker=hands.name).json()["code"] == "unknown-worker"
    assert job_now(queued).state == "queued"


@pytest.mark.django_db
def test_an_unknown_job_is_404(hands: Hands) -> None:
    assert hands.claim("01890000-0000-7000-8000-000000000000").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_of_eight_workers_that_claim_at_once_exactly_one_wins(queued: str) -> None:
    workers = [make_hands(f"box-{number}") for number in range(10, 18)]
    for worker in workers:
        assert worker.register().status_code == 200
    codes = at_once(8, lambda number: workers[number].claim(queued).status_code)
    assert sorted(codes) == [200] + [409] * 7
    job = job_now(queued)
    assert job.owner is not None
    assert job.owner.name == workers[codes.index(200)].name
    assert (job.attempt, JobAttempt.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_eight_claims_at_once_leave_one_attempt_also_after_a_requeue(running: str, hands: Hands) -> None:
    Job.objects.filter(pk=running).update(state="queued", owner=None, attempt=F("attempt"))
    codes = at_once(8, lambda _: hands.claim(running).status_code)
    assert sorted(codes) == [200] + [409] * 7
    assert job_now(running).attempt == 2
