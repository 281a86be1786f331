"""Bills of materials fit their schemas, tell what is known, and name nothing that the caller may not see."""

import io
import json
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from rest_framework.test import APIClient
from spdx_python_model import v3_0_1 as spdx

from tests.zoo_server.conftest import QueryCounter
from tests.zoo_server.jobs.scenes import make_dataset, make_model, owner_of
from zoo_sdk.vocabulary import LineageRole, MetricSource, Visibility
from zoo_server.accounts.models import Team
from zoo_server.catalog import services as catalog
from zoo_server.catalog.models import Version
from zoo_server.provenance.boms import parts as bom_parts_module
from zoo_server.rest.principals import SYSTEM

from .conftest import Family


@pytest.fixture
def family(distilled) -> Family:
    made: Family = distilled(visibility=Visibility.PRIVATE)
    repository = catalog.update_repository(
        principal=SYSTEM, repository=made.made.repository, visibility=Visibility.INTERNAL, licence="Apache-2.0",
        task="image-classification", architecture="resnet50", title="A <b>small</b> network",
    )  # fmt: skip
    made.made.repository = repository
    return made


def bom_of(api: APIClient, version: Version, bom_format: str) -> Any:
    kind = version.repository.kind
    answer = api.get(f"/api/v1/{kind}s/{version.repository}/versions/{version.number}/bom?format={bom_format}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def checked_cyclonedx(document: Any) -> Any:
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document))
    assert fault is None, str(fault)[:2000]
    return document


def checked_spdx(document: Any) -> spdx.SHACLObjectSet:
    """Read again by the SPDX model, which checks types, enumerations and cardinalities."""
    found = spdx.SHACLObjectSet()
    spdx.JSONLDDeserializer().read(io.StringIO(json.dumps(document)), found)
    assert found.missing_ids == set()
    return found


def test_the_cyclonedx_document_fits_its_schema_and_tells_the_pedigree(family: Family, api: APIClient):
    document = checked_cyclonedx(bom_of(api, family.made, "cyclonedx"))
    model = document["metadata"]["component"]
    assert (document["specVersion"], model["type"]) == ("1.6", "machine-learning-model")
    assert (model["group"], model["name"], model["version"]) == ("vision", "slim", "1")
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert model["hashes"] == [{"alg": "SHA-256", "content": family.made.digest.removeprefix("sha256:")}]
    (file,) = model["components"]
    assert (file["type"], file["name"]) == ("file", "model.safetensors")
    ancestors = {item["properties"][0]["value"]: item for item in model["pedigree"]["ancestors"]}
    assert {role: item["name"] for role, item in ancestors.items()} == {
        "base": "vision/base",
        "teacher": "vision/teacher",
    }
    assert {"name": "zoo:weight", "value": "2"} in ancestors["teacher"]["properties"]


def test_the_model_card_has_task_data_sets_metrics_and_strategy(family: Family, api: APIClient):
    document = bom_of(api, family.made, "cyclonedx")
    card = document["metadata"]["component"]["modelCard"]
    (data,) = document["components"]
    assert (data["type"], data["name"]) == ("data", "vision/pictures")
    assert card["modelParameters"]["task"] == "image-classification"
    assert card["modelParameters"]["modelArchitecture"] == "resnet50"
    assert card["modelParameters"]["datasets"] == [{"ref": data["bom-ref"]}]
    (metric,) = card["quantitativeAnalysis"]["performanceMetrics"]
    assert (metric["type"], metric["value"]) == ("top1", "91.5")
    assert metric["slice"] == "vision/pictures@1, test, torch, measured"
    assert [item["value"] for item in card["properties"]] == ["pretraining: supervised", "distillation: kd"]


def test_the_spdx_document_fits_the_model_and_tells_the_same(family: Family, api: APIClient):
    found = checked_spdx(bom_of(api, family.made, "spdx"))
    package = found.find_by_id(f"urn:uuid:{family.made.pk}")
    assert isinstance(package, spdx.ai_AIPackage)
    assert (package.name, package.software_packageVersion) == ("vision/slim", "1")
    assert list(package.ai_domain) == ["image-classification"]
    assert {entry.key: entry.value for entry in package.ai_hyperparameter}["epochs"] == "5"
    assert [entry.value for entry in package.ai_metric] == ["91.5"]
    relations = {
        relation.relationshipType.rpartition("/")[2]: sorted(item.name for item in relation.to if item.name)
        for relation in found.foreach_type(spdx.Relationship)
        if relation.from_ is package
    }
    assert relations == {
        "contains": ["model.safetensors"],
        "descendantOf": ["vision/base", "vision/teacher"],
        "trainedOn": ["vision/pictures"],
        "hasDeclaredLicense": [],
    }
    (document,) = found.foreach_type(spdx.SpdxDocument)
    assert len(document.profileConformance) == 5


