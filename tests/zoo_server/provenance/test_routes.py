"""The routes of attestations: who sees what, at a fixed cost."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.zoo_server.catalog.conftest import make_draft, make_repository, make_sealed
from tests.zoo_server.conftest import QueryCounter
from tests.zoo_server.factories import client_for, make_member
from tests.zoo_server.jobs.scenes import make_model
from zoo_sdk.vocabulary import LineageRole, TeamRole, Visibility
from zoo_server.accounts.models import Team
from zoo_server.catalog import services as catalog
from zoo_server.catalog.models import Version
from zoo_server.provenance import selectors
from zoo_server.provenance.models import Attestation, SigningKey
from zoo_server.rest.principals import SYSTEM

from .conftest import Family, attested


def route(version: Version) -> str:
    return f"/api/v1/{version.repository.kind}s/{version.repository}/versions/{version.number}/attestations"


def ancestors(answer: Any) -> list[str]:
    return [item["reference"] for item in answer.json()["ancestors"]]


def test_the_chain_holds_every_ancestor_once_the_nearest_first(key: SigningKey, distilled, api: APIClient):
    family: Family = distilled()
    answer = api.get(route(family.made), {"chain": "true"})
    assert sorted(ancestors(answer)) == ["vision/base@1", "vision/pictures@1", "vision/teacher@1"]
    assert (answer.json()["left_out"], answer.json()["keys"][0]["id"]) == (0, key.pk)
    assert ancestors(api.get(route(family.made))) == []


def test_ancestors_that_were_sealed_a_moment_ago_are_attested_for_whoever_asks(key, team: Team, api: APIClient):
    base = make_model(team, "base")
    child = make_draft(make_repository(team, "child"))
    catalog.add_parent(principal=SYSTEM, version=child, role=LineageRole.BASE, parent=base)
    catalog.seal_version(principal=SYSTEM, version=child)
    assert ancestors(api.get(route(child), {"chain": "true"})) == ["vision/base@1"]


def test_a_private_ancestor_is_shown_to_its_team_only(
    key: SigningKey, distilled, api: APIClient, stranger_api: APIClient, team: Team
):
    family: Family = distilled(visibility=Visibility.PRIVATE)
    catalog.update_repository(principal=SYSTEM, repository=family.made.repository, visibility=Visibility.INTERNAL)
    assert "vision/teacher@1" in ancestors(api.get(route(family.made), {"chain": "true"}))
    seen = stranger_api.get(route(family.made), {"chain": "true"})
    assert sorted(ancestors(seen)) == ["vision/base@1", "vision/pictures@1"]
    assert seen.json()["left_out"] == 0
    assert "teacher@" not in seen.content.decode()
    assert stranger_api.get(route(family.teacher)).status_code == 404


def test_the_public_sees_what_proves_a_public_version_and_nothing_of_others(key, team: Team):
    public = attested(make_model(team, "open", visibility=Visibility.PUBLIC))
    internal = attested(make_model(team, "inside"))
    anonymous = APIClient()
    assert anonymous.get(route(public)).json()["signature"] is not None
    assert anonymous.get(route(internal)).status_code == 404


def test_a_draft_has_nothing_yet(key: SigningKey, team: Team, api: APIClient):
    draft = make_model(team, "draft", sealed=False)
    answer = api.get(route(draft)).json()
    assert (answer["provenance"], answer["signature"], answer["digest"]) == (None, None, "")


def test_a_reader_may_not_ask_for_signatures_and_a_contributor_may(key: SigningKey, team: Team):
    version = make_model(team, "asked")
    reader, contributor = (client_for(make_member(team, role)) for role in (TeamRole.READER, TeamRole.CONTRIBUTOR))
    assert reader.post(route(version)).status_code == 403
    done = contributor.post(route(version))
    assert done.status_code == 200
    assert done.json()["provenance"] is not None
    assert contributor.post(route(version)).json() == done.json()


def test_without_a_key_signing_is_unavailable(keys_folder, team: Team, api: APIClient):
    answer = api.post(route(make_model(team, "early")))
    assert answer.status_code == 503
    assert "signing_key ensure" in answer.json()["hint"]


def test_statements_that_do_not_fit_are_counted(key, distilled, api: APIClient, monkeypatch: pytest.MonkeyPatch):
    family: Family = distilled()
    size = len(bytes(Attestation.objects.get(version=family.base, kind="provenance").payload))
    monkeypatch.setattr(selectors, "MAX_CHAIN_BYTES", size + 10)
    answer = api.get(route(family.made), {"chain": "true"})
    assert (len(ancestors(answer)), answer.json()["left_out"]) == (1, 2)


@pytest.mark.parametrize("rows", [3, 12])
def test_a_chain_costs_as_much_with_many_ancestors(
    key: SigningKey, team: Team, api: APIClient, count_queries: QueryCounter, rows: int
):
    version = make_draft(make_repository(team, "child"))
    for number in range(rows):
        parent = make_sealed(make_repository(team, f"parent-{number}"))
        catalog.add_parent(principal=SYSTEM, version=version, role=LineageRole.TEACHER, parent=parent)
    attested(catalog.seal_version(principal=SYSTEM, version=version))
    with count_queries("attestations"):
        assert len(ancestors(api.get(route(version), {"chain": "true"}))) == rows
