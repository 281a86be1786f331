"""A version's states: allowed arrows, rights, refusals that name the state, dangerous files."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from tests.zoo_server.factories import make_member, principal_for
from zoo_sdk.errors import Conflict, InvalidInput, PermissionDenied
from zoo_sdk.vocabulary import TeamRole, VersionState
from zoo_server.accounts.models import Team
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog import services
from zoo_server.catalog.models import ARROWS, Repository, StateChange, Version
from zoo_server.rest.principals import SYSTEM, Principal

from .conftest import make_blob, make_draft, make_sealed

ROADS = {
    "draft": (),
    "candidate": ("seal",),
    "approved": ("seal", "approve"),
    "deprecated": ("seal", "approve", "deprecate"),
    "withdrawn": ("seal", "withdraw"),
}
CALLS = {
    "seal": (services.seal_version, VersionState.CANDIDATE),
    "approve": (services.approve_version, VersionState.APPROVED),
    "deprecate": (services.deprecate_version, VersionState.DEPRECATED),
    "withdraw": (services.withdraw_version, VersionState.WITHDRAWN),
}


def bring_to(version: Version, state: str) -> Version:
    for call in ROADS[state]:
        version = CALLS[call][0](principal=SYSTEM, version=version)
    assert version.state == state
    return version


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("state", ROADS)
def test_a_state_moves_along_the_arrows_only(model: Repository, principal: Principal, state: str, call: str) -> None:
    version = bring_to(make_draft(model), state)
    service, after = CALLS[call]
    if after in ARROWS[VersionState(state)]:
        assert service(principal=principal, version=version, comment="because").state == after
        change = StateChange.objects.filter(version=version).order_by("-id")[0]
        assert (change.before, change.after, change.comment) == (state, after, "because")
        assert change.changed_by_id == principal.user_id
        verb = {"candidate": "sealed"}.get(after, after)
        assert AuditEvent.objects.filter(action=f"version.{verb}", object_id=str(version.pk)).exists()
    else:
        events = AuditEvent.objects.count()
        with pytest.raises(Conflict) as caught:
            service(principal=principal, version=version)
        assert caught.value.facts == {"state": state}
        assert f"is {state}" in caught.value.detail
        assert Version.objects.get(pk=version.pk).state == state
        assert AuditEvent.objects.count() == events


@pytest.mark.parametrize("call", ["approve", "deprecate", "withdraw"])
def test_changing_states_after_sealing_needs_a_curator(team: Team, sealed: Version, call: str) -> None:
    engineer = principal_for(make_member(team, TeamRole.ENGINEER))
    with pytest.raises(PermissionDenied):
        CALLS[call][0](principal=engineer, version=sealed)


def test_a_contributor_may_seal_its_own_draft_only(model: Repository, draft: Version) -> None:
    contributor = principal_for(make_member(model.team, TeamRole.CONTRIBUTOR))
    own = make_draft(model, principal=contributor)
    assert services.seal_version(principal=contributor, version=own).state == "candidate"
    with pytest.raises(PermissionDenied, match="write"):
        services.seal_version(principal=contributor, version=draft)


@pytest.mark.django_db(transaction=True)
def test_of_two_concurrent_approvals_one_is_told_that_it_is_approved(sealed: Version) -> None:
    start = Barrier(2)

    def approve(_: int) -> str:
        start.wait()
        try:
            return services.approve_version(principal=SYSTEM, version=sealed).state
        except Conflict as error:
            return f"refused: {error.facts['state']}"
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(approve, range(2))) == ["approved", "refused: approved"]
    assert StateChange.objects.filter(version=sealed, after="approved").count() == 1


def with_finding(model: Repository, severity: str) -> Version:
    version = make_draft(model)
    finding = {"severity": severity, "reason": "calls os.system"}
    blob = make_blob(identified="pickle", findings=[finding])
    services.add_file(principal=SYSTEM, version=version, path="weights.pth", blob=blob)
    return services.seal_version(principal=SYSTEM, version=version)


def test_a_version_with_a_dangerous_file_is_not_approved(model: Repository, principal: Principal) -> None:
    with pytest.raises(Conflict, match=r"weights\.pth.*calls os\.system"):
        services.approve_version(principal=principal, version=with_finding(model, "dangerous"))


def test_a_version_with_a_suspicious_file_may_be_approved(model: Repository, principal: Principal) -> None:
    services.approve_version(principal=principal, version=with_finding(model, "suspicious"))


def test_a_comment_has_a_limit(sealed: Version, principal: Principal) -> None:
    with pytest.raises(InvalidInput, match="comment"):
        services.approve_version(principal=principal, version=sealed, comment="x" * 5001)


def test_equal_content_in_two_versions_has_different_digests(model: Repository) -> None:
    blob = make_blob()
    digests = set()
    for _ in range(2):
        version = services.create_version(principal=SYSTEM, repository=model)
        services.add_file(principal=SYSTEM, version=version, path="a", blob=blob)
        digests.add(services.seal_version(principal=SYSTEM, version=version).digest)
    assert len(digests) == 2


def test_a_stale_copy_of_a_version_does_not_matter(model: Repository, principal: Principal) -> None:
    sealed = make_sealed(model)
    stale = Version.objects.select_related("repository__team").get(pk=sealed.pk)
    services.withdraw_version(principal=principal, version=sealed)
    with pytest.raises(Conflict) as caught:
        services.approve_version(principal=principal, version=stale)
    assert caught.value.facts == {"state": "withdrawn"}
