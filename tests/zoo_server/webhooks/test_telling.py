"""What arrives at a receiver, how often, under which signature, and what becomes of bad receivers and addresses."""

import json
import logging
import socket
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from tests.zoo_server.factories import make_team
from tests.zoo_server.jobs.scenes import make_model
from tests.zoo_server.webhooks.conftest import ROUTE, told, wait_is_over
from tests.zoo_server.webhooks.receiver import Receiver
from zoo_server.accounts.models import Team
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog import services as catalog
from zoo_server.rest.principals import SYSTEM
from zoo_server.webhooks import sending
from zoo_server.webhooks.models import Attempt, Cursor, Delivery, Webhook
from zoo_server.webhooks.services import telling


def test_a_sealed_version_is_told_once_and_signed(team: Team, hook: dict[str, Any], receiver: Receiver):
    version = make_model(team, "net")
    assert told() == 1
    (got,) = receiver.got
    assert (got.path, got.headers["content-type"]) == ("/zoo?room=1", "application/json")
    assert got.is_signed_with(hook["secret"])
    assert not got.is_signed_with("whsec_" + "A" * 44)
    body = json.loads(got.body)
    assert (body["type"], body["data"]["team"]) == ("version.sealed", "vision")
    assert body["data"]["object"] == {"type": "version", "id": str(version.pk), "name": "vision/net@1"}
    assert body["data"]["details"]["digest"] == version.digest
    event = AuditEvent.objects.get(action="version.sealed")
    assert got.headers["webhook-id"] == f"msg_{event.pk.hex}"
    assert told() == 0
    assert len(receiver.got) == 1


def test_only_chosen_events_of_the_own_team_after_the_webhook_was_made(team: Team, admin_api, receiver: Receiver):
    make_model(team, "before")
    made = admin_api.post(ROUTE, {"url": receiver.url, "events": ["version.approved"]}, format="json")
    assert made.status_code == 201
    make_model(make_team("audio"), "theirs")
    version = make_model(team, "after")
    catalog.approve_version(principal=SYSTEM, version=version)
    catalog.set_alias(principal=SYSTEM, version=version, name="production")
    told()
    assert [json.loads(got.body)["type"] for got in receiver.got] == ["version.approved"]


def test_what_is_rolled_back_is_not_told(team: Team, hook, receiver: Receiver):
    with transaction.atomic():
        make_model(team, "net")
        transaction.set_rollback(True)
    assert (told(), receiver.got, Delivery.objects.count()) == (0, [], 0)


def test_a_receiver_that_fails_is_tried_again_later_and_later(team: Team, hook, receiver: Receiver):
    receiver.statuses = [500, 503, 302]
    make_model(team, "net")
    waits = []
    for _ in range(3):
        assert told() == 0
        row = Delivery.objects.get()
        waits.append((row.due_at - timezone.now()).total_seconds())
        assert told() == 0  # not before its time
        wait_is_over()
    assert [round(wait / expected, 0) for wait, expected in zip(waits, (5, 300, 1800), strict=True)] == [1, 1, 1]
    assert told() == 1
    assert {got.path for got in receiver.got} == {"/zoo?room=1"}  # the redirect was not followed
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert [item.status for item in Attempt.objects.order_by("id")] == [500, 503, 302, 204]
    assert "not followed" in Attempt.objects.get(status=302).error
    assert Delivery.objects.get().state == "delivered"


def test_after_the_last_try_it_is_given_up(team: Team, hook, receiver: Receiver):
    receiver.statuses = [500] * 99
    make_model(team, "net")
    for _ in range(len(telling.WAITS) + 3):
        told()
        wait_is_over()
    row = Delivery.objects.get()
    assert (row.state, row.tries, len(receiver.got)) == ("failed", 10, 10)


def test_an_address_that_says_it_is_gone_is_closed(team: Team, hook, receiver: Receiver, admin_api):
    receiver.statuses = [410]
    make_model(team, "net")
    told()
    row = Webhook.objects.get()
    assert (row.active, Delivery.objects.get().state) == (False, "failed")
    make_model(team, "more")
    assert told() == 0
    assert AuditEvent.objects.filter(action="webhook.closed").exists()
    again = admin_api.patch(f"{ROUTE}/{row.pk}", {"active": True}, format="json").json()
    assert (again["active"], again["closed_reason"]) == (True, "")


def test_the_former_secret_signs_for_a_day_beside_the_new_one(team: Team, hook, receiver: Receiver, admin_api):
    fresh = admin_api.post(f"{ROUTE}/{hook['id']}/rotate").json()["secret"]
    make_model(team, "net")
    told()
    assert receiver.got[0].is_signed_with(hook["secret"])
    assert receiver.got[0].is_signed_with(fresh)
    Webhook.objects.update(former_until=timezone.now() - timedelta(seconds=1))
    make_model(team, "more")
    told()
    assert not receiver.got[1].is_signed_with(hook["secret"])
    assert receiver.got[1].is_signed_with(fresh)


