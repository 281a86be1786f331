"""A contributor adds and changes nothing that is there; tokens with the scope ``add`` likewise."""

import json

import pytest
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_member, make_user
from zoo_sdk.vocabulary import Scope, TeamRole
from zoo_server.accounts.models import Team
from zoo_server.catalog.models import Repository

from .conftest import hold, make_blob, make_draft, make_sealed

MODEL = "/api/v1/models/vision/added"


@pytest.fixture(params=["contributor", "curator with a token to add"])
def contributor(request: pytest.FixtureRequest, team: Team) -> APIClient:
    if request.param == "contributor":
        return client_for(make_member(team, TeamRole.CONTRIBUTOR, user=make_user("ada")))
    return client_for(make_member(team, TeamRole.CURATOR, user=make_user("ada")), [Scope.READ, Scope.ADD])


def send(client: APIClient, method: str, path: str, body: object = None) -> int:
    content = "" if body is None else json.dumps(body)
    status: int = client.generic(method, path, content, content_type="application/json").status_code
    return status


def test_a_contributor_publishes_a_model_of_its_own(contributor: APIClient, team: Team) -> None:
    digest = hold(team, make_blob()).sha256
    assert send(contributor, "POST", "/api/v1/models", {"team": "vision", "name": "added"}) == 201
    assert send(contributor, "POST", f"{MODEL}/versions", {}) == 201
    one = f"{MODEL}/versions/1"
    for path in ("a", "b"):
        assert send(contributor, "POST", f"{one}/files", {"path": path, "sha256": digest}) == 201
    assert send(contributor, "DELETE", f"{one}/files/b") == 204
    assert send(contributor, "PATCH", one, {"notes": "mine"}) == 200
    assert send(contributor, "POST", f"{one}/seal", {}) == 200
    assert send(contributor, "POST", f"{one}/metrics", {"name": "top1", "value": 71.0}) == 201
    assert send(contributor, "PATCH", MODEL, {"title": "Better"}) == 403
    assert send(contributor, "POST", f"{one}/approve", {}) == 403


def test_a_contributor_adds_a_version_to_a_model_of_others(contributor: APIClient, model: Repository) -> None:
    path = f"/api/v1/models/{model}/versions"
    assert send(contributor, "POST", path, {}) == 201
    assert send(contributor, "DELETE", f"{path}/1") == 204


def test_the_drafts_and_versions_of_others_stay_as_they_are(contributor: APIClient, model: Repository) -> None:
    digest = hold(model.team, make_blob()).sha256
    make_sealed(model)
    draft = f"/api/v1/models/{model}/versions/{make_draft(model).number}"
    assert send(contributor, "PATCH", draft, {"notes": "mine"}) == 403
    assert send(contributor, "DELETE", draft) == 403
    assert send(contributor, "POST", f"{draft}/files", {"path": "a", "sha256": digest}) == 403
    assert send(contributor, "POST", f"{draft}/strategy", {"steps": []}) == 403
    assert send(contributor, "POST", f"{draft}/lineage", {"role": "base", "external_uri": "https://a.example/b"}) == 403
    assert send(contributor, "POST", f"{draft}/seal", {}) == 403
    assert send(contributor, "PATCH", f"/api/v1/models/{model}", {"visibility": "public"}) == 403


def test_what_was_sealed_cannot_be_dropped_by_its_maker(contributor: APIClient, team: Team) -> None:
    digest = hold(team, make_blob()).sha256
    send(contributor, "POST", "/api/v1/models", {"team": "vision", "name": "added"})
    send(contributor, "POST", f"{MODEL}/versions", {})
    send(contributor, "POST", f"{MODEL}/versions/1/files", {"path": "a", "sha256": digest})
    send(contributor, "POST", f"{MODEL}/versions/1/seal", {})
    assert send(contributor, "DELETE", f"{MODEL}/versions/1") == 409
