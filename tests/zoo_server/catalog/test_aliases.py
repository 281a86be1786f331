"""Aliases move, and their history stays."""

import pytest
from django.db import IntegrityError, connection, transaction

from tests.zoo_server.factories import make_member, principal_for
from zoo_sdk.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from zoo_sdk.vocabulary import TeamRole
from zoo_server.accounts.models import Team
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog import selectors, services
from zoo_server.catalog.models import Alias, AliasMove, Repository, Version
from zoo_server.rest.principals import SYSTEM, Principal

from .conftest import make_draft, make_sealed


def test_an_alias_moves_and_remembers_where_it_was(model: Repository, principal: Principal) -> None:
    first, second = make_sealed(model), make_sealed(model)
    for version in (first, second, second):
        services.set_alias(principal=principal, version=version, name="production")
    services.remove_alias(principal=principal, repository=model, name="production")
    services.set_alias(principal=principal, version=first, name="production")
    page = selectors.alias_history(repository=model, name="production", cursor=None, limit=10)
    moves = [(move.before and move.before.number, move.after and move.after.number) for move in page.rows]
    assert moves == [(None, 1), (2, None), (1, 2), (None, 1)]
    assert [move.moved_by_id for move in page.rows] == [principal.user_id] * 4
    assert AuditEvent.objects.filter(action="alias.moved").count() == 3
    assert AuditEvent.objects.filter(action="alias.removed").count() == 1


def test_the_history_of_an_alias_is_append_only(sealed: Version) -> None:
    services.set_alias(principal=SYSTEM, version=sealed, name="production")
    for sql in ("DELETE FROM catalog_aliasmove", "UPDATE catalog_aliasmove SET name = 'x'"):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)
    assert AliasMove.objects.count() == 1


def test_an_alias_never_points_to_a_draft_or_a_withdrawn_version(model: Repository, principal: Principal) -> None:
    withdrawn = services.withdraw_version(principal=SYSTEM, version=make_sealed(model))
    for version, state in ((make_draft(model), "draft"), (withdrawn, "withdrawn")):
        with pytest.raises(Conflict) as caught:
            services.set_alias(principal=principal, version=version, name="production")
        assert caught.value.facts == {"state": state}
    assert not Alias.objects.exists()


@pytest.mark.parametrize("name", ["latest", "7", "007", "", "A", "a b", "a/b", "@a", "a\n", "a" * 97])
def test_a_name_that_would_be_ambiguous_or_malformed_is_refused(
    sealed: Version, principal: Principal, name: str
) -> None:
    with pytest.raises(InvalidInput):
        services.set_alias(principal=principal, version=sealed, name=name)


def test_moving_an_alias_needs_a_curator(team: Team, sealed: Version) -> None:
    engineer = principal_for(make_member(team, TeamRole.ENGINEER))
    with pytest.raises(PermissionDenied):
        services.set_alias(principal=engineer, version=sealed, name="production")
    services.set_alias(principal=SYSTEM, version=sealed, name="production")
    with pytest.raises(PermissionDenied):
        services.remove_alias(principal=engineer, repository=sealed.repository, name="production")


def test_removing_an_alias_that_is_not_there_is_an_error(model: Repository, principal: Principal) -> None:
    with pytest.raises(NotFound):
        services.remove_alias(principal=principal, repository=model, name="production")
