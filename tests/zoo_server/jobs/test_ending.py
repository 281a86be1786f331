"""How jobs end other than well: failures and their retries, cancellation, lost workers."""

from typing import Any

import pytest
from django.db.models.functions import Now
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_member
from tests.zoo_server.jobs.conftest import Submit
from tests.zoo_server.jobs.scenes import JOBS, Hands, failure, job_now, model_report
from tests.zoo_server.jobs.threads import at_once
from zoo_sdk.vocabulary import RETRYABLE_CAUSES, FailureCause, TeamRole
from zoo_server.accounts.models import Team
from zoo_server.audit.models import AuditEvent
from zoo_server.jobs import chores
from zoo_server.jobs.models import Job, JobAttempt, JobDispatch
from zoo_server.jobs.services import leases
from zoo_server.jobs.services.backoff import CAP_SECONDS, backoff_seconds
from zoo_server.jobs.services.clock import in_seconds
from zoo_server.jobs.services.leases import expire_leases
from zoo_server.jobs.services.transitions import attempt_failed


def make_due(job: str) -> None:
    Job.objects.filter(pk=job).update(available_at=Now())


def lose(job: str) -> None:
    """The worker stops renewing."""
    Job.objects.filter(pk=job).update(lease_until=in_seconds(-1))


def cause_of(job: str) -> tuple[str, str]:
    now = job_now(job)
    return now.state, now.cause


@pytest.mark.django_db
@pytest.mark.parametrize("cause", sorted(RETRYABLE_CAUSES))
def test_a_cause_that_may_go_away_is_tried_again_later(running: str, hands: Hands, cause: FailureCause) -> None:
    body = hands.post(running, 1, "fail", failure(cause)).json()
    assert (body["state"], body["attempt"], body["cause"]) == ("queued", 1, cause)
    assert Job.objects.filter(pk=running, available_at__gt=in_seconds(1), owner=None).exists()
    dispatch = JobDispatch.objects.get()
    assert dispatch.sent_at is None
    assert hands.claim(running).status_code == 409, "it is not due yet"
    make_due(running)
    assert hands.claim(running).json()["attempt"] == 2


@pytest.mark.django_db
@pytest.mark.parametrize("cause", sorted(set(FailureCause) - RETRYABLE_CAUSES - {FailureCause.CANCELLED}))
def test_an_error_that_would_come_again_is_not_tried_again(running: str, hands: Hands, cause: FailureCause) -> None:
    body = hands.post(running, 1, "fail", failure(cause, facts={"line": 3})).json()
    assert (body["state"], body["cause"]) == ("failed", cause)
    assert body["error"] == {"code": "broken", "message": "It broke.", "facts": {"line": 3}, "hint": ""}
    assert not JobDispatch.objects.exists()
    attempt = JobAttempt.objects.get()
    assert (attempt.state, attempt.cause, attempt.environment) == ("failed", cause, {"python": "3.11"})
    assert AuditEvent.objects.get(action="job.failed").details["cause"] == cause


@pytest.mark.django_db
def test_attempts_are_bounded(submit: Submit, hands: Hands, api: APIClient) -> None:
    job = submit(max_attempts=2).json()["id"]
    for attempt in (1, 2):
        make_due(job)
        hands.claim(job)
        hands.post(job, attempt, "fail", failure("infrastructure"))
    assert cause_of(job) == ("failed", "infrastructure")
    attempts = api.get(f"{JOBS}/{job}/attempts").json()["results"]
    assert [(item["number"], item["state"], item["cause"]) for item in attempts] == [
        (1, "failed", "infrastructure"),
        (2, "failed", "infrastructure"),
    ]


def test_the_back_off_grows_spreads_and_is_capped() -> None:
    means = []
    for attempt in range(1, 8):
        waits = [backoff_seconds(attempt=attempt) for _ in range(200)]
        full = min(CAP_SECONDS, 5 * 2 ** (attempt - 1))
        assert full / 2 <= min(waits) < max(waits) <= full
        means.append(sum(waits) / len(waits))
    assert means == sorted(means)
    assert backoff_seconds(attempt=10_000) <= CAP_SECONDS


