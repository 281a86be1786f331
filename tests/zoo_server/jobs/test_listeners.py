"""Other apps learn that a job has ended, and their faults change nothing about it."""

from uuid import UUID

import pytest
from rest_framework.test import APIClient

from tests.zoo_server.jobs.conftest import Submit
from tests.zoo_server.jobs.scenes import JOBS, Hands, failure, job_now, model_report, safetensors
from zoo_server.catalog.models import Version
from zoo_server.jobs.requests import JobSubmission
from zoo_server.jobs.services import listeners
from zoo_server.jobs.services.submission import submit_job
from zoo_server.rest.principals import Principal

WEIGHTS = safetensors(3.0)
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The ids of the jobs that a listener was told of."""
    monkeypatch.setattr(listeners, "_LISTENERS", [])
    told: list[UUID] = []
    listeners.on_job_end(told.append)
    return told


def test_a_listener_is_told_of_every_end_once(ended: list[UUID], submit: Submit, api: APIClient, hands: Hands) -> None:
    cancelled, failed = submit().json()["id"], submit(seed=1).json()["id"]
    api.post(f"{JOBS}/{cancelled}/cancel")
    hands.claim(failed)
    assert [str(job) for job in ended] == [cancelled]
    hands.post(failed, 1, "fail", failure())
    hands.post(failed, 1, "fail", failure())
    assert [str(job) for job in ended] == [cancelled, failed]


def test_a_job_that_takes_a_result_from_the_cache_ends_at_once(
    ended: list[UUID], submit: Submit, hands: Hands, data: Version
) -> None:
    digest = f"sha256:{'1' * 64}"
    hands.register(environment_digests={"toy.evaluate": digest, "toy.train": digest})
    first = submit().json()["id"]
    hands.claim(first)
    report = model_report(hands.upload(first, 1, WEIGHTS), sizes=len(WEIGHTS), environment_digest=digest)
    assert hands.post(first, 1, "finish", report).status_code == 200
    second = submit().json()["id"]
    assert [str(job) for job in ended] == [first, second]


def test_an_attempt_that_is_tried_again_is_no_end(ended: list[UUID], running: str, hands: Hands) -> None:
    hands.post(running, 1, "fail", failure("infrastructure"))
    assert job_now(running).state == "queued"
    assert ended == []


def test_a_listener_that_fails_is_logged_and_the_others_are_told(
    ended: list[UUID], running: str, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(job_id: UUID) -> None:
        raise RuntimeError("no")

    listeners._LISTENERS.insert(0, broken)
    assert hands.post(running, 1, "fail", failure()).status_code == 200
    assert job_now(running).state == "failed"
    assert [str(job) for job in ended] == [running]
    assert "A listener failed" in caplog.text


def test_registering_a_listener_twice_counts_once(ended: list[UUID]) -> None:
    before = len(listeners._LISTENERS)
    listeners.on_job_end(listeners._LISTENERS[0])
    assert len(listeners._LISTENERS) == before


def test_tags_of_another_app_reach_the_assignment(principal: Principal, data: Version, hands: Hands) -> None:
    submission = JobSubmission(operation="toy.train", inputs={"data": str(data)}, outputs={"model": "vision/made"})
    job, _ = submit_job(principal=principal, submission=submission, tags={"zoo.step": "student"})
    tags = hands.claim(job.pk).json()["tags"]
    assert tags["zoo.step"] == "student"
    assert tags["zoo.job"] == str(job.pk)