def test_secrets_are_not_in_the_database_the_audit_log_or_the_log(
    team: Team, hook, receiver: Receiver, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    make_model(team, "net")
    told()
    row = Webhook.objects.get()
    kept = [row.secret, row.former_secret, str(list(AuditEvent.objects.values())), caplog.text]
    assert not any(hook["secret"].removeprefix("whsec_") in text for text in kept)


def test_another_secret_key_is_said_and_a_rotation_helps(team: Team, hook, receiver: Receiver, settings, admin_api):
    settings.SECRET_KEY = "another"
    make_model(team, "net")
    assert told() == 0
    assert "Rotate the secret" in Attempt.objects.get().error
    fresh = admin_api.post(f"{ROUTE}/{hook['id']}/rotate").json()["secret"]
    Webhook.objects.update(former_secret="")
    wait_is_over()
    assert told() == 1
    assert receiver.got[0].is_signed_with(fresh)


def test_a_private_address_is_refused_when_it_is_named_and_when_it_is_sent_to(
    team: Team, hook, receiver: Receiver, settings, admin_api, monkeypatch: pytest.MonkeyPatch
):
    settings.ZOO_WEBHOOK_NETWORKS = []
    refused = admin_api.post(ROUTE, {"url": "https://127.0.0.1/x", "events": ["*"]}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (403, "address-refused")
    assert "ZOO_WEBHOOK_NETWORKS" in refused.json()["hint"]
    make_model(team, "net")
    assert told() == 0
    assert (receiver.got, Attempt.objects.get().status) == ([], None)
    assert "not a public address" in Attempt.objects.get().error

    def changed(*_: Any, **__: Any) -> list[Any]:  # a name that was public yesterday
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 443))]

    Webhook.objects.update(url="https://rebound.example/latest/meta-data")
    monkeypatch.setattr(socket, "getaddrinfo", changed)
    wait_is_over()
    assert told() == 0
    assert "169.254.169.254" in Attempt.objects.order_by("-id")[0].error


def test_plain_http_is_for_own_networks_only(admin_api, settings, monkeypatch: pytest.MonkeyPatch):
    public = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: public)
    refused = admin_api.post(ROUTE, {"url": "http://example.org/x", "events": ["*"]}, format="json")
    assert refused.status_code == 403
    assert "not encrypted" in refused.json()["detail"]
    made = admin_api.post(ROUTE, {"url": "https://example.org/x", "events": ["*"]}, format="json")
    assert made.status_code == 201


def test_a_receiver_that_never_ends_its_answer_is_hung_up_on(
    team: Team, hook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sending, "WHOLE_SECONDS", 0.3)
    receiver.dribble = True
    make_model(team, "net")
    assert told() == 0
    attempt = Attempt.objects.get()
    assert (attempt.status, attempt.error) == (None, "No answer: it took longer than 0.3 seconds.")


def test_nobody_at_the_address_is_a_try_that_failed(team: Team, hook):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    Webhook.objects.update(url=f"http://127.0.0.1:{port}/")
    make_model(team, "net")
    assert told() == 0
    assert Attempt.objects.get().error.startswith("No answer:")


def test_long_details_are_left_out(team: Team, hook, receiver: Receiver):
    version = make_model(team, "net")
    catalog.withdraw_version(principal=SYSTEM, version=version, comment="ä" * 4000)
    told()
    told_of = {json.loads(got.body)["type"]: json.loads(got.body)["data"]["details"] for got in receiver.got}
    assert set(told_of["version.withdrawn"]) == {"left_out"}


def test_a_slow_receiver_gets_a_few_at_a_time(team: Team, hook, receiver: Receiver):
    for number in range(telling.MOST_OF_ONE + 2):
        make_model(team, f"net-{number}")
    assert (told(), told()) == (telling.MOST_OF_ONE, 2)


def test_the_cursor_goes_on_where_it_was_also_past_what_nobody_wants(team: Team, hook, receiver: Receiver, monkeypatch):
    monkeypatch.setattr(telling, "BATCH", 1)
    make_model(team, "one")
    make_model(team, "two")
    told()
    told()
    told()
    assert len(receiver.got) == 2
    assert Cursor.objects.get().sequence == AuditEvent.objects.count()
    Webhook.objects.update(active=False)
    make_model(team, "three")
    told()
    assert Cursor.objects.get().sequence == AuditEvent.objects.count()


def test_old_entries_of_the_log_are_forgotten(team: Team, hook, receiver: Receiver):
    make_model(team, "net")
    told()
    assert telling.forget() == 0
    Delivery.objects.update(created_at=timezone.now() - telling.KEPT - timedelta(days=1))
    telling.forget()
    assert (Delivery.objects.count(), Attempt.objects.count()) == (0, 0)