@pytest.mark.django_db
def test_the_same_failure_report_again_changes_nothing(running: str, hands: Hands) -> None:
    hands.post(running, 1, "fail", failure("infrastructure"))
    make_due(running)
    hands.claim(running)
    again = hands.post(running, 1, "fail", failure("infrastructure"))
    assert (again.status_code, again.json()["state"], again.json()["attempt"]) == (200, "running", 2)
    assert hands.post(running, 1, "fail", failure("plugin_error")).status_code == 409


@pytest.mark.django_db
def test_a_stop_that_nobody_asked_for_is_the_workers_doing(running: str, hands: Hands) -> None:
    assert hands.post(running, 1, "fail", failure("cancelled")).json()["cause"] == "infrastructure"
    assert job_now(running).state == "queued"


@pytest.mark.django_db
def test_a_stop_after_the_time_limit_is_the_time_limit(running: str, hands: Hands) -> None:
    Job.objects.filter(pk=running).update(started_at=in_seconds(-601))
    hands.post(running, 1, "fail", failure("cancelled"))
    assert cause_of(running) == ("failed", "time_limit")


@pytest.mark.django_db
def test_a_message_with_a_nul_is_kept_without_it(running: str, hands: Hands) -> None:
    body = hands.post(running, 1, "fail", failure(message="a\x00b", facts={"x": "\x00"})).json()
    assert body["error"]["message"] == "a\ufffdb"


# cancelling


@pytest.mark.django_db
def test_a_queued_job_is_cancelled_at_once(queued: str, hands: Hands, api: APIClient) -> None:
    body = api.post(f"{JOBS}/{queued}/cancel").json()
    assert (body["state"], body["cause"], body["cancel_requested"]) == ("cancelled", "cancelled", True)
    assert not JobDispatch.objects.exists()
    assert hands.claim(queued).status_code == 409


@pytest.mark.django_db
def test_a_running_job_is_cancelled_when_its_worker_says_that_it_stopped(
    running: str, hands: Hands, api: APIClient
) -> None:
    body = api.post(f"{JOBS}/{running}/cancel").json()
    assert (body["state"], body["cancel_requested"]) == ("running", True)
    assert api.post(f"{JOBS}/{running}/cancel").status_code == 200, "asking twice is fine"
    assert AuditEvent.objects.filter(action="job.cancel_requested").count() == 1
    hands.post(running, 1, "fail", failure("cancelled"))
    assert cause_of(running) == ("cancelled", "cancelled")
    assert JobAttempt.objects.get().state == "cancelled"


@pytest.mark.django_db
@pytest.mark.parametrize("cause", sorted(RETRYABLE_CAUSES))
def test_a_job_that_is_being_cancelled_is_not_tried_again(
    running: str, hands: Hands, api: APIClient, cause: str
) -> None:
    api.post(f"{JOBS}/{running}/cancel")
    hands.post(running, 1, "fail", failure(cause))
    assert cause_of(running) == ("cancelled", "cancelled")


@pytest.mark.django_db
def test_a_job_that_fails_by_itself_while_being_cancelled_says_why(running: str, hands: Hands, api: APIClient) -> None:
    api.post(f"{JOBS}/{running}/cancel")
    hands.post(running, 1, "fail", failure("out_of_memory"))
    assert cause_of(running) == ("failed", "out_of_memory")


@pytest.mark.django_db
def test_a_job_released_while_being_cancelled_is_cancelled(running: str, hands: Hands, api: APIClient) -> None:
    api.post(f"{JOBS}/{running}/cancel")
    assert hands.post(running, 1, "release").json()["state"] == "cancelled"


@pytest.mark.django_db
def test_an_ended_job_cannot_be_cancelled(running: str, hands: Hands, api: APIClient) -> None:
    hands.post(running, 1, "fail", failure())
    answer = api.post(f"{JOBS}/{running}/cancel")
    assert (answer.status_code, answer.json()["facts"]["state"]) == (409, "failed")


# retrying


@pytest.mark.django_db
@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_failed_or_cancelled_job_can_be_tried_again(running: str, hands: Hands, api: APIClient, end: str) -> None:
    if end == "cancelled":
        api.post(f"{JOBS}/{running}/cancel")
    hands.post(running, 1, "fail", failure("cancelled" if end == "cancelled" else "plugin_error"))
    body = api.post(f"{JOBS}/{running}/retry").json()
    assert (body["state"], body["max_attempts"], body["cause"], body["error"]) == ("queued", 4, None, None)
    assert (body["cancel_requested"], body["finished_at"]) == (False, None)
    assert JobDispatch.objects.exists()
    assert hands.claim(running).json()["attempt"] == 2
    assert hands.post(running, 2, "heartbeat").json()["command"] == "run"


