"""Edges of the conversion graph: consistent with their operation, and plain data for the registry."""

from typing import Any

import pytest
from pydantic import Field, ValidationError

from zoo_sdk.conversions import ConversionEdge, Requirement, Unserved, missing_packages
from zoo_sdk.operations import OperationManifest, OperationParams, OperationSpec, Port


class Params(OperationParams):
    precision: str = Field("fp32", pattern="^fp(16|32)$", description="Precision.")
    architecture: str = Field(max_length=10, description="Which network.")


def spec(*edges: ConversionEdge) -> OperationSpec:
    return OperationSpec(
        name="some.convert",
        version=1,
        summary="Converts.",
        params=Params,
        implementation="some.module:run",
        inputs=(Port(name="model", formats=("onnx",)),),
        outputs=(Port(name="model", formats=("openvino-ir",)),),
        strategy="conversion",
        edges=edges,
    )


def edge(**changes: Any) -> ConversionEdge:
    return ConversionEdge(**({"source": "onnx", "target": "openvino-ir"} | changes))


def test_edges_travel_with_the_manifest() -> None:
    requirement = Requirement(kind="package", name="openvino", reason="it converts")
    made = spec(edge(precision="fp16", params={"precision": "fp16"}, asks=("architecture",), requires=(requirement,)))
    again = OperationManifest.model_validate_json(made.manifest.model_dump_json())
    assert again.edges == made.edges
    assert again.digest == made.manifest.digest != spec().manifest.digest


def test_an_operation_without_edges_has_the_digest_that_it_had_before_there_were_edges() -> None:
    fields = spec().manifest.model_dump(mode="json")
    assert fields.pop("edges") == []
    assert OperationManifest.model_validate(fields).digest == spec().manifest.digest


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"source": "pickle"}, "starts at a format that no input 'model' takes"),
        ({"port": "student"}, "no input 'student' takes"),
        ({"target": "onnx"}, "the first output is not in"),
        ({"params": {"colour": 1}}, "unknown parameters colour"),
        ({"asks": ("size",)}, "unknown parameters size"),
        ({"params": {"precision": "fp8"}}, "wrong values to precision"),
    ],
)
def test_an_edge_that_its_operation_cannot_do_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        spec(edge(**changes))


def test_an_edge_names_known_formats_only() -> None:
    with pytest.raises(Exception, match="onnx"):
        edge(source="onxx")


@pytest.mark.parametrize("fields", [{"kind": "package"}, {"kind": "gpu", "name": "cuda"}])
def test_a_package_has_a_name_and_a_gpu_has_none(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="a package has a name, a GPU has none"):
        Requirement(**fields, reason="it is needed")


def test_packages_that_are_not_installed_are_found_without_importing_anything() -> None:
    needs = [Requirement(kind="package", name=name, reason="so") for name in ("pydantic", "no-such-distribution")]
    gpu = Requirement(kind="gpu", reason="so")
    assert missing_packages([edge(requires=(*needs, gpu)), edge()]) == ["no-such-distribution"]


def test_what_a_worker_cannot_serve_is_plain_data() -> None:
    given = Unserved(operation="some.convert", queue="some.gpu", gpus=1, edges=(edge(),))
    assert Unserved.model_validate(given.model_dump(mode="json")) == given
