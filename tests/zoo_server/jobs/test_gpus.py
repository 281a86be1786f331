"""GPUs of jobs: who may ask for how many, which worker gets the job, and what the result cache makes of them."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client
from rest_framework.test import APIClient

from tests.zoo_server.factories import make_user
from tests.zoo_server.jobs import manifests
from tests.zoo_server.jobs.conftest import Submit
from tests.zoo_server.jobs.scenes import JOBS, Hands, job_now, make_hands, model_report, safetensors
from tests.zoo_server.jobs.test_submission import fault
from zoo_sdk.messages import Assignment
from zoo_sdk.operations import Resources
from zoo_server.audit.models import AuditEvent
from zoo_server.jobs.models import Job, JobAttempt, JobDispatch, Worker

pytestmark = pytest.mark.django_db
CARD = "NVIDIA H100"
QUEUES = ["toy.cpu", "toy.gpu"]
ON_CPU, ON_H100, ON_A100 = (f"sha256:{digit * 64}" for digit in "123")
WEIGHTS = safetensors(2.0)
TRAIN = manifests.TRAIN.model_copy(update={"version": 2, "resources": Resources(max_gpus=8, time_limit_seconds=600)})
NEEDS_TWO = manifests.manifest("toy.large", resources=Resources(gpus=2, max_gpus=4))
JUST_ONE = manifests.manifest("toy.single", resources=Resources(gpus=1))


def register(hands: Hands, *cards: str, **changes: Any) -> None:
    names = [TRAIN.name, NEEDS_TWO.name, JUST_ONE.name]
    known = {
        "queues": QUEUES,
        "gpus": list(cards),
        "environment_digests": dict.fromkeys(names, ON_CPU),
        "gpu_environment_digests": dict.fromkeys(names, ON_H100) if cards else {},
    }
    answer = hands.register(TRAIN, NEEDS_TWO, JUST_ONE, manifests.EVALUATE, **known | changes)
    assert answer.status_code == 200, answer.content


@pytest.fixture
def box(hands: Hands) -> Hands:
    """The tests' worker, with four GPUs."""
    register(hands, *[CARD] * 4)
    return hands


def finish(hands: Hands, job: str, gpus: int, digest: str) -> None:
    assert hands.claim(job, gpus=gpus).status_code == 200
    report = model_report(hands.upload(job, 1, WEIGHTS), sizes=len(WEIGHTS), environment_digest=digest)
    assert hands.post(job, 1, "finish", report).json()["state"] == "succeeded"


def test_a_job_without_a_wish_gets_no_gpus_and_the_queue_without(submit: Submit, box: Hands) -> None:
    body = submit().json()
    assert (body["gpus"], body["queue"]) == (0, "toy.cpu")
    assert submit(gpus=0).json()["gpus"] == 0


def test_a_job_with_gpus_goes_to_their_queue_and_says_how_many(submit: Submit, box: Hands, api: APIClient) -> None:
    answer = submit(gpus=3)
    assert answer.status_code == 202, answer.content
    body = answer.json()
    assert (body["gpus"], body["queue"], body["state"]) == (3, "toy.gpu", "queued")
    assert api.get(f"{JOBS}/{body['id']}").json()["gpus"] == 3
    assert AuditEvent.objects.get(action="job.submitted").details["gpus"] == 3


def test_an_operation_that_needs_gpus_gets_them_without_a_wish(submit: Submit, box: Hands) -> None:
    body = submit("toy.large", team="vision").json()
    assert (body["gpus"], body["queue"]) == (2, "toy.gpu")


@pytest.mark.parametrize(
    ("operation", "gpus", "message", "allowed"),
    [
        ("toy.evaluate", 1, "toy.evaluate cannot use GPUs", "0"),
        ("toy.train", 9, "toy.train can use 8 at most", "0 to 8"),
        ("toy.large", 1, "toy.large needs at least 2", "2 to 4"),
        ("toy.large", 0, "toy.large needs at least 2", "2 to 4"),
        ("toy.single", 0, "toy.single needs 1", "1"),
    ],
)
def test_gpus_that_the_operation_cannot_use_are_422_with_what_is_allowed(
    submit: Submit, box: Hands, operation: str, gpus: int, message: str, allowed: str
) -> None:
    entry = fault(submit(operation, team="vision", gpus=gpus), "gpus")
    assert entry == {"field": "gpus", "message": message, "value": gpus, "allowed": allowed}
    assert not Job.objects.exists()


@pytest.mark.parametrize("gpus", [-1, 17, "many", 1.5])
def test_a_number_that_is_none_is_422(submit: Submit, box: Hands, gpus: Any) -> None:
    assert submit(gpus=gpus).status_code == 422


def waits(submit: Submit, operation: str = "toy.train", **options: Any) -> str | None:
    """What a submitted job says that it waits for."""
    answer = submit(operation, **options)
    assert answer.status_code == 202, answer.content
    words: str | None = answer.json()["waiting_for"]
    return words


def test_a_job_that_no_worker_has_the_gpus_for_is_taken_and_says_so_until_one_comes(
    submit: Submit, hands: Hands, api: APIClient
) -> None:
    register(hands)
    job = submit(gpus=2).json()
    assert job["state"] == "queued"
    words = "a worker that offers toy.train v2 with 2 GPUs: none that is alive has any"
    assert job["waiting_for"] == words
    assert api.get(f"{JOBS}/{job['id']}").json()["waiting_for"] == words
    assert [row["waiting_for"] for row in api.get(JOBS).json()["results"]] == [words]
    page = Client()
    page.force_login(make_user("root", is_superuser=True))
    assert words in page.get(f"/admin/jobs/job/{job['id']}/change/").content.decode()
    register(hands, CARD)
    assert api.get(f"{JOBS}/{job['id']}").json()["waiting_for"].endswith("with 2 GPUs: the largest that is alive has 1")
    register(hands, CARD, CARD)
    assert api.get(f"{JOBS}/{job['id']}").json()["waiting_for"] is None


