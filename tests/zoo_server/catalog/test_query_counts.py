"""The number of SQL statements of each route is pinned and does not grow with the rows."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from tests.zoo_server.conftest import QueryCounter
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.vocabulary import LineageRole, MetricSource
from zoo_server.accounts.models import Team
from zoo_server.catalog import services
from zoo_server.catalog.descriptions import StepDescription
from zoo_server.catalog.models import Repository, Version
from zoo_server.rest.principals import SYSTEM

from .conftest import hold, make_blob, make_draft, make_repository, make_sealed

MODEL = "/api/v1/models/vision/resnet50"


def furnish(version: Version, rows: int, dataset: Version) -> Version:
    """Seal a draft with ``rows`` of everything that a version has."""
    steps = [StepDescription(kind="training", method=f"step {row}") for row in range(rows)]
    services.set_strategy(principal=SYSTEM, version=version, steps=steps)
    for row in range(rows):
        path = f"extra-{row}"
        services.add_file(principal=SYSTEM, version=version, path=path, blob=make_blob())
        description = ArtifactDescription(format="safetensors", files=(path,))
        artifact = services.add_artifact(principal=SYSTEM, version=version, description=description)
        parent = make_sealed(make_repository(version.repository.team))
        services.add_parent(principal=SYSTEM, version=version, role=LineageRole.TEACHER, parent=parent)
        services.add_metric(
            principal=SYSTEM,
            version=version,
            name="top1",
            value=row,
            source=MetricSource.REPORTED,
            dataset=dataset,
            artifact=artifact,
        )
    services.seal_version(principal=SYSTEM, version=version)
    for row in range(rows):
        services.set_alias(principal=SYSTEM, version=version, name=f"alias-{row}")
    return version


@pytest.fixture
def grow(team: Team, model: Repository, dataset: Repository) -> object:
    """Make a repository, a version, and rows of everything in that version."""
    data = make_draft(dataset, "images")

    def growing(rows: int) -> None:
        for _ in range(rows):
            make_repository(team)
            services.set_alias(principal=SYSTEM, version=make_sealed(model), name="moving")
        furnish(make_draft(model), rows, data)

    return growing


READS = {
    "models-list": "/api/v1/models",
    "models-list-by-metric": "/api/v1/models?sort=-metric:top1",
    "models-list-search": "/api/v1/models?search=model",
    "models-list-filtered": "/api/v1/models?state=candidate&format=safetensors&alias=moving&tag=x",
    "models-detail": MODEL,
    "models-versions": f"{MODEL}/versions",
    "models-version": f"{MODEL}/versions/NUMBER",
    "models-version-by-alias": f"{MODEL}/versions/@alias-0",
    "models-lineage": f"{MODEL}/versions/NUMBER/lineage",
    "models-metrics": f"{MODEL}/versions/NUMBER/metrics",
    "models-aliases": f"{MODEL}/aliases",
    "models-alias": f"{MODEL}/aliases/moving",
    "models-alias-history": f"{MODEL}/aliases/moving/history",
    "datasets-list": "/api/v1/datasets",
    "datasets-version": "/api/v1/datasets/vision/pictures/versions/1",
    "metric-definitions": "/api/v1/metric-definitions",
}


def test_reading_costs_as_much_with_many_rows_as_with_few(
    api: APIClient, grow: object, model: Repository, count_queries: QueryCounter
) -> None:
    counts: list[dict[str, int]] = []
    for rows in (3, 12):
        grow(rows)
        number = Version.objects.filter(repository=model).latest("number").number
        counts.append({})
        for name, path in READS.items():
            with CaptureQueriesContext(connection) as captured, count_queries(name):
                assert api.get(path.replace("NUMBER", str(number))).status_code == 200
            counts[-1][name] = len(captured)
    assert counts[0] == counts[1]


def test_holders_are_found_at_a_fixed_cost(api: APIClient, model: Repository, count_queries: QueryCounter) -> None:
    blob = make_blob()
    for _ in range(9):
        services.add_file(principal=SYSTEM, version=make_draft(model), path="x", blob=blob)
    with count_queries("versions-with-digest"):
        assert len(api.get("/api/v1/versions", {"sha256": blob.sha256}).json()["results"]) == 9


WRITES = {
    "models-create": ("post", "/api/v1/models", {"team": "vision", "name": "new"}),
    "models-update": ("patch", MODEL, {"title": "x"}),
    "models-version-create": ("post", f"{MODEL}/versions", {}),
    "models-version-update": ("patch", f"{MODEL}/versions/1", {"notes": "x"}),
    "models-version-delete": ("delete", f"{MODEL}/versions/1", None),
    "models-file-add": ("post", f"{MODEL}/versions/1/files", {"path": "x", "sha256": "HELD"}),
    "models-file-remove": ("delete", f"{MODEL}/versions/1/files/model.safetensors", None),
    "models-artifact-add": (
        "post",
        f"{MODEL}/versions/1/artifacts",
        {"format": "safetensors", "files": ["model.safetensors"]},
    ),
    "models-parent-add": ("post", f"{MODEL}/versions/1/lineage", {"role": "base", "parent": "vision/resnet50@2"}),
    "models-strategy-set": (
        "post",
        f"{MODEL}/versions/1/strategy",
        {"steps": [{"kind": "training", "method": str(number)} for number in range(20)]},
    ),
    "models-metric-report": ("post", f"{MODEL}/versions/1/metrics", {"name": "top1", "value": 1}),
    "models-seal": ("post", f"{MODEL}/versions/1/seal", {}),
    "models-approve": ("post", f"{MODEL}/versions/2/approve", {}),
    "models-withdraw": ("post", f"{MODEL}/versions/2/withdraw", {}),
    "models-alias-set": ("put", f"{MODEL}/aliases/production", {"version": 2}),
    "models-alias-remove": ("delete", f"{MODEL}/aliases/staging", None),
}


@pytest.mark.parametrize("name", WRITES)
def test_writing_has_a_pinned_cost(
    api: APIClient, team: Team, model: Repository, count_queries: QueryCounter, name: str
) -> None:
    make_draft(model)
    services.set_alias(principal=SYSTEM, version=make_sealed(model), name="staging")
    method, path, body = WRITES[name]
    if body and body.get("sha256") == "HELD":
        body = body | {"sha256": hold(team, make_blob()).sha256}
    with count_queries(name):
        answer = getattr(api, method)(path, body, format="json")
    assert answer.status_code in {200, 201, 204}, answer.content
