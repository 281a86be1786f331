"""Tokens: how they are made, narrowed, used, and how they end."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_member, make_token, make_user
from zoo_sdk.vocabulary import Scope, TeamRole
from zoo_server.accounts.models import Token
from zoo_server.accounts.selectors import token_digest
from zoo_server.audit.models import AuditEvent

pytestmark = pytest.mark.django_db
TOKENS = "/api/v1/tokens"
WHOAMI = "/api/v1/whoami"


def bearer(secret: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def test_a_token_is_told_once_and_kept_as_a_digest(api):
    made = api.post(TOKENS, {"name": "ci", "scopes": ["read"], "expires_in_days": 7}, format="json")
    assert made.status_code == 201
    secret = made.json()["token"]
    assert re.fullmatch(r"zoo_[A-Za-z0-9_-]{43}", secret)
    row = Token.objects.get(pk=made.json()["id"])
    assert row.digest == token_digest(secret)
    assert secret not in str(vars(row))
    assert secret not in str(api.get(TOKENS).json())
    assert row.expires_at is not None
    assert timedelta(days=6.9) < row.expires_at - timezone.now() < timedelta(days=7)
    event = AuditEvent.objects.get(action="token.created")
    assert event.details["scopes"] == ["read"]
    assert secret not in str(vars(event))


def test_a_token_cannot_make_one_with_more_scopes(member):
    answer = client_for(member, [Scope.READ, Scope.WRITE]).post(
        TOKENS, {"name": "more", "scopes": ["read", "curate", "admin"]}, format="json"
    )
    assert (answer.status_code, answer.json()["facts"]) == (403, {"scopes": ["admin", "curate"]})


@pytest.mark.parametrize("is_superuser", [True, False])
def test_nobody_gives_a_token_the_scope_of_workers(is_superuser):
    client = client_for(make_user(is_superuser=is_superuser))
    assert client.post(TOKENS, {"name": "w", "scopes": ["worker"]}, format="json").status_code == 403


def test_a_token_cannot_make_one_that_outlives_it(member):
    end = timezone.now() + timedelta(days=1)
    _, secret = make_token(member, expires_at=end)
    for lifetime in ({}, {"expires_in_days": 300}):
        made = bearer(secret).post(TOKENS, {"name": "long", "scopes": ["read"], **lifetime}, format="json")
        assert Token.objects.get(pk=made.json()["id"]).expires_at == end


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "scopes": ["reed"]}, "scopes.0"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["read"], "expires_in_days": 0}, "expires_in_days"),
        ({"name": "x", "scope": ["read"], "scopes": ["read"]}, "scope"),
        ({"scopes": ["read"]}, "name"),
    ],
)
def test_a_wrong_request_names_the_field(api, body, field):
    answer = api.post(TOKENS, body, format="json")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_an_expired_token_is_refused(member):
    _, secret = make_token(member, expires_at=timezone.now() - timedelta(seconds=1))
    answer = bearer(secret).get(WHOAMI)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="zoo"'
    assert answer.json()["code"] == "not-authenticated"


def test_a_revoked_token_is_refused_at_once(member):
    token, secret = make_token(member)
    client = bearer(secret)
    assert client.get(WHOAMI).status_code == 200
    assert client.delete(f"{TOKENS}/{token.pk}").status_code == 204
    assert client.get(WHOAMI).status_code == 401
    assert AuditEvent.objects.filter(action="token.revoked").count() == 1


def test_the_token_of_an_inactive_user_is_refused(member):
    client = client_for(member)
    type(member).objects.filter(pk=member.pk).update(is_active=False)
    assert client.get(WHOAMI).status_code == 401


@pytest.mark.parametrize("secret", ["zoo_" + "A" * 43, "", "x", "zoo_é", "zoo_" + "A" * 100_000])
def test_an_unknown_token_is_refused(db, secret):
    assert bearer(secret).get("/api/v1/").status_code == 401


def test_somebody_elses_token_cannot_be_seen_or_revoked(member, stranger_api, superuser_api):
    token, _ = make_token(member)
    assert stranger_api.delete(f"{TOKENS}/{token.pk}").status_code == 404
    assert superuser_api.delete(f"{TOKENS}/{token.pk}").status_code == 204


def test_the_last_use_is_kept_to_the_minute(member):
    token, secret = make_token(member)
    Token.objects.filter(pk=token.pk).update(last_used_at=None)
    bearer(secret).get(WHOAMI)
    token.refresh_from_db()
    first = token.last_used_at
    assert first is not None
    bearer(secret).get(WHOAMI)
    token.refresh_from_db()
    assert token.last_used_at == first


def test_whoami_tells_scopes_roles_and_token(team):
    user = make_member(team, TeamRole.ENGINEER, user=make_user("ada"))
    answer = client_for(user, [Scope.READ, Scope.SUBMIT]).get(WHOAMI).json()
    assert answer["token"].pop("id")
    assert (answer["username"], answer["scopes"], answer["teams"]) == (
        "ada",
        ["read", "submit"],
        [{"name": "vision", "role": "engineer"}],
    )


def test_whoami_needs_somebody(db):
    assert APIClient().get(WHOAMI).status_code == 401
    assert APIClient().get(TOKENS).status_code == 401


def test_a_worker_may_ask_who_it_is(worker_api):
    assert worker_api.get(WHOAMI).json()["scopes"] == ["worker"]
    assert worker_api.get(TOKENS).status_code == 403


def log_in(**body):
    return APIClient().post("/api/v1/login", body, format="json")


def test_a_password_is_exchanged_for_a_token(db):
    make_user("ada", password="correct horse battery")
    made = log_in(username="ada", password="correct horse battery")
    assert made.status_code == 201
    assert made.json()["scopes"] == ["add", "audit", "curate", "read", "submit", "write"]
    assert bearer(made.json()["token"]).get(WHOAMI).json()["username"] == "ada"


def test_signing_in_as_a_superuser_gives_admin(db):
    make_user("ada", password="correct horse battery", is_superuser=True)
    assert "admin" in log_in(username="ada", password="correct horse battery").json()["scopes"]


def test_signing_in_can_ask_for_less_and_not_for_more(db):
    make_user("ada", password="correct horse battery")
    assert log_in(username="ada", password="correct horse battery", scopes=["read"]).json()["scopes"] == ["read"]
    for scope in ("admin", "worker"):
        assert log_in(username="ada", password="correct horse battery", scopes=[scope]).status_code == 403


@pytest.mark.parametrize(("username", "password"), [("ada", "wrong"), ("nobody", "correct horse battery")])
def test_wrong_credentials_do_not_tell_what_is_wrong(db, username, password):
    make_user("ada", password="correct horse battery")
    answer = log_in(username=username, password=password)
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong-credentials")
    assert answer.json()["detail"] == "The user name or the password is wrong."


def test_a_user_without_password_cannot_sign_in_with_any(db):
    make_user("ada")
    assert log_in(username="ada", password="!").status_code == 403


def test_the_admin_pages_take_an_admin_token_as_password(client, superuser):
    _, secret = make_token(superuser)
    page = client.get("/admin/login/")
    assert "admin token" in page.content.decode()
    answer = client.post("/admin/login/?next=/admin/", {"username": "root", "password": secret})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
    for table in ("user", "team", "membership", "token"):
        assert client.get(f"/admin/accounts/{table}/").status_code == 200


@pytest.mark.parametrize("case", ["another user's", "without admin", "revoked"])
def test_the_admin_pages_refuse_other_tokens(client, superuser, case):
    user = make_user("other", is_superuser=True) if case == "another user's" else superuser
    scopes = [Scope.READ] if case == "without admin" else [Scope.ADMIN]
    _, secret = make_token(user, scopes, revoked_at=timezone.now() if case == "revoked" else None)
    assert client.post("/admin/login/", {"username": "root", "password": secret}).status_code == 200


def test_tokens_can_be_revoked_in_the_admin_pages(client, superuser, member):
    token, _ = make_token(member)
    client.force_login(superuser)
    client.post("/admin/accounts/token/", {"action": "revoke", "_selected_action": [str(token.pk)]})
    token.refresh_from_db()
    assert token.revoked_at is not None
