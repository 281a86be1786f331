"""Small operations as workers would register them; the registry never sees the code behind them."""

from typing import Any

from zoo_sdk.operations import OperationManifest, Port, Resources
from zoo_sdk.vocabulary import LineageRole, RepositoryKind, StrategyKind

TRAIN_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "$defs": {
        "Optimizer": {"type": "string", "enum": ["sgd", "adamw"]},
        "Schedule": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"warmup": {"type": "integer", "minimum": 0, "default": 1}, "name": {"type": "string"}},
        },
    },
    "properties": {
        "epochs": {"type": "integer", "minimum": 1, "maximum": 100, "default": 3},
        "temperature": {"type": "number", "exclusiveMinimum": 0, "default": 4.0},
        "optimizer": {"$ref": "#/$defs/Optimizer", "default": "sgd"},
        "limit": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "default": None},
        "schedule": {"$ref": "#/$defs/Schedule", "default": {"warmup": 2}},
        "augment": {"type": "boolean", "default": False},
        "widths": {"type": "array", "items": {"type": "integer", "minimum": 1}, "maxItems": 3},
    },
}
DATA = Port(name="data", kind=RepositoryKind.DATASET, role=LineageRole.TRAINED_ON, description="Labelled images.")


def manifest(name: str, **changes: Any) -> OperationManifest:
    """An operation with the given differences to a plain one without inputs and outputs."""
    fields: dict[str, Any] = {
        "name": name,
        "version": 1,
        "summary": f"What {name} does.",
        "params_schema": TRAIN_SCHEMA,
        "inputs": (),
        "outputs": (),
        "resources": Resources(time_limit_seconds=600),
        "deterministic": True,
        "strategy": None,
        "method": name.split(".", 1)[1],
    }
    return OperationManifest(**(fields | changes))


WEIGHTS = Port(name="model", formats=("safetensors",))
TRAIN = manifest(
    "toy.train",
    inputs=(DATA, Port(name="init", formats=("safetensors",), role=LineageRole.INITIALISED_FROM, required=False)),
    outputs=(WEIGHTS,),
    strategy=StrategyKind.TRAINING,
    method="supervised",
)
DISTILL = manifest(
    "toy.distill",
    inputs=(
        Port(name="student", formats=("safetensors",), role=LineageRole.BASE),
        Port(name="teacher", formats=("safetensors",), role=LineageRole.TEACHER, many=True, weighted=True),
        DATA,
    ),
    outputs=(WEIGHTS,),
    strategy=StrategyKind.DISTILLATION,
    method="kd",
)
CONVERT = manifest(
    "toy.convert",
    inputs=(Port(name="model", formats=("onnx", "safetensors"), role=LineageRole.CONVERTED_FROM),),
    outputs=(WEIGHTS, Port(name="notes", required=False)),
    strategy=StrategyKind.CONVERSION,
)
EVALUATE = manifest(
    "toy.evaluate",
    inputs=(
        Port(name="model", formats=("safetensors",), measured=True),
        Port(name="data", kind=RepositoryKind.DATASET, role=LineageRole.EVALUATED_ON),
    ),
)
NOTHING = manifest("toy.nothing")
ALL = (TRAIN, DISTILL, CONVERT, EVALUATE, NOTHING)
