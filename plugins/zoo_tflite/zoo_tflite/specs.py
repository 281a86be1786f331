"""What this plugin can do, as data: importing this module imports no framework."""

from typing import Literal

from pydantic import Field

from zoo_sdk.conversions import ConversionEdge
from zoo_sdk.operations import OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, Precision, RepositoryKind, StrategyKind
from zoo_vision import parameters as shared

MODEL_UNDER_TEST = Port(name="model", formats=("tflite",), measured=True, description="The TFLite model under test.")


class ConvertParams(shared.ParityParams):
    """Parameters of ``tflite.convert``."""

    precision: Literal["fp32", "fp16"] = Field("fp32", description="How the weights are stored.")
    batch: int = Field(1, ge=1, le=256, description="Samples that the new model takes at once; its shapes are fixed.")
    parity_samples: int = Field(64, ge=1, le=100_000, description="Samples that the parity check compares.")


class EvaluateParams(shared.EvaluateParams):
    """Parameters of ``tflite.evaluate``."""


class BenchmarkParams(shared.TimingParams):
    """Parameters of ``tflite.benchmark``; the batch is the file's own."""


CONVERT = OperationSpec(
    name="tflite.convert",
    version=2,
    summary="Convert an ONNX network of convolutions to TensorFlow Lite and check that it computes the same.",
    params=ConvertParams,
    implementation="zoo_tflite.conversion:run",
    inputs=(
        Port(name="model", formats=("onnx",), role=LineageRole.CONVERTED_FROM, description="The ONNX model."),
        Port(
            name="data",
            kind=RepositoryKind.DATASET,
            role=LineageRole.EVALUATED_ON,
            required=False,
            description="Pictures for the parity check; random ones by default.",
        ),
    ),
    outputs=(Port(name="model", formats=("tflite",)),),
    resources=Resources(memory_gib=4, time_limit_seconds=3600),
    deterministic=True,
    strategy=StrategyKind.CONVERSION,
    method="onnx_to_tflite",
    edges=tuple(
        ConversionEdge(
            source="onnx",
            target="tflite",
            takes=(Precision.FP32,),
            precision=precision,
            params={"precision": precision.value},
        )
        for precision in (Precision.FP32, Precision.FP16)
    ),
)

EVALUATE = OperationSpec(
    name="tflite.evaluate",
    version=3,
    summary="Measure a TFLite classifier's accuracy (also per class), calibration, size and MACs, float or quantised.",
    params=EvaluateParams,
    implementation="zoo_tflite.evaluation:run",
    inputs=(
        MODEL_UNDER_TEST,
        Port(name="data", kind=RepositoryKind.DATASET, role=LineageRole.EVALUATED_ON, description="Labelled pictures."),
        Port(
            name="reference",
            formats=("tflite",),
            required=False,
            description="Another model: how often do both say the same of a picture?",
        ),
    ),
    resources=Resources(memory_gib=4, time_limit_seconds=6 * 3600),
    deterministic=True,
)

BENCHMARK = OperationSpec(
    name="tflite.benchmark",
    version=2,
    summary="Measure a TFLite model's latency, throughput, load time and memory on this worker.",
    params=BenchmarkParams,
    implementation="zoo_tflite.benchmark:run",
    inputs=(MODEL_UNDER_TEST,),
    resources=Resources(memory_gib=4, time_limit_seconds=3600),
)
