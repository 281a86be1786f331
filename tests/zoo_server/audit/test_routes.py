"""The routes of the audit log: who may read which events, and how they are found."""

import pytest

from tests.zoo_server.factories import client_for, make_member, make_team
from zoo_sdk.vocabulary import Scope, TeamRole
from zoo_server.audit.services import record_event
from zoo_server.rest.principals import SYSTEM

pytestmark = pytest.mark.django_db(transaction=True)
EVENTS = "/api/v1/audit/events"


@pytest.fixture
def auditor_api(team):
    return client_for(make_member(team, TeamRole.AUDITOR))


@pytest.fixture
def two_teams(team):
    other = make_team("other")
    for subject in (team, other, team):
        record_event(actor=SYSTEM, action="team.tested", subject=subject, team=subject.name, details={"n": 1})
    return team, other


def test_a_superuser_sees_all_events_newest_first(superuser_api, two_teams):
    answer = superuser_api.get(EVENTS).json()
    assert [event["sequence"] for event in answer["results"]] == [3, 2, 1]
    assert answer["next"] is None
    assert answer["results"][0]["details"] == {"n": 1}


def test_an_auditor_sees_the_events_of_the_own_teams_only(auditor_api, two_teams):
    assert {event["team"] for event in auditor_api.get(EVENTS).json()["results"]} == {"vision"}
    assert auditor_api.get(EVENTS, {"team": "other"}).json()["results"] == []


def test_a_member_who_is_no_auditor_is_refused(api, two_teams):
    for route in (EVENTS, "/api/v1/audit/verification"):
        answer = api.get(route)
        assert answer.status_code == 403
        assert "auditor" in answer.json()["hint"]


def test_a_superusers_token_without_the_scope_is_refused(superuser, two_teams):
    assert client_for(superuser, [Scope.READ]).get(EVENTS).status_code == 403


def test_events_are_filtered_and_paged(superuser_api, two_teams):
    _, other = two_teams
    assert len(superuser_api.get(EVENTS, {"object_id": str(other.pk)}).json()["results"]) == 1
    assert superuser_api.get(EVENTS, {"until": "2000-01-01T00:00:00Z"}).json()["results"] == []
    assert len(superuser_api.get(EVENTS, {"since": "2000-01-01T00:00:00Z", "actor": "system"}).json()["results"]) == 3
    first = superuser_api.get(EVENTS, {"limit": 2}).json()
    second = superuser_api.get(EVENTS, {"limit": 2, "cursor": first["next"]}).json()
    assert [event["sequence"] for event in first["results"] + second["results"]] == [3, 2, 1]
    assert second["next"] is None


def test_an_unknown_filter_names_the_nearest_one(superuser_api):
    answer = superuser_api.get(EVENTS, {"object_typ": "team"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "object_typ"
    assert "'object_type'" in answer.json()["errors"][0]["message"]


def test_a_time_that_is_none_is_refused(superuser_api):
    assert superuser_api.get(EVENTS, {"since": "yesterday"}).json()["errors"][0]["field"] == "since"


def test_the_verification_tells_the_head_and_the_first_broken_row(auditor_api, two_teams, tamper):
    answer = auditor_api.get("/api/v1/audit/verification").json()
    assert (answer["ok"], answer["events"], answer["checked"], answer["first_broken"]) == (True, 3, 3, None)
    assert answer["head"]["sequence"] == 3
    tamper("UPDATE audit_auditevent SET actor = 'nobody' WHERE team = %s", "other")
    broken = auditor_api.get("/api/v1/audit/verification").json()
    assert (broken["ok"], broken["first_broken"]["sequence"]) == (False, 2)


@pytest.mark.parametrize("rows", [3, 30])
def test_the_number_of_queries_does_not_grow_with_the_rows(superuser_api, team, count_queries, rows):
    for _ in range(rows):
        record_event(actor=SYSTEM, action="team.tested", subject=team, team=team.name)
    with count_queries("audit-events"):
        assert len(superuser_api.get(EVENTS).json()["results"]) == rows


def test_the_admin_pages_show_the_log_and_offer_no_change(client, superuser, two_teams):
    client.force_login(superuser)
    assert client.get("/admin/audit/auditevent/").status_code == 200
    assert client.get("/admin/audit/auditlink/").status_code == 200
    assert client.get("/admin/audit/auditevent/add/").status_code == 403
