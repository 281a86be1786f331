"""What the bytes of files say: over REST, in the admin, and where a description leaves it out or contradicts it."""

from hashlib import sha256
from io import BytesIO

import pytest
from django.test import Client
from rest_framework.test import APIClient

from tests.zoo_inspection.samples import onnx_bytes
from zoo_inspection import INSPECTOR_VERSION, inspect
from zoo_sdk.artifacts import ArtifactDescription, Signature, TensorSpec
from zoo_sdk.vocabulary import Precision
from zoo_server.accounts.models import Team, User
from zoo_server.artifacts.models import Blob
from zoo_server.catalog import services
from zoo_server.catalog.facts import contradictions, signature_in
from zoo_server.catalog.models import Repository, Version
from zoo_server.rest.principals import SYSTEM

from .conftest import hold, make_blob

ROUTE = "/api/v1/models/vision/resnet50/versions/1"
ONNX = onnx_bytes()
ROWS = [[f"layer{number}", "Conv"] for number in range(5)]


def keep(data: bytes, name: str, **more: object) -> Blob:
    """A blob's row as an upload leaves it; its bytes are in no store."""
    found = inspect(BytesIO(data), name=name)
    fields = {"format": found.format, "facts": found.facts | more, "findings": list(found.findings)}
    digest = f"sha256:{sha256(data).hexdigest()}"
    return Blob.objects.create(sha256=digest, size=len(data), inspector=INSPECTOR_VERSION, **fields)


@pytest.fixture
def network(model: Repository, team: Team) -> Version:
    """A draft with one ONNX file, whose table of layers was made longer."""
    layers = {"count": 900, "columns": ["name", "type"], "rows": ROWS}
    blob = hold(team, keep(ONNX, "model.onnx", layers=layers))
    version = services.create_version(principal=SYSTEM, repository=model)
    services.add_file(principal=SYSTEM, version=version, path="net/model.onnx", blob=blob)
    return version


def declare(version: Version, **fields: object) -> object:
    description = ArtifactDescription(format="onnx", files=("net/model.onnx",), **fields)  # type: ignore[arg-type]
    return services.add_artifact(principal=SYSTEM, version=version, description=description)


def test_a_version_tells_facts_and_findings_of_its_files_without_rows_of_tables(
    network: Version, api: APIClient
) -> None:
    (file,) = api.get(ROUTE).json()["files"]
    assert file["facts"]["inputs"] == [{"name": "x", "dtype": "float32", "shape": [None, 3, 8, 8], "layout": ""}]
    assert (file["facts"]["parameters"], file["facts"]["precision"]) == (108, "fp32")
    assert file["facts"]["layers"] == {"count": 900, "columns": ["name", "type"]}
    assert "rows" not in file["facts"]["weights"]


def test_a_file_has_an_inspection_of_its_own(network: Version, api: APIClient) -> None:
    found = api.get(f"{ROUTE}/inspection/net/model.onnx").json()
    assert (found["format"], found["severity"], found["inspector"]) == ("onnx", None, INSPECTOR_VERSION)
    assert (found["artifact"], found["contradictions"]) == (None, [])
    assert found["facts"]["opsets"]
    assert api.get(f"{ROUTE}/inspection/other.onnx").status_code == 404


def test_the_layers_come_in_pages_and_say_how_many_there_are(network: Version, api: APIClient) -> None:
    first = api.get(f"{ROUTE}/tables/layers/net/model.onnx?limit=3").json()
    assert (first["count"], first["kept"], first["columns"]) == (900, 5, ["name", "type"])
    assert (first["results"], first["next"]) == (ROWS[:3], "3")
    last = api.get(f"{ROUTE}/tables/layers/net/model.onnx?limit=3&cursor=3").json()
    assert (last["results"], last["next"]) == (ROWS[3:], None)


@pytest.mark.parametrize(
    ("tail", "status"),
    [
        ("tables/opsets/net/model.onnx", 404),
        ("tables/layers/net/model.onnx?cursor=x", 422),
        ("tables/layers/net/model.onnx?limit=1000", 422),
    ],
)
def test_no_other_table_and_no_larger_page_is_told(network: Version, api: APIClient, tail: str, status: int) -> None:
    assert api.get(f"{ROUTE}/{tail}").status_code == status


