"""Retention policies: their language, their verdicts, and what they delete."""

from datetime import UTC, datetime, timedelta
from textwrap import dedent
from types import SimpleNamespace

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_member, make_team
from zoo_sdk.vocabulary import LineageRole, TeamRole, Visibility
from zoo_server.accounts.models import Team, User
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog import chores, services
from zoo_server.catalog.models import Deletion, Repository, RetentionPolicy, Version
from zoo_server.catalog.retention.document import InvalidPolicy, read_policy
from zoo_server.catalog.retention.planning import plan_retention
from zoo_server.catalog.selectors import keeping
from zoo_server.rest.principals import SYSTEM, Principal

from .conftest import make_draft, make_repository, make_sealed

LAST_TWO = "retention: 1\nrules: [{keep_last: 2}]\n"
ROUTE = "/api/v1/teams/vision/retention"


def verdicts(team: Team, text: str, principal: Principal = SYSTEM) -> dict[str, tuple[bool, str]]:
    plan = plan_retention(principal=principal, team=team, policy=read_policy(text))
    return {str(item.version).partition("/")[2]: (item.goes, item.reason) for item in plan}


def going(team: Team, text: str) -> list[str]:
    return sorted(name for name, (goes, _) in verdicts(team, text).items() if goes)


def age(version: Version, days: int) -> None:
    """Have been sealed so many days ago."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        Version.objects.filter(pk=version.pk).update(sealed_at=timezone.now() - timedelta(days=days))
        cursor.execute("SET LOCAL session_replication_role = origin")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("retention: 1\nrules: []\n", "rules: List should have at least 1 item"),
        ("retention: 2\nrules: [{keep_last: 1}]\n", "retention: Input should be 1"),
        ("retention: 1\nrules: [{names: x}]\n", "a rule without a condition would take everything"),
        ("retention: 1\nrules: [{keep_lats: 1}]\n", "rules.0.keep_lats: Extra inputs are not permitted"),
        ("retention: 1\nrules: [{keep_last: 0}]\n", "rules.0.keep_last"),
        ("retention: 1\nrules: [{keep_last: '3'}]\n", "rules.0.keep_last: Input should be a valid integer"),
        ("retention: 1\nretention: 1\n", "line 2, column 1: the key 'retention' stands twice"),
        ("[", "retention.yaml, line"),
        ("x" * 70_000, "70000 bytes"),
    ],
)
def test_a_wrong_policy_is_refused_with_the_place(text: str, message: str) -> None:
    with pytest.raises(InvalidPolicy, match=message.replace("[", r"\[")) as caught:
        read_policy(text)
    assert "docs/storage.md" in caught.value.hint or "errors" not in caught.value.facts


def test_the_newest_stay_and_each_verdict_has_its_reason(team: Team, model: Repository) -> None:
    for _ in range(4):
        make_sealed(model)
    make_draft(model)
    assert verdicts(team, LAST_TWO) == {
        "resnet50@1": (True, "is not one of the newest 2 (rule 1)"),
        "resnet50@2": (True, "is not one of the newest 2 (rule 1)"),
        "resnet50@3": (False, "is one of the newest 2 (rule 1)"),
        "resnet50@4": (False, "is one of the newest 2 (rule 1)"),
        "resnet50@5": (False, "is a draft"),
    }


def test_both_conditions_of_a_rule_must_hold(team: Team, model: Repository) -> None:
    old, older = make_sealed(model), make_sealed(model)
    for _ in range(2):
        age(make_sealed(model), 100)
    age(old, 100)
    text = "retention: 1\nrules: [{keep_last: 2, older_than_days: 90}]\n"
    found = verdicts(team, text)
    assert found["resnet50@1"] == (True, "is not one of the newest 2 and is older than 90 days (rule 1)")
    assert found[f"resnet50@{older.number}"] == (False, "is not older than 90 days (rule 1)")
    assert found["resnet50@3"] == (False, "is one of the newest 2 (rule 1)")


def test_the_first_rule_about_a_model_decides(team: Team, model: Repository) -> None:
    other = make_repository(team, "vit")
    for repository in (model, other, make_repository(team, "keep-me")):
        make_sealed(repository)
        make_sealed(repository)
    text = dedent("""
        retention: 1
        rules:
          - {names: keep-*, keep_last: 1000}
          - {names: "resnet*", kind: dataset, keep_last: 1}
          - {names: vit, kind: model, keep_last: 1}
    """)
    assert going(team, text) == ["vit@1"]
    assert verdicts(team, text)["resnet50@1"] == (False, "no rule is about it")


def test_what_is_protected_stays(team: Team, model: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    approved, pinned, aliased, used, plain, *_ = [make_sealed(model) for _ in range(7)]
    services.approve_version(principal=SYSTEM, version=approved)
    services.pin_version(principal=SYSTEM, version=pinned)
    services.set_alias(principal=SYSTEM, version=aliased, name="production")
    monkeypatch.setattr(keeping, "_USES", [lambda _: {used.pk: "the running job 7"}])
    found = verdicts(team, LAST_TWO)
    assert {name: reason for name, (goes, reason) in found.items() if not goes and "rule" not in reason} == {
        f"resnet50@{approved.number}": "is approved",
        f"resnet50@{pinned.number}": "is pinned by system",
        f"resnet50@{aliased.number}": "has the alias @production",
        f"resnet50@{used.number}": "is in use by the running job 7",
    }
    assert going(team, LAST_TWO) == [f"resnet50@{plain.number}"]


def derived(repository: Repository, parent: Version) -> Version:
    version = make_draft(repository)
    services.add_parent(principal=SYSTEM, version=version, role=LineageRole.BASE, parent=parent)
    return services.seal_version(principal=SYSTEM, version=version)


def test_an_ancestor_of_what_stays_stays_however_far(team: Team, model: Repository) -> None:
    grandparent = make_sealed(model)
    parent = derived(model, grandparent)
    child = derived(make_repository(team, "slim"), parent)
    make_sealed(model)
    make_sealed(model)
    found = verdicts(team, LAST_TWO)
    assert found[f"resnet50@{grandparent.number}"] == (False, f"is an ancestor of {child}")
    assert found[f"resnet50@{parent.number}"] == (False, f"is an ancestor of {child}")
    services.discard_version(principal=SYSTEM, version=child)
    assert going(team, LAST_TWO) == ["resnet50@1", "resnet50@2"]


def test_an_ancestor_stays_through_a_deleted_link(team: Team, model: Repository) -> None:
    first = make_sealed(model)
    middle = derived(make_repository(team, "middle"), first)
    leaf = derived(make_repository(team, "leaf"), middle)
    services.discard_version(principal=SYSTEM, version=middle)
    make_sealed(model)
    make_sealed(model)
    assert verdicts(team, LAST_TWO)["resnet50@1"] == (False, f"is an ancestor of {leaf}")


def test_a_family_that_goes_whole_keeps_nobody(team: Team, model: Repository) -> None:
    parent = make_sealed(model)
    derived(model, parent)
    for _ in range(2):
        make_sealed(model)
    assert going(team, LAST_TWO) == ["resnet50@1", "resnet50@2"]


def test_a_descendant_that_the_caller_may_not_see_is_not_named(
    team: Team, model: Repository, principal: Principal
) -> None:
    secret = make_repository(make_team("other"), "secret", visibility=Visibility.PRIVATE)
    derived(secret, make_sealed(model))
    make_sealed(model)
    make_sealed(model)
    told = verdicts(team, LAST_TWO, principal)["resnet50@1"]
    assert told == (False, "is an ancestor of a version that you may not see")


def test_a_policy_is_applied_by_deletions_that_can_be_taken_back(team: Team, model: Repository) -> None:
    services.set_retention(principal=SYSTEM, team=team, text=LAST_TWO)
    versions = [make_sealed(model) for _ in range(4)]
    foreign = make_repository(make_team("other"), "x")
    elsewhere = [make_sealed(foreign) for _ in range(3)]
    assert services.apply_retention() == 2
    assert set(Deletion.objects.values_list("version", flat=True)) == {versions[0].pk, versions[1].pk}
    assert "The retention policy of vision: it is not one of the newest 2" in Deletion.objects.first().reason  # type: ignore[union-attr]
    assert services.apply_retention() == 0
    services.restore_version(principal=SYSTEM, version=versions[0])
    assert not Deletion.objects.filter(version__in=elsewhere).exists()
    actions = AuditEvent.objects.order_by("id").values_list("action", flat=True)
    assert [name for name in actions if "retention" in name] == ["retention.set", "retention.applied"]
    assert AuditEvent.objects.get(action="retention.applied").details["versions"] == 2


def test_the_routes_set_show_try_and_remove_a_policy(team: Team, model: Repository, api: APIClient) -> None:
    admin = client_for(make_member(team, TeamRole.ADMIN))
    for _ in range(4):
        make_sealed(model)
    assert api.get(ROUTE).status_code == 404
    wrong = admin.put(ROUTE, {"policy": "retention: 1", "file": "mine.yaml"}, format="json")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid-policy")
    assert wrong.json()["detail"].startswith("mine.yaml is no retention policy: rules: Field required")
    assert admin.put(ROUTE, {"policy": LAST_TWO}, format="json").json()["policy"] == LAST_TWO
    assert api.get(ROUTE).json()["team"] == "vision"

    first = api.post(f"{ROUTE}/preview", {"limit": 3}, format="json").json()
    assert (first["goes"], first["stays"], first["next"]) == (2, 2, 3)
    assert [row["goes"] for row in first["results"]] == [True, True, False]
    rest = api.post(f"{ROUTE}/preview", {"limit": 3, "cursor": 3}, format="json").json()
    assert ([row["reference"] for row in rest["results"]], rest["next"]) == (["vision/resnet50@3"], None)
    tried = {"policy": "retention: 1\nrules: [{keep_last: 1}]"}
    assert api.post(f"{ROUTE}/preview", tried, format="json").json()["goes"] == 3
    assert not Deletion.objects.exists()

    assert api.put(ROUTE, {"policy": LAST_TWO}, format="json").status_code == 403
    assert api.delete(ROUTE).status_code == 403
    assert admin.delete(ROUTE).status_code == 204
    assert not RetentionPolicy.objects.exists()


def test_who_is_no_member_learns_nothing(stranger_api: APIClient, team: Team) -> None:
    services.set_retention(principal=SYSTEM, team=team, text=LAST_TWO)
    assert stranger_api.get(ROUTE).status_code == 404
    assert stranger_api.post(f"{ROUTE}/preview", {}, format="json").status_code == 404


def test_the_admin_page_checks_shows_and_saves(superuser: User, team: Team, model: Repository) -> None:
    pages = Client()
    pages.force_login(superuser, backend="django.contrib.auth.backends.ModelBackend")
    for _ in range(3):
        make_sealed(model)
    add = "/admin/catalog/retentionpolicy/add/"
    assert "no retention policy" in pages.post(add, {"team": team.pk, "text": "rules: 1"}).content.decode()
    assert pages.post(add, {"team": team.pk, "text": LAST_TWO}).status_code == 302
    policy = RetentionPolicy.objects.get(team=team)
    page = pages.get(f"/admin/catalog/retentionpolicy/{policy.pk}/change/").content.decode()
    assert "1 go, 2 stay." in page
    assert "is not one of the newest 2" in page
    changed = pages.post(f"/admin/catalog/retentionpolicy/{policy.pk}/change/", {"text": LAST_TWO.replace("2", "1")})
    assert changed.status_code == 302
    assert pages.post(f"/admin/catalog/retentionpolicy/{policy.pk}/delete/", {"post": "yes"}).status_code == 302
    events = AuditEvent.objects.filter(actor="root", action__startswith="retention.").order_by("id")
    names = events.values_list("action", flat=True)
    assert list(names) == ["retention.set", "retention.set", "retention.removed"]


def test_a_plan_costs_as_much_with_many_versions_as_with_few(team: Team, model: Repository) -> None:
    counts = []
    for rows in (4, 12):
        for _ in range(rows):
            derived(make_repository(team), make_sealed(model))
        with CaptureQueriesContext(connection) as captured:
            assert going(team, LAST_TWO) == []
        counts.append(len(captured))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(("hour", "deleted"), [(2, 0), (3, 1), (4, 0)])
def test_the_chore_applies_policies_at_night_only(
    team: Team, model: Repository, monkeypatch: pytest.MonkeyPatch, hour: int, deleted: int
) -> None:
    for _ in range(3):
        make_sealed(model)
    services.set_retention(principal=SYSTEM, team=team, text=LAST_TWO)
    night = SimpleNamespace(now=lambda: datetime(2026, 11, 24, hour, 30, tzinfo=UTC))
    monkeypatch.setattr(chores, "timezone", night)
    assert chores.apply_retention() == deleted