@pytest.mark.django_db
def test_a_job_that_has_not_failed_cannot_be_tried_again(running: str, api: APIClient) -> None:
    assert api.post(f"{JOBS}/{running}/retry").status_code == 409


@pytest.mark.django_db
@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_only_those_who_may_submit_cancel_and_retry(
    running: str, team: Team, stranger_api: APIClient, superuser_api: APIClient, hands: Hands, action: str
) -> None:
    route = f"{JOBS}/{running}/{action}"
    assert client_for(make_member(team, TeamRole.READER)).post(route).status_code == 403
    assert stranger_api.post(route).status_code == 404
    assert hands.client.post(route).status_code == 403
    assert superuser_api.post(route).status_code in {200, 409}


# lost workers


@pytest.mark.django_db
def test_a_job_whose_worker_is_lost_is_tried_again(running: str, hands: Hands) -> None:
    assert expire_leases() == 0
    lose(running)
    assert expire_leases() == 1
    job = job_now(running)
    assert (job.state, job.owner, job.lease_until, job.cause) == ("queued", None, None, "worker_lost")
    assert job.error is not None
    assert "box-1" in job.error["message"]
    attempt = JobAttempt.objects.get()
    assert (attempt.state, attempt.cause) == ("failed", "worker_lost")
    assert hands.post(running, 1, "heartbeat").status_code == 409
    assert hands.post(running, 1, "finish", model_report("sha256:" + "0" * 64)).status_code == 409
    make_due(running)
    assert hands.claim(running).json()["attempt"] == 2


@pytest.mark.django_db
def test_a_job_that_lost_all_its_workers_fails(submit: Submit, hands: Hands) -> None:
    job = submit(max_attempts=1).json()["id"]
    hands.claim(job)
    lose(job)
    chores.expire_leases()
    assert cause_of(job) == ("failed", "worker_lost")
    assert AuditEvent.objects.get(action="job.failed").actor == "system"


@pytest.mark.django_db
def test_a_job_that_is_being_cancelled_ends_when_its_worker_is_lost(running: str, api: APIClient) -> None:
    api.post(f"{JOBS}/{running}/cancel")
    lose(running)
    expire_leases()
    assert cause_of(running) == ("cancelled", "cancelled")


@pytest.mark.django_db
def test_a_worker_that_never_stops_is_ended_far_beyond_the_time_limit(running: str, hands: Hands) -> None:
    Job.objects.filter(pk=running).update(started_at=in_seconds(-890))
    assert expire_leases() == 0
    Job.objects.filter(pk=running).update(started_at=in_seconds(-910))
    assert expire_leases() == 1
    assert cause_of(running) == ("failed", "time_limit")
    assert hands.post(running, 1, "heartbeat").status_code == 409


@pytest.mark.django_db
def test_one_odd_job_does_not_keep_the_others_from_being_rescued(
    submit: Submit, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [submit(seed=seed).json()["id"] for seed in range(3)]
    for job in jobs:
        hands.claim(job)
        lose(job)

    def odd(**options: Any) -> None:
        if str(options["job"].pk) == jobs[0]:
            raise RuntimeError("odd")
        attempt_failed(**options)

    monkeypatch.setattr(leases, "attempt_failed", odd)
    assert expire_leases() == 2
    assert [job_now(job).state for job in jobs] == ["running", "queued", "queued"]


@pytest.mark.django_db(transaction=True)
def test_two_beats_at_once_expire_a_lease_once(running: str) -> None:
    lose(running)
    assert sum(at_once(4, lambda _: expire_leases())) == 1
    assert AuditEvent.objects.filter(action="job.requeued").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_heartbeat_against_the_expiry_leaves_one_winner(running: str, hands: Hands) -> None:
    lose(running)
    code, expired = at_once(
        2, lambda number: expire_leases() if number else hands.post(running, 1, "heartbeat").status_code
    )
    job = job_now(running)
    assert (code, expired, job.state) in {(200, 0, "running"), (409, 1, "queued"), (200, 1, "queued")}