def test_a_private_models_files_are_not_told_of(private_model: Repository, stranger_api: APIClient) -> None:
    version = services.create_version(principal=SYSTEM, repository=private_model)
    services.add_file(principal=SYSTEM, version=version, path="a", blob=make_blob())
    route = "/api/v1/models/vision/secret/versions/1"
    assert stranger_api.get(f"{route}/inspection/a").status_code == 404
    assert stranger_api.get(f"{route}/tables/layers/a").status_code == 404


def test_only_the_first_files_of_a_version_bring_their_facts(model: Repository, team: Team, api: APIClient) -> None:
    version = services.create_version(principal=SYSTEM, repository=model)
    for number in range(34):
        blob = make_blob()
        Blob.objects.filter(pk=blob.pk).update(facts={"parameters": number})
        services.add_file(principal=SYSTEM, version=version, path=f"{number:02}", blob=hold(team, blob))
    told = [file["facts"] for file in api.get(ROUTE).json()["files"]]
    assert [fact is None for fact in told] == [False] * 32 + [True] * 2


def test_a_description_without_signature_and_precision_gets_those_of_the_file(network: Version) -> None:
    artifact = declare(network)
    assert artifact.precision == "fp32"  # type: ignore[attr-defined]
    assert [port["name"] for port in artifact.signature["outputs"]] == ["y"]  # type: ignore[attr-defined]


def test_what_was_declared_stays_and_its_contradictions_are_said(network: Version, api: APIClient) -> None:
    ports = {"inputs": (TensorSpec(name="image", shape=(1, 3)),), "outputs": (TensorSpec(name="y", shape=(7,)),)}
    artifact = declare(network, precision=Precision.INT8, signature=Signature(**ports))
    assert (artifact.precision, artifact.signature["inputs"][0]["name"]) == ("int8", "image")  # type: ignore[attr-defined]
    (told,) = api.get(ROUTE).json()["artifacts"]
    assert told["contradictions"] == [
        "Declared int8, but most weights in net/model.onnx are fp32.",
        "The input 'image' is declared; net/model.onnx has 'x'.",
        "The input 'x' of net/model.onnx is not declared.",
        "The output 'y' is declared float32 [7]; in net/model.onnx it is float32 [?, 4, 6, 6].",
    ]
    assert api.get(f"{ROUTE}/inspection/net/model.onnx").json()["contradictions"] == told["contradictions"]


def test_packed_and_mixed_weights_contradict_no_precision() -> None:
    def said(format_name: str, precision: str) -> list[str]:
        facts = {"precision": "int8"}
        return contradictions(path="m", format_name=format_name, precision=precision, signature=None, facts=facts)

    assert said("onnx", "int4") == said("onnx", "mixed") == said("zoo-integer", "fp32") == []
    assert said("onnx", "fp16") == ["Declared fp16, but most weights in m are int8."]


@pytest.mark.parametrize("port", [{"dtype": ""}, {"shape": None}, {"shape": [1] * 9}, {"name": ""}])
def test_ports_of_which_the_file_says_too_little_make_no_signature(port: dict[str, object]) -> None:
    whole = {"name": "x", "dtype": "float32", "shape": [None, 3], "layout": ""}
    assert signature_in({"inputs": [whole], "outputs": [whole]}) is not None
    assert signature_in({"inputs": [whole | port], "outputs": [whole]}) is None


def test_the_admin_shows_the_inspection_beside_the_file_and_escapes_it(network: Version, superuser: User) -> None:
    blob = Blob.objects.get()
    facts = blob.facts | {"producer": "<script>alert(1)</script>"}
    Blob.objects.update(facts=facts, findings=[{"severity": "suspicious", "reason": "<b>odd</b>"}])
    pages = Client()
    pages.force_login(superuser, backend="django.contrib.auth.backends.ModelBackend")
    beside = pages.get(f"/admin/catalog/version/{network.pk}/change/").content.decode()
    assert "onnx; 108 parameters; fp32; suspicious" in beside
    for address in (
        f"/admin/artifacts/blob/{blob.pk}/change/",
        f"/admin/catalog/versionfile/{network.files.get().pk}/change/",
    ):
        page = pages.get(address).content.decode()
        assert "layers: 900, of which the first 5" in page
        assert "&lt;b&gt;odd&lt;/b&gt;" in page
        assert "<script>alert(1)" not in page
