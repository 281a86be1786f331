"""Making and describing repositories: rights, names, cards, audit."""

import pytest
from pydantic import ValidationError

from tests.zoo_server.factories import make_member, make_team, principal_for
from zoo_sdk.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from zoo_sdk.vocabulary import RepositoryKind, Scope, TeamRole, Visibility
from zoo_server.accounts.models import Team, User
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog import services
from zoo_server.catalog.models import Repository
from zoo_server.rest.principals import SYSTEM, Principal, anonymous

from .conftest import make_repository

CARD = "---\nlicense: apache-2.0\ntags: [vision, int8]\ndate: 2026-01-02\n---\n# ResNet\n"


def test_a_contributor_makes_a_model_and_the_audit_log_knows(team: Team) -> None:
    principal = principal_for(make_member(team, TeamRole.CONTRIBUTOR))
    made = services.create_repository(
        principal=principal, team=team, kind=RepositoryKind.MODEL, name="resnet50", title="ResNet-50", tags=["a", "a"]
    )
    assert (str(made), made.tags, made.visibility) == ("vision/resnet50", ["a"], "internal")
    event = AuditEvent.objects.get(action="repository.created")
    assert (event.actor, event.object_name, event.team) == (principal.name, "vision/resnet50", "vision")


def test_the_server_itself_may_make_one_and_is_its_author(team: Team) -> None:
    assert make_repository(team, principal=SYSTEM).created_by is None


def test_a_reader_may_not_make_one_and_nothing_is_recorded(team: Team) -> None:
    with pytest.raises(PermissionDenied):
        make_repository(team, principal=principal_for(make_member(team, TeamRole.READER)))
    assert not AuditEvent.objects.exists()


def test_a_token_without_write_may_not_make_one(team: Team, member: User) -> None:
    with pytest.raises(PermissionDenied):
        make_repository(team, principal=principal_for(member, [Scope.READ]))


@pytest.mark.parametrize("who", ["member of another team", "nobody"])
def test_for_outsiders_the_team_does_not_exist(team: Team, who: str) -> None:
    outsider = anonymous() if who == "nobody" else principal_for(make_member(make_team("other")))
    with pytest.raises(NotFound):
        make_repository(team, principal=outsider)


def test_a_name_is_taken_once_per_kind(model: Repository, principal: Principal) -> None:
    with pytest.raises(Conflict, match="already a model"):
        make_repository(model.team, model.name, principal=principal)
    make_repository(model.team, model.name, kind=RepositoryKind.DATASET, principal=principal)


@pytest.mark.parametrize("name", ["", "A", "-a", "a/b", "a\n", "a" * 97, "..", "ä"])
def test_a_wrong_name_is_refused(team: Team, principal: Principal, name: str) -> None:
    with pytest.raises(InvalidInput, match="not a valid name"):
        services.create_repository(principal=principal, team=team, kind=RepositoryKind.MODEL, name=name)


@pytest.mark.parametrize(
    ("field", "value"),
    [("title", "x" * 201), ("title", "two\nlines"), ("tags", ["x" * 61]), ("tags", [f"t{n}" for n in range(51)])],
)
def test_a_field_beyond_its_limit_is_refused(team: Team, principal: Principal, field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        make_repository(team, principal=principal, **{field: value})


def test_front_matter_fills_empty_fields_and_is_kept(team: Team, principal: Principal) -> None:
    made = make_repository(team, principal=principal, card=CARD)
    assert (made.licence, made.tags) == ("apache-2.0", ["vision", "int8"])
    assert made.card_metadata["date"] == "2026-01-02"


def test_front_matter_does_not_replace_what_was_said(team: Team, principal: Principal) -> None:
    made = make_repository(team, principal=principal, card=CARD, licence="mit", tags=["mine"])
    assert (made.licence, made.tags) == ("mit", ["mine"])


def test_an_update_changes_what_is_given_only_and_records_both_values(model: Repository, principal: Principal) -> None:
    services.update_repository(principal=principal, repository=model, title="New", visibility=Visibility.PUBLIC)
    services.update_repository(principal=principal, repository=model, task="detection")
    stored = Repository.objects.get(pk=model.pk)
    assert (stored.title, stored.visibility, stored.task) == ("New", "public", "detection")
    event = AuditEvent.objects.filter(action="repository.updated").order_by("id").first()
    assert event is not None
    assert event.details["visibility"] == {"before": "internal", "after": "public"}


def test_an_update_that_changes_nothing_leaves_no_trace(model: Repository, principal: Principal) -> None:
    services.update_repository(principal=principal, repository=model, title=model.title)
    assert not AuditEvent.objects.filter(action="repository.updated").exists()


def test_what_a_new_card_fills_in_is_recorded(model: Repository, principal: Principal) -> None:
    services.update_repository(principal=principal, repository=model, card=CARD)
    details = AuditEvent.objects.get(action="repository.updated").details
    assert details["licence"] == {"before": "", "after": "apache-2.0"}


def test_an_outsider_who_sees_a_model_may_not_update_it(model: Repository) -> None:
    outsider = principal_for(make_member(make_team("other")))
    with pytest.raises(PermissionDenied):
        services.update_repository(principal=outsider, repository=model, title="Mine")


def test_an_outsider_is_not_told_of_a_private_model(private_model: Repository) -> None:
    outsider = principal_for(make_member(make_team("other")))
    with pytest.raises(NotFound):
        services.update_repository(principal=outsider, repository=private_model, title="Mine")
