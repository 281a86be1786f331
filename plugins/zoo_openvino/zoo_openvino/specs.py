"""What this plugin can do, as data: importing this module imports no framework."""

from typing import Literal

from pydantic import Field

from zoo_openvino.quantize_params import QuantizeParams
from zoo_sdk.conversions import ConversionEdge
from zoo_sdk.operations import OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, Precision, RepositoryKind, StrategyKind
from zoo_vision import parameters as shared

PrecisionHint = Literal["f32", "bf16", "f16"]
MODEL_UNDER_TEST = Port(
    name="model", formats=("openvino-ir", "onnx"), measured=True, description="The model under test."
)


class ConvertParams(shared.ParityParams):
    """Parameters of ``openvino.convert``."""

    precision: Literal["fp32", "fp16"] = Field("fp32", description="How the weights are stored.")


class EvaluateParams(shared.BatchedEvaluateParams):
    """Parameters of ``openvino.evaluate``."""

    precision_hint: PrecisionHint = Field("f32", description="What floating-point operations are computed in.")


class BenchmarkParams(shared.BenchmarkParams):
    """Parameters of ``openvino.benchmark``."""

    precision_hint: PrecisionHint = Field("f32", description="What floating-point operations are computed in.")


CONVERT = OperationSpec(
    name="openvino.convert",
    version=3,
    summary="Convert an ONNX model, with one output or several, to OpenVINO IR and check that it computes the same.",
    params=ConvertParams,
    implementation="zoo_openvino.conversion:run",
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
    outputs=(Port(name="model", formats=("openvino-ir",)),),
    resources=Resources(memory_gib=4, time_limit_seconds=3600),
    deterministic=True,
    strategy=StrategyKind.CONVERSION,
    method="onnx_to_openvino_ir",
    edges=tuple(
        ConversionEdge(
            source="onnx",
            target="openvino-ir",
            takes=(Precision.FP32,),
            precision=precision,
            params={"precision": precision.value},
        )
        for precision in (Precision.FP32, Precision.FP16)
    ),
)

QUANTIZE = OperationSpec(
    name="openvino.quantize",
    version=2,
    summary="Quantize a classifier to INT8 with NNCF after training, and check its agreement with the float model.",
    params=QuantizeParams,
    implementation="zoo_openvino.quantization:run",
    inputs=(
        Port(name="model", formats=("onnx", "openvino-ir"), role=LineageRole.BASE, description="The float model."),
        Port(
            name="data",
            kind=RepositoryKind.DATASET,
            role=LineageRole.CALIBRATED_ON,
            description="Pictures to calibrate with, to check the agreement on, and to control the accuracy on.",
        ),
        Port(
            name="pot_config",
            formats=("json", "text"),
            required=False,
            description="A configuration file of OpenVINO's former Post-training Optimization Tool.",
        ),
    ),
    outputs=(Port(name="model", formats=("openvino-ir",)),),
    resources=Resources(memory_gib=8, time_limit_seconds=6 * 3600),
    deterministic=True,
    strategy=StrategyKind.QUANTIZATION,
    method="nncf_post_training_int8",
    edges=tuple(
        ConversionEdge(
            source=source,
            target="openvino-ir",
            cost=50,
            takes=(Precision.FP32, Precision.FP16),
            precision=Precision.INT8,
        )
        for source in ("onnx", "openvino-ir")
    ),
)

EVALUATE = OperationSpec(
    name="openvino.evaluate",
    version=2,
    summary="Measure a classifier's accuracy (also per class), calibration, size, parameters and MACs in OpenVINO.",
    params=EvaluateParams,
    implementation="zoo_openvino.evaluation:run",
    inputs=(
        MODEL_UNDER_TEST,
        Port(name="data", kind=RepositoryKind.DATASET, role=LineageRole.EVALUATED_ON, description="Labelled pictures."),
        Port(
            name="reference",
            formats=("openvino-ir", "onnx"),
            required=False,
            description="Another model: how often do both say the same of a picture?",
        ),
    ),
    resources=Resources(memory_gib=4, time_limit_seconds=6 * 3600),
    deterministic=True,
)

BENCHMARK = OperationSpec(
    name="openvino.benchmark",
    version=2,
    summary="Measure a model's latency, throughput, load time and memory in OpenVINO on this worker.",
    params=BenchmarkParams,
    implementation="zoo_openvino.benchmark:run",
    inputs=(MODEL_UNDER_TEST,),
    resources=Resources(memory_gib=4, time_limit_seconds=3600),
)