def test_gpus_that_the_operation_itself_needs_are_waited_for_too(submit: Submit, hands: Hands) -> None:
    register(hands, CARD)
    assert "with 2 GPUs" in (waits(submit, "toy.large", team="vision") or "")
    assert waits(submit, "toy.single", team="vision") is None


def test_gpus_of_a_worker_that_does_not_serve_their_queue_or_the_operation_do_not_count(
    submit: Submit, hands: Hands
) -> None:
    register(hands, CARD, queues=["toy.cpu"])
    make_hands("box-2").register(manifests.EVALUATE, queues=QUEUES, gpus=[CARD] * 8)
    assert (waits(submit, gpus=1) or "").endswith("with a GPU: none that is alive has any")


def test_gpus_of_several_workers_are_not_added_up(submit: Submit, box: Hands) -> None:
    other = make_hands("box-2")
    register(other, *[CARD] * 4)
    assert "the largest that is alive has 4" in (waits(submit, gpus=5) or "")
    register(other, *[CARD] * 5)
    assert waits(submit, gpus=5) is None


def test_a_worker_that_is_silent_for_long_is_waited_for_and_one_for_gpus_only_takes_no_other_jobs(
    submit: Submit, box: Hands, api: APIClient
) -> None:
    job = submit().json()
    assert job["waiting_for"] is None
    Worker.objects.update(last_seen_at=Now() - timedelta(hours=1))
    told = api.get(f"{JOBS}/{job['id']}").json()["waiting_for"]
    assert told == "a worker that offers toy.train v2: none is alive"
    register(box, CARD, queues=["toy.gpu"])
    assert "without GPUs: none that is alive serves the queue" in api.get(f"{JOBS}/{job['id']}").json()["waiting_for"]


def test_a_job_that_is_not_queued_waits_for_nothing(submit: Submit, box: Hands, api: APIClient) -> None:
    job = submit(gpus=4).json()["id"]
    box.claim(job, gpus=4)
    register(box)
    assert api.get(f"{JOBS}/{job}").json()["waiting_for"] is None


def test_a_claim_without_enough_gpus_set_aside_says_how_many_and_changes_nothing(submit: Submit, box: Hands) -> None:
    job = submit(gpus=2).json()["id"]
    for gpus in (0, 1):
        answer = box.claim(job, gpus=gpus)
        assert (answer.status_code, answer.json()["code"]) == (409, "gpus-needed")
        assert answer.json()["facts"]["gpus"] == 2
    assert (job_now(job).state, job_now(job).attempt) == ("queued", 0)
    assert JobDispatch.objects.filter(job_id=job).exists()
    assert not JobAttempt.objects.exists()
    assignment = Assignment.model_validate(box.claim(job, gpus=2).json())
    assert assignment.gpus == 2
    assert assignment.tags["zoo.gpus"] == "2"
    assert box.claim(job, gpus=0).json()["code"] == "not-claimable", "nobody waits for GPUs for a job that is running"


def test_a_job_without_gpus_is_claimed_as_before(submit: Submit, box: Hands) -> None:
    assert Assignment.model_validate(box.claim(submit().json()["id"]).json()).gpus == 0


def test_the_names_of_a_workers_gpus_are_shown(box: Hands, api: APIClient) -> None:
    (worker,) = api.get("/api/v1/workers").json()["results"]
    assert worker["gpus"] == [CARD] * 4
    register(box)
    assert Worker.objects.get().gpus == []
    answer = box.register(gpus=["x"] * 17)
    assert answer.status_code == 422


def test_results_are_shared_among_jobs_with_the_same_number_of_gpus_of_the_same_kind_only(
    submit: Submit, box: Hands
) -> None:
    first = submit(gpus=2).json()["id"]
    finish(box, first, 2, ON_H100)
    assert submit(gpus=2).json()["cached_from"] == first
    assert submit(gpus=1).json()["cached_from"] is None
    assert submit(gpus=0).json()["cached_from"] is None
    register(box, *["NVIDIA A100"] * 4, gpu_environment_digests={"toy.train": ON_A100})
    assert submit(gpus=2).json()["cached_from"] is None


def test_a_result_without_gpus_is_not_taken_for_a_job_with_gpus(submit: Submit, box: Hands) -> None:
    first = submit().json()["id"]
    finish(box, first, 0, ON_CPU)
    assert submit().json()["cached_from"] == first
    assert submit(gpus=1).json()["cached_from"] is None


def test_a_worker_whose_gpus_are_of_several_kinds_promises_nothing(submit: Submit, box: Hands) -> None:
    finish(box, submit(gpus=1).json()["id"], 1, ON_H100)
    register(box, CARD, "NVIDIA A100", gpu_environment_digests={})
    assert submit(gpus=1).json()["cached_from"] is None


def test_a_result_needs_a_worker_that_would_run_the_job_now(submit: Submit, box: Hands) -> None:
    """A worker with too few GPUs is none, nor one that does not serve the queue."""
    first = submit(gpus=2).json()["id"]
    finish(box, first, 2, ON_H100)
    register(box, CARD)
    register(make_hands("box-2"), *[CARD] * 4, gpu_environment_digests={"toy.train": ON_A100})
    assert submit(gpus=2).json()["cached_from"] is None
