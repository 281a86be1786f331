"""What this plugin can do, as data: importing this module imports no framework."""

from typing import Literal

from pydantic import Field

from zoo_sdk.operations import OperationParams, OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, RepositoryKind, StrategyKind

PrecisionHint = Literal["f32", "bf16", "f16"]
MODEL_UNDER_TEST = Port(
    name="model", formats=("openvino-ir", "onnx"), measured=True, description="The model under test."
)


class ConvertParams(OperationParams):
    """Parameters of ``openvino.convert``."""

    precision: Literal["fp32", "fp16"] = Field("fp32", description="How the weights are stored.")
    parity_split: str = Field("test", min_length=1, max_length=100, description="Split that the parity check reads.")
    parity_samples: int = Field(256, ge=1, le=100_000, description="Samples that the parity check compares.")
    max_abs_diff: float | None = Field(
        None,
        ge=0,
        le=1e9,
        description="Largest allowed difference of an output; by default 1e-4 (fp32) or 1e-2 (fp16) of the largest "
        "output, or of 1 if all are smaller.",
    )
    min_agreement: float = Field(99.0, ge=0, le=100, description="Smallest allowed agreement of the top class, in %.")


class QuantizeParams(OperationParams):
    """Parameters of ``openvino.quantize``: NNCF's post-training quantization to INT8."""

    split: str = Field("train", min_length=1, max_length=100, description="Split that the calibration reads.")
    samples: int = Field(300, ge=1, le=100_000, description="Samples to calibrate with, drawn with the job's seed.")
    preset: Literal["performance", "mixed"] = Field(
        "performance", description="performance: symmetric activations; mixed: asymmetric where that is more exact."
    )
    fast_bias_correction: bool = Field(
        default=False, description="True: quicker, but small networks may lose most of a point of accuracy by it."
    )
    model_type: Literal["transformer"] | None = Field(None, description="Scheme for a family of architectures.")
    ignored_names: tuple[str, ...] = Field((), max_length=1000, description="Operations to leave in floating point.")
    ignored_types: tuple[str, ...] = Field(
        (), max_length=100, description="Operation types to leave in floating point."
    )
    parity_split: str | None = Field(
        None,
        max_length=100,
        description="Split that the parity check reads; by default test, or split if there is none.",
    )
    parity_samples: int = Field(1000, ge=1, le=100_000, description="Samples that the parity check compares.")
    min_agreement: float = Field(95.0, ge=0, le=100, description="Smallest allowed agreement of the top class, in %.")


class EvaluateParams(OperationParams):
    """Parameters of ``openvino.evaluate``."""

    split: str = Field("test", min_length=1, max_length=100, description="Split of the data set to evaluate on.")
    batch: int = Field(64, ge=1, le=4096, description="Samples in a batch; a model with a fixed batch uses its own.")
    limit: int | None = Field(
        None, ge=1, le=10**9, description="Evaluate so many samples, evenly spread over the split; all by default."
    )
    precision_hint: PrecisionHint = Field("f32", description="What floating-point operations are computed in.")


class BenchmarkParams(OperationParams):
    """Parameters of ``openvino.benchmark``."""

    batch: int = Field(1, ge=1, le=4096, description="Samples in a batch.")
    threads: int | None = Field(None, ge=1, le=1024, description="Threads; by default all that the worker gives.")
    seconds: float = Field(5.0, gt=0, le=600, description="Time to measure for.")
    warmup: int = Field(10, ge=0, le=10_000, description="Runs before the clock starts.")
    precision_hint: PrecisionHint = Field("f32", description="What floating-point operations are computed in.")


CONVERT = OperationSpec(
    name="openvino.convert",
    version=1,
    summary="Convert an ONNX classifier to OpenVINO IR and check that it computes the same.",
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
)

QUANTIZE = OperationSpec(
    name="openvino.quantize",
    version=1,
    summary="Quantize a classifier to INT8 with NNCF after training, and check its agreement with the float model.",
    params=QuantizeParams,
    implementation="zoo_openvino.quantization:run",
    inputs=(
        Port(name="model", formats=("onnx", "openvino-ir"), role=LineageRole.BASE, description="The float model."),
        Port(
            name="data",
            kind=RepositoryKind.DATASET,
            role=LineageRole.CALIBRATED_ON,
            description="Pictures to calibrate with and to check the agreement on.",
        ),
    ),
    outputs=(Port(name="model", formats=("openvino-ir",)),),
    resources=Resources(memory_gib=8, time_limit_seconds=6 * 3600),
    deterministic=True,
    strategy=StrategyKind.QUANTIZATION,
    method="nncf_post_training_int8",
)

EVALUATE = OperationSpec(
    name="openvino.evaluate",
    version=1,
    summary="Measure a classifier's accuracy, size, parameters and multiply-accumulates in OpenVINO.",
    params=EvaluateParams,
    implementation="zoo_openvino.evaluation:run",
    inputs=(
        MODEL_UNDER_TEST,
        Port(name="data", kind=RepositoryKind.DATASET, role=LineageRole.EVALUATED_ON, description="Labelled pictures."),
    ),
    resources=Resources(memory_gib=4, time_limit_seconds=6 * 3600),
    deterministic=True,
)

BENCHMARK = OperationSpec(
    name="openvino.benchmark",
    version=1,
    summary="Measure a model's latency and throughput in OpenVINO on this worker.",
    params=BenchmarkParams,
    implementation="zoo_openvino.benchmark:run",
    inputs=(MODEL_UNDER_TEST,),
    resources=Resources(memory_gib=4, time_limit_seconds=3600),
)
