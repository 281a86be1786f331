"""Sessions of browsers: listed with their last use, which is written rarely, and ended at once."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_user
from zoo_server.accounts import sessions
from zoo_server.accounts.models import User, WebSession
from zoo_server.audit.models import AuditEvent

SESSIONS = "/api/v1/sessions"
PASSWORD = "correct horse battery"


@pytest.fixture
def ada(db: None) -> User:
    return make_user("ada", password=PASSWORD)


@pytest.fixture
def browser(ada: User) -> Client:
    client = Client(headers={"User-Agent": "Firefox"})
    assert client.post("/sign-in", {"username": "ada", "password": PASSWORD}).status_code == 302
    return client


def is_signed_in(browser: Client) -> bool:
    return browser.get("/pipelines").status_code == 200


def test_a_sign_in_is_listed_and_audited(ada: User, browser: Client) -> None:
    found = client_for(ada).get(SESSIONS).json()["results"]
    assert [(row["username"], row["agent"], row["address"]) for row in found] == [("ada", "Firefox", "127.0.0.1")]
    assert "session_key" not in found[0]
    event = AuditEvent.objects.get(action="session.opened")
    assert (event.actor, event.address) == ("ada", "127.0.0.1")


def test_a_session_is_ended_from_elsewhere_at_once(ada: User, browser: Client) -> None:
    assert is_signed_in(browser)
    api = client_for(ada)
    session = api.get(SESSIONS).json()["results"][0]["id"]
    assert api.delete(f"{SESSIONS}/{session}").status_code == 204
    assert not is_signed_in(browser)
    assert api.get(SESSIONS).json()["results"] == []
    assert api.delete(f"{SESSIONS}/{session}").status_code == 404
    assert AuditEvent.objects.get(action="session.ended").actor == "ada"


def test_signing_out_ends_it_too(ada: User, browser: Client) -> None:
    assert browser.post("/sign-out").status_code == 302
    assert not WebSession.objects.exists()
    assert AuditEvent.objects.get(action="session.closed").actor == "ada"


def test_the_last_use_is_written_once_a_minute(browser: Client) -> None:
    with CaptureQueriesContext(connection) as fresh:
        assert is_signed_in(browser)
    assert [query["sql"] for query in fresh if query["sql"].startswith("UPDATE")] == []
    row = WebSession.objects.get()
    long_ago = timezone.now() - timedelta(hours=1)
    WebSession.objects.update(last_used_at=long_ago)
    session = browser.session
    session[sessions.SEEN_KEY] = int(long_ago.timestamp())
    session.save()
    for _ in range(3):
        assert is_signed_in(browser)
    row.refresh_from_db()
    assert row.last_used_at > long_ago
    written = row.last_used_at
    assert is_signed_in(browser)
    row.refresh_from_db()
    assert row.last_used_at == written


def test_others_neither_see_nor_end_it(browser: Client, stranger_api: APIClient, superuser_api: APIClient) -> None:
    session = WebSession.objects.get().pk
    assert stranger_api.get(SESSIONS).json()["results"] == []
    assert stranger_api.get(SESSIONS, {"user": "ada"}).status_code == 403
    assert stranger_api.delete(f"{SESSIONS}/{session}").status_code == 404
    assert [row["id"] for row in superuser_api.get(SESSIONS, {"user": "ada"}).json()["results"]] == [str(session)]
    assert superuser_api.delete(f"{SESSIONS}/{session}").status_code == 204
    assert not is_signed_in(browser)


def test_sessions_whose_time_is_over_are_forgotten(ada: User, browser: Client) -> None:
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert client_for(ada).get(SESSIONS).json()["results"] == []
    assert sessions.forget_ended_sessions() == 1
    assert not Session.objects.exists()


def test_the_admin_pages_list_and_end_sessions(browser: Client, superuser: User) -> None:
    pages = Client()
    pages.force_login(superuser, backend="django.contrib.auth.backends.ModelBackend")
    session = WebSession.objects.get(user__username="ada")
    assert "ada" in pages.get("/admin/accounts/websession/").content.decode()
    pages.post("/admin/accounts/websession/", {"action": "end", "_selected_action": [str(session.pk)]})
    assert not is_signed_in(browser)


def test_superusers_list_the_tokens_of_somebody_else(ada: User, superuser_api: APIClient, api: APIClient) -> None:
    client_for(ada)
    found = superuser_api.get("/api/v1/tokens", {"user": "ada"}).json()["results"]
    assert [row["username"] for row in found] == ["ada"]
    assert api.get("/api/v1/tokens", {"user": "ada"}).status_code == 403