@pytest.mark.parametrize("bom_format", ["cyclonedx", "spdx"])
def test_a_parent_that_the_caller_may_not_see_is_not_named(
    family: Family, api: APIClient, stranger_api: APIClient, bom_format: str
):
    assert "vision/teacher" in json.dumps(bom_of(api, family.made, bom_format))
    document = bom_of(stranger_api, family.made, bom_format)
    text = json.dumps(document)
    assert "teacher" not in text.replace('"teacher"', "").replace("role: teacher", "").replace("#teacher", "")
    assert str(family.teacher.pk) not in text
    assert family.teacher.digest.removeprefix("sha256:") not in text
    assert "(hidden)" in text
    (checked_cyclonedx if bom_format == "cyclonedx" else checked_spdx)(document)


@pytest.mark.parametrize("bom_format", ["cyclonedx", "spdx"])
def test_an_uncommon_licence_external_parents_and_odd_names_fit_too(team: Team, api: APIClient, bom_format: str):
    version = make_model(team, "odd", sealed=False)
    owner = owner_of(team)
    catalog.update_repository(principal=owner, repository=version.repository, licence="our own, (c) 2026", title='"<é>')
    uri = "https://example.org/weights?a=1&b=%20"
    for role in (LineageRole.BASE, LineageRole.TEACHER):
        catalog.add_parent(principal=owner, version=version, role=role, external_uri=uri)
    catalog.seal_version(principal=owner, version=version)
    document = bom_of(api, version, bom_format)
    assert uri in json.dumps(document)
    assert "our own, (c) 2026" in json.dumps(document)
    (checked_cyclonedx if bom_format == "cyclonedx" else checked_spdx)(document)


@pytest.mark.parametrize("bom_format", ["cyclonedx", "spdx"])
def test_a_data_set_and_a_draft_have_one_too(team: Team, api: APIClient, bom_format: str):
    check = checked_cyclonedx if bom_format == "cyclonedx" else checked_spdx
    check(bom_of(api, make_dataset(team), bom_format))
    check(bom_of(api, make_model(team, "draft", sealed=False), bom_format))


@pytest.mark.parametrize("bom_format", ["cyclonedx", "spdx"])
def test_the_same_state_gives_the_same_document(family: Family, api: APIClient, bom_format: str):
    assert bom_of(api, family.made, bom_format) == bom_of(api, family.made, bom_format)


def test_files_beyond_the_limit_are_counted(team: Team, api: APIClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bom_parts_module, "MAX_FILES", 1)
    document = bom_of(api, make_model(team, "many", "onnx", "safetensors"), "cyclonedx")
    model = document["metadata"]["component"]
    assert len(model["components"]) == 1
    assert {"name": "zoo:files-left-out", "value": "1"} in model["properties"]


def test_another_format_is_refused(family: Family, api: APIClient):
    assert api.get("/api/v1/models/vision/slim/versions/1/bom?format=xml").status_code == 422


@pytest.mark.parametrize("rows", [3, 12])
def test_a_bill_costs_as_much_for_many_parents_and_metrics(
    team: Team, api: APIClient, count_queries: QueryCounter, rows: int
):
    version, owner = make_model(team, "child", sealed=False), owner_of(team)
    data = make_dataset(team)
    for number in range(rows):
        parent = make_model(team, f"parent-{number}")
        catalog.add_parent(principal=owner, version=version, role=LineageRole.TEACHER, parent=parent)
        catalog.add_metric(
            principal=owner, version=version, name="top1", value=number, source=MetricSource.REPORTED, dataset=data
        )
    catalog.seal_version(principal=owner, version=version)
    with count_queries("bom"):
        bom_of(api, version, "cyclonedx")
