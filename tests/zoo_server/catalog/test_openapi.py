"""The catalogue in the OpenAPI document: both kinds, every route, the bodies that the routes take."""

import pytest
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator

from zoo_server.catalog.api.urls import ROUTES


@pytest.fixture(scope="module")
def document() -> dict:
    GENERATOR_STATS.reset()
    made = SchemaGenerator().get_schema(request=None, public=True)
    complaints = [line for line in GENERATOR_STATS._warn_cache if "catalog" in str(line)]
    assert complaints == []
    return made


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_every_route_is_there_with_an_operation_for_each_method(document: dict, kind: str) -> None:
    for tail, view, _ in ROUTES:
        path = f"/api/v1/{kind}{tail}".replace("<str:", "{").replace("<path:", "{").replace(">", "}")
        operations = {method.upper(): body["operationId"] for method, body in document["paths"][path].items()}
        assert operations == {method: f"{kind}_{name}" for method, name in view.operations.items()}
        assert set(view.operations) == set(view.scopes)


def test_bodies_are_closed_and_only_changes_are_partial(document: dict) -> None:
    def body(path: str, method: str) -> dict:
        content = document["paths"][f"/api/v1/models{path}"][method]["requestBody"]["content"]
        return document["components"]["schemas"][content["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]]

    creation = body("", "post")
    assert creation["required"] == ["team", "name"]
    assert creation["additionalProperties"] is False
    assert "required" not in body("/{team}/{name}", "patch")
    assert body("/{team}/{name}/versions/{ref}/metrics", "post")["required"] == ["name", "value"]
