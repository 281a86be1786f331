"""Teams, members and users through the REST routes."""

import pytest

from tests.zoo_server.factories import client_for, make_member, make_team, make_user
from zoo_sdk.vocabulary import Scope, TeamRole
from zoo_server.accounts.models import Membership, User
from zoo_server.audit.models import AuditEvent

pytestmark = pytest.mark.django_db
TEAMS = "/api/v1/teams"
USERS = "/api/v1/users"


@pytest.fixture
def team_admin(team) -> User:
    return make_member(team, TeamRole.ADMIN, user=make_user("boss"))


@pytest.fixture
def admin_api(team_admin):
    return client_for(team_admin)


def test_a_superuser_makes_a_team_and_becomes_its_admin(superuser_api):
    answer = superuser_api.post(TEAMS, {"name": "speech", "title": "Speech"}, format="json")
    assert (answer.status_code, answer.json()["title"]) == (201, "Speech")
    members = superuser_api.get(f"{TEAMS}/speech/members").json()["results"]
    assert [(member["username"], member["role"]) for member in members] == [("root", "admin")]
    assert AuditEvent.objects.get(action="team.created").object_name == "speech"
    assert superuser_api.post(TEAMS, {"name": "speech"}, format="json").status_code == 409


def test_others_make_no_team(admin_api, superuser):
    assert admin_api.post(TEAMS, {"name": "speech"}, format="json").status_code == 403
    assert client_for(superuser, [Scope.READ]).post(TEAMS, {"name": "speech"}, format="json").status_code == 403


@pytest.mark.parametrize("name", ["Vision", "a/b", "-a", "", "a" * 97, "ü"])
def test_a_wrong_team_name_is_refused(superuser_api, name):
    answer = superuser_api.post(TEAMS, {"name": name}, format="json")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "name")


def test_one_sees_the_own_teams_only(api, team, superuser_api):
    make_team("secret")
    assert [row["name"] for row in api.get(TEAMS).json()["results"]] == ["vision"]
    assert [row["name"] for row in superuser_api.get(TEAMS).json()["results"]] == ["secret", "vision"]
    for route in (f"{TEAMS}/secret", f"{TEAMS}/secret/members", f"{TEAMS}/nowhere"):
        assert api.get(route).status_code == 404


def test_an_admin_of_the_team_changes_its_title(admin_api, api):
    assert admin_api.patch(f"{TEAMS}/vision", {"title": "Eyes"}, format="json").json()["title"] == "Eyes"
    assert api.patch(f"{TEAMS}/vision", {"title": "Ears"}, format="json").status_code == 403


def test_an_admin_of_the_team_manages_its_members(admin_api):
    make_user("ada")
    route = f"{TEAMS}/vision/members/ada"
    assert admin_api.put(route, {"role": "reader"}, format="json").json()["role"] == "reader"
    assert admin_api.put(route, {"role": "curator"}, format="json").json()["role"] == "curator"
    assert admin_api.put(route, {"role": "curator"}, format="json").status_code == 200
    assert admin_api.delete(route).status_code == 204
    assert admin_api.delete(route).status_code == 404
    events = AuditEvent.objects.filter(team="vision").order_by("id")
    assert [event.action for event in events] == ["member.set", "member.set", "member.removed"]
    assert events[1].details == {"username": "ada", "from": "reader", "to": "curator"}


def test_members_who_are_no_admins_manage_nobody(api, member):
    assert api.put(f"{TEAMS}/vision/members/{member.username}", {"role": "admin"}, format="json").status_code == 403


def test_a_wrong_role_or_user_is_refused(admin_api):
    assert admin_api.put(f"{TEAMS}/vision/members/boss", {"role": "king"}, format="json").status_code == 422
    assert admin_api.put(f"{TEAMS}/vision/members/nobody", {"role": "reader"}, format="json").status_code == 404


def test_a_team_keeps_an_admin(admin_api):
    route = f"{TEAMS}/vision/members/boss"
    assert admin_api.put(route, {"role": "reader"}, format="json").status_code == 409
    assert admin_api.delete(route).status_code == 409
    assert Membership.objects.get(user__username="boss").role == "admin"


def test_a_superuser_makes_users(superuser_api):
    body = {"username": "ada", "password": "correct horse battery"}
    made = superuser_api.post(USERS, body, format="json")
    assert made.status_code == 201
    assert "password" not in made.json()
    assert User.objects.get(username="ada").check_password(body["password"])
    assert superuser_api.post(USERS, body, format="json").status_code == 409
    service = superuser_api.post(USERS, {"username": "robot", "is_service": True}, format="json").json()
    assert service["is_service"]
    assert not User.objects.get(username="robot").has_usable_password()
    assert [row["username"] for row in superuser_api.get(USERS).json()["results"]] == ["ada", "robot", "root"]
    assert "correct horse" not in str([event.details for event in AuditEvent.objects.all()])


@pytest.mark.parametrize("password", ["short", "password1234", ""])
def test_a_weak_password_is_refused(superuser_api, password):
    assert superuser_api.post(USERS, {"username": "ada", "password": password}, format="json").status_code == 422


def test_others_see_and_make_no_users(admin_api):
    assert admin_api.get(USERS).status_code == 403
    assert admin_api.post(USERS, {"username": "ada"}, format="json").status_code == 403


@pytest.mark.parametrize("rows", [3, 30])
@pytest.mark.parametrize("route", ["teams", "members", "tokens", "users"])
def test_the_number_of_queries_does_not_grow_with_the_rows(superuser, team, count_queries, rows, route):
    api = client_for(superuser)
    for _ in range(rows):
        make_member(make_team())
        make_member(team)
        client_for(superuser)
    url = f"{TEAMS}/vision/members" if route == "members" else f"/api/v1/{route}"
    with count_queries(route):
        assert len(api.get(url).json()["results"]) >= rows


def test_pages_of_members_join_seamlessly(superuser_api, team):
    names = sorted(make_member(team).username for _ in range(5))
    first = superuser_api.get(f"{TEAMS}/vision/members", {"limit": 3}).json()
    second = superuser_api.get(f"{TEAMS}/vision/members", {"limit": 3, "cursor": first["next"]}).json()
    assert [member["username"] for member in first["results"] + second["results"]] == names
