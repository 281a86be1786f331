"""The whole story of a version: all that the caller may see, and nothing else, at a fixed cost."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.zoo_server.conftest import QueryCounter
from tests.zoo_server.jobs.scenes import make_model, owner_of
from zoo_sdk.vocabulary import LineageRole, MetricSource, Visibility
from zoo_server.accounts.models import Team, User
from zoo_server.catalog import services as catalog
from zoo_server.catalog.models import Version
from zoo_server.provenance import story
from zoo_server.provenance.models import SigningKey
from zoo_server.rest.principals import SYSTEM, Principal

from .conftest import Family


def told(api: APIClient, version: Version) -> Any:
    answer = api.get(f"/api/v1/models/{version.repository}/versions/{version.number}/provenance")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_the_story_goes_from_the_data_over_the_job_to_the_version_with_every_decision(
    key: SigningKey, distilled, api: APIClient, principal: Principal, member: User
):
    family: Family = distilled()
    catalog.approve_version(principal=principal, version=family.made, comment="Good enough.")
    catalog.set_alias(principal=principal, version=family.made, name="production")
    found = told(api, family.made)
    first = found["versions"][0]
    assert (first["reference"], first["state"], first["attested_by"]) == ("vision/slim@1", "approved", key.pk)
    decisions = [(item["what"], item["by"], item["comment"]) for item in first["decisions"]]
    assert decisions == [
        ("sealed", member.username, ""),
        ("approved", member.username, "Good enough."),
        ("alias @production", member.username, ""),
    ]
    job = first["job"]
    assert (job["operation"], job["seed"], job["by"], job["worker"]) == ("toy.distill", 7, member.username, "box-1")
    assert job["params"]["epochs"] == 5
    assert [(item["name"], item["value"], item["source"]) for item in first["metrics"]] == [("top1", 91.5, "measured")]
    assert {item["reference"] for item in found["versions"][1:]} == {
        "vision/base@1", "vision/teacher@1", "vision/pictures@1",
    }  # fmt: skip
    edges = {edge["role"]: (edge["child"], edge["parent"], edge["weight"]) for edge in found["edges"]}
    assert edges["teacher"] == (str(family.made.pk), str(family.teacher.pk), 2.0)
    assert edges["trained_on"][1] == str(family.data.pk)


def test_a_stranger_hears_nothing_of_private_parents_and_of_the_teams_jobs(
    distilled, api: APIClient, stranger_api: APIClient
):
    family: Family = distilled(visibility=Visibility.PRIVATE)
    catalog.update_repository(principal=SYSTEM, repository=family.made.repository, visibility=Visibility.INTERNAL)
    found = told(stranger_api, family.made)
    assert "vision/teacher@1" not in str(found)
    assert [edge["reference"] for edge in found["edges"] if edge["role"] == "teacher"] == ["(hidden)"]
    job = found["versions"][0]["job"]
    assert job["id"] == str(family.job.pk)
    assert {value for name, value in job.items() if name != "id"} == {None}
    assert stranger_api.get("/api/v1/models/vision/teacher/versions/1/provenance").status_code == 404


def test_external_weights_are_told_by_their_address(team: Team, api: APIClient):
    version, owner = make_model(team, "tuned", sealed=False), owner_of(team)
    catalog.add_parent(
        principal=owner, version=version, role=LineageRole.BASE, external_uri="https://example.org/weights.pt"
    )
    (edge,) = told(api, version)["edges"]
    assert (edge["parent"], edge["reference"]) == ("https://example.org/weights.pt", None)


def test_more_ancestors_than_an_answer_holds_are_said_to_be_there(
    distilled, api: APIClient, monkeypatch: pytest.MonkeyPatch
):
    family: Family = distilled()
    monkeypatch.setattr(story, "MAX_ANCESTORS", 2)
    found = told(api, family.made)
    assert (len(found["versions"]), found["truncated"]) == (3, True)


@pytest.mark.parametrize("rows", [3, 12])
def test_a_story_costs_as_much_with_many_ancestors(
    key: SigningKey, team: Team, api: APIClient, count_queries: QueryCounter, rows: int
):
    owner = owner_of(team)
    child = make_model(team, "m0")
    for number in range(1, rows):
        version = make_model(team, f"m{number}", sealed=False)
        catalog.add_parent(principal=owner, version=version, role=LineageRole.BASE, parent=child)
        catalog.add_metric(principal=owner, version=version, name="top1", value=number, source=MetricSource.REPORTED)
        child = catalog.seal_version(principal=owner, version=version)
    with count_queries("provenance"):
        assert len(told(api, child)["versions"]) == rows
