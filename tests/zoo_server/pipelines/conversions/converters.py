"""Conversions as a worker would register them, for the tests of the planner."""

from typing import Any

from tests.zoo_server.jobs.manifests import manifest
from zoo_sdk.conversions import ConversionEdge, Requirement
from zoo_sdk.operations import OperationManifest, Port
from zoo_sdk.vocabulary import LineageRole, RepositoryKind, StrategyKind

PLAN, CONVERSIONS = "/api/v1/conversions/plan", "/api/v1/conversions"
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "precision": {"type": "string", "enum": ["fp32", "fp16"], "default": "fp32"},
        "opset": {"type": "integer", "minimum": 18, "maximum": 23, "default": 20},
    },
}
DATA = Port(name="data", kind=RepositoryKind.DATASET, role=LineageRole.CALIBRATED_ON, description="Pictures.")


def converter(name: str, source: str, target: str, *edges: ConversionEdge, **changes: Any) -> OperationManifest:
    return manifest(
        name,
        params_schema=SCHEMA,
        inputs=(
            Port(name="model", formats=(source,), role=LineageRole.CONVERTED_FROM, description="The model."),
            *changes.pop("more", ()),
        ),
        outputs=(Port(name="model", formats=(target,)),),
        strategy=StrategyKind.CONVERSION,
        edges=edges or (ConversionEdge(source=source, target=target),),
        **changes,
    )


EXPORT = converter("toy.export", "safetensors", "onnx")
# The hands of these tests make safetensors, whatever is asked of them; so the second step ends there, too.
BACK = converter(
    "toy.back",
    "onnx",
    "safetensors",
    ConversionEdge(source="onnx", target="safetensors", precision="fp16", params={"precision": "fp16"}),
)
QUANTIZE = converter(
    "toy.quantize",
    "onnx",
    "openvino-ir",
    ConversionEdge(source="onnx", target="openvino-ir", precision="int8"),
    more=(DATA,),
)
FAST = converter(
    "toy.fast",
    "safetensors",
    "openvino-ir",
    ConversionEdge(
        source="safetensors",
        target="openvino-ir",
        cost=1,
        requires=(
            Requirement(kind="gpu", reason="it builds for the device at hand"),
            Requirement(kind="package", name="fastconv", reason="it does the work"),
        ),
    ),
)
