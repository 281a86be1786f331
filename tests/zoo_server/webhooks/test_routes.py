"""The routes of webhooks and the admin's pages: who may, what is shown, and what is never shown again."""

from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from tests.zoo_server.conftest import QueryCounter
from tests.zoo_server.factories import client_for, make_member, make_team
from tests.zoo_server.jobs.scenes import make_model
from tests.zoo_server.webhooks.conftest import ROUTE, told
from tests.zoo_server.webhooks.receiver import Receiver
from zoo_sdk.vocabulary import TeamRole
from zoo_server.accounts.models import Team, User
from zoo_server.audit.models import AuditEvent
from zoo_server.webhooks.models import Delivery, Webhook
from zoo_server.webhooks.services.managing import MOST


def test_the_secret_is_told_once(hook: dict[str, Any], admin_api: APIClient):
    assert hook["secret"].startswith("whsec_")
    shown = admin_api.get(f"{ROUTE}/{hook['id']}").json()
    assert shown == {key: value for key, value in hook.items() if key != "secret"}
    assert admin_api.get(ROUTE).json()["results"] == [shown]


def test_wrong_addresses_and_events_are_refused(admin_api: APIClient, receiver: Receiver):
    for body, reason in (
        ({"url": "ftp://example.org", "events": ["*"]}, "not the address"),
        ({"url": "https://user:pass@example.org", "events": ["*"]}, "not the address"),
        ({"url": receiver.url, "events": ["version.approval"]}, "version.approved"),
        ({"url": receiver.url, "events": []}, "events"),
        ({"url": receiver.url, "events": ["*"], "secret": "mine"}, "secret"),
    ):
        refused = admin_api.post(ROUTE, body, format="json")
        assert refused.status_code == 422
        assert reason in refused.content.decode()


def test_only_admins_of_the_team_see_or_change_them(hook: dict[str, Any], api: APIClient, stranger_api: APIClient):
    one = f"{ROUTE}/{hook['id']}"
    for method, route in (("get", ROUTE), ("get", one), ("delete", one), ("post", f"{one}/rotate")):
        assert getattr(api, method)(route).status_code == 403  # a curator
        assert getattr(stranger_api, method)(route).status_code == 404
    other = client_for(make_member(make_team("audio"), TeamRole.ADMIN))
    assert other.get(f"/api/v1/teams/audio/webhooks/{hook['id']}").status_code == 404


def test_changing_and_removing_are_in_the_audit_log(hook: dict[str, Any], admin_api: APIClient, receiver: Receiver):
    one = f"{ROUTE}/{hook['id']}"
    changed = admin_api.patch(one, {"events": ["job.*"], "active": False}, format="json").json()
    assert (changed["events"], changed["active"], changed["url"]) == (["job.*"], False, hook["url"])
    assert admin_api.post(f"{one}/rotate").json()["former_until"]
    assert admin_api.delete(one).status_code == 204
    assert admin_api.get(one).status_code == 404
    actions = list(AuditEvent.objects.filter(action__startswith="webhook.").order_by("id"))
    assert [event.action for event in actions] == [
        "webhook.created", "webhook.updated", "webhook.rotated", "webhook.removed",
    ]  # fmt: skip


def test_a_test_and_the_log_and_sending_again(hook: dict[str, Any], admin_api: APIClient, receiver: Receiver):
    one = f"{ROUTE}/{hook['id']}"
    sent = admin_api.post(f"{one}/test")
    assert (sent.status_code, sent.json()["type"], sent.json()["state"]) == (202, "webhook.test", "waiting")
    again = f"{one}/deliveries/{sent.json()['id']}/redeliver"
    assert admin_api.post(again).status_code == 409
    assert told() == 1
    (row,) = admin_api.get(f"{one}/deliveries", {"state": "delivered", "type": "webhook.test"}).json()["results"]
    assert admin_api.get(f"{one}/deliveries", {"state": "failed"}).json()["results"] == []
    assert admin_api.post(again).status_code == 202
    assert told() == 1
    first, second = receiver.got
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    whole = admin_api.get(f"{one}/deliveries/{row['id']}").json()
    assert [item["status"] for item in whole["attempts"]] == [204, 204]
    assert whole["body"].encode() == first.body


def test_a_team_has_so_many_webhooks_and_no_more(admin_api: APIClient, team: Team, receiver: Receiver):
    Webhook.objects.bulk_create(Webhook(team=team, url="x", events=["*"], secret="x") for _ in range(MOST))
    refused = admin_api.post(ROUTE, {"url": receiver.url, "events": ["*"]}, format="json")
    assert refused.status_code == 409


@pytest.mark.parametrize("count", [1, 5])
def test_the_log_costs_as_much_with_many_rows(
    admin_api: APIClient, hook: dict[str, Any], team: Team, receiver: Receiver, count_queries: QueryCounter, count: int
):
    for number in range(count):
        make_model(team, f"net-{number}")
    told()
    with count_queries("webhook-deliveries"):
        assert len(admin_api.get(f"{ROUTE}/{hook['id']}/deliveries").json()["results"]) == count


def test_the_admin_shows_the_log_sends_again_and_hides_secrets(
    hook: dict[str, Any], team: Team, receiver: Receiver, superuser: User
):
    superuser.is_staff = True
    superuser.save()
    browser = Client()
    browser.force_login(superuser, backend="django.contrib.auth.backends.ModelBackend")
    make_model(team, "net")
    told()
    row = Delivery.objects.get()
    page = browser.get("/admin/webhooks/delivery/")
    assert b"version.sealed" in page.content
    assert browser.get(f"/admin/webhooks/delivery/{row.pk}/change/").status_code == 200
    shown = browser.get(f"/admin/webhooks/webhook/{hook['id']}/change/")
    assert shown.status_code == 200
    assert Webhook.objects.get().secret.encode() not in shown.content
    action = {"action": "send_again", "_selected_action": [str(row.pk)]}
    assert b"is sent again" in browser.post("/admin/webhooks/delivery/", action, follow=True).content
    assert told() == 1
    off = {"action": "switch_off", "_selected_action": [hook["id"]]}
    browser.post("/admin/webhooks/webhook/", off)
    assert not Webhook.objects.get().active
