"""Service accounts of teams: who makes them, what their tokens reach, how they end."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_member, make_team, make_token, make_user
from zoo_sdk.vocabulary import Scope, TeamRole
from zoo_server.accounts.models import Team, Token, User
from zoo_server.audit.models import AuditEvent

SERVICES = "/api/v1/teams/vision/services"


@pytest.fixture
def boss(team: Team) -> User:
    return make_member(team, TeamRole.ADMIN, user=make_user("boss"))


@pytest.fixture
def boss_api(boss: User) -> APIClient:
    return client_for(boss)


def bearer(secret: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def make_service(api: APIClient, name: str = "ci", role: str = "contributor") -> dict:
    answer = api.post(SERVICES, {"name": name, "role": role}, format="json")
    assert answer.status_code == 201, answer.content
    return answer.json()


def service_token(api: APIClient, *scopes: str, **changes: object) -> dict:
    body = {"name": "build", "scopes": scopes or ["read", "add"], **changes}
    answer = api.post(f"{SERVICES}/ci/tokens", body, format="json")
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_an_admin_of_the_team_makes_an_account_and_a_token_that_publishes(boss_api: APIClient) -> None:
    made = make_service(boss_api)
    assert (made["name"], made["username"], made["role"]) == ("ci", "ci@vision", "contributor")
    assert [row["name"] for row in boss_api.get(SERVICES).json()["results"]] == ["ci"]
    token = service_token(boss_api)
    publisher = bearer(token["token"])
    assert publisher.get("/api/v1/whoami").json()["username"] == "ci@vision"
    assert publisher.post("/api/v1/models", {"team": "vision", "name": "built"}, format="json").status_code == 201
    assert publisher.patch("/api/v1/models/vision/built", {"title": "x"}, format="json").status_code == 403
    created = AuditEvent.objects.get(action="service.created")
    assert (created.actor, created.object_name, created.team) == ("boss", "ci@vision", "vision")


def test_the_token_ends_after_90_days_unless_it_says_another_time(boss_api: APIClient) -> None:
    make_service(boss_api)
    for days, wanted in ({}, 90), ({"expires_in_days": 7}, 7):
        end = Token.objects.get(pk=service_token(boss_api, **days)["id"]).expires_at
        assert end is not None
        assert timedelta(days=wanted - 0.1) < end - timezone.now() <= timedelta(days=wanted)


def test_the_token_reaches_no_further_than_the_role_and_its_maker(boss: User, boss_api: APIClient) -> None:
    make_service(boss_api)
    wanted = {"name": "x", "scopes": ["read", "curate"]}
    answer = boss_api.post(f"{SERVICES}/ci/tokens", wanted, format="json")
    assert (answer.status_code, answer.json()["facts"]) == (403, {"scopes": ["curate"]})
    end = timezone.now() + timedelta(days=1)
    short = bearer(make_token(boss, [Scope.ADMIN], expires_at=end)[1])
    assert Token.objects.get(pk=service_token(short)["id"]).expires_at == end


def test_the_admin_lists_and_revokes_its_tokens(boss_api: APIClient) -> None:
    make_service(boss_api)
    token = service_token(boss_api)
    assert [row["id"] for row in boss_api.get(f"{SERVICES}/ci/tokens").json()["results"]] == [token["id"]]
    assert boss_api.delete(f"/api/v1/tokens/{token['id']}").status_code == 204
    assert bearer(token["token"]).get("/api/v1/whoami").status_code == 401


def test_others_neither_see_nor_revoke_its_tokens(boss_api: APIClient, api: APIClient) -> None:
    make_service(boss_api)
    token = service_token(boss_api)
    elsewhere = client_for(make_member(make_team("speech"), TeamRole.ADMIN))
    for client, listed in (api, 403), (elsewhere, 404):
        assert client.get(f"{SERVICES}/ci/tokens").status_code == listed
        assert client.delete(f"/api/v1/tokens/{token['id']}").status_code == 404


def test_a_deleted_account_ends_with_its_tokens_and_may_come_back_without_them(boss_api: APIClient) -> None:
    make_service(boss_api)
    token = service_token(boss_api)
    assert boss_api.delete(f"{SERVICES}/ci").status_code == 204
    assert boss_api.delete(f"{SERVICES}/ci").status_code == 404
    assert bearer(token["token"]).get("/api/v1/whoami").status_code == 401
    assert AuditEvent.objects.get(action="service.deleted").details == {"username": "ci@vision", "tokens": 1}
    assert make_service(boss_api, role="reader")["role"] == "reader"
    assert bearer(token["token"]).get("/api/v1/whoami").status_code == 401


def test_a_name_is_taken_once(boss_api: APIClient) -> None:
    make_service(boss_api)
    make_user("ada@vision")
    for name in ("ci", "ada"):
        assert boss_api.post(SERVICES, {"name": name, "role": "reader"}, format="json").status_code == 409


def test_another_team_cannot_take_the_account_in(boss_api: APIClient) -> None:
    make_service(boss_api)
    elsewhere = client_for(make_member(make_team("speech"), TeamRole.ADMIN))
    route = "/api/v1/teams/speech/members"
    taken = elsewhere.put(f"{route}/ci@vision", {"role": "reader"}, format="json")
    absent = elsewhere.put(f"{route}/no@vision", {"role": "reader"}, format="json")
    assert (taken.status_code, absent.status_code) == (404, 404)
    assert taken.json()["detail"].replace("ci@", "no@") == absent.json()["detail"]


def test_a_service_account_signs_in_with_no_password(boss_api: APIClient) -> None:
    make_service(boss_api)
    answer = APIClient().post("/api/v1/login", {"username": "ci@vision", "password": "!"}, format="json")
    assert answer.status_code == 403
