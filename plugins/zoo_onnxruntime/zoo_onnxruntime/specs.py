"""What this plugin can do, as data: importing this module imports no framework."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from zoo_sdk.conversions import ConversionEdge
from zoo_sdk.operations import OperationParams, OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, Precision, RepositoryKind, StrategyKind
from zoo_vision.parameters import BatchedEvaluateParams, BenchmarkParams, ParityParams

MODEL = Port(name="model", formats=("onnx",), measured=True, description="The ONNX model under test.")


class EvaluateParams(BatchedEvaluateParams):
    """Parameters of ``onnxruntime.evaluate``."""


def _independent_of_hardware(level: object) -> object:
    if level in {"all", "layout"}:
        raise ValueError(
            f"{level!r} optimises for the processor at hand, and the file would be slow or unusable elsewhere: "
            "choose basic or extended; ONNX Runtime does the rest when it opens the file"
        )
    return level


class OptimiseParams(ParityParams):
    """Parameters of ``onnxruntime.optimise``."""

    level: Annotated[Literal["basic", "extended"], BeforeValidator(_independent_of_hardware)] = Field(
        "basic",
        description="basic: folds and merges standard operations; extended: also uses ONNX Runtime's own operations, "
        "which other runtimes may not read. Optimisations for one processor are refused.",
    )


class ConvertFp16Params(ParityParams):
    """Parameters of ``onnxruntime.convert_fp16``."""

    keep_io_types: bool = Field(default=True, description="Leave the model's input and output in float32.")
    kept_names: tuple[str, ...] = Field((), max_length=1000, description="Nodes to leave in float32.")
    kept_types: tuple[str, ...] = Field(
        (), max_length=100, description="Operation types to leave in float32, beside those that have no half precision."
    )


class ConvertOpsetParams(ParityParams):
    """Parameters of ``onnxruntime.convert_opset``."""

    target_opset: int = Field(ge=7, le=1000, description="Version of the standard operator set to convert to.")


class QuantizeParams(OperationParams):
    """Parameters of ``onnxruntime.quantize``: static post-training quantization to INT8."""

    split: str = Field("train", min_length=1, max_length=100, description="Split that the calibration reads.")
    samples: int = Field(300, ge=1, le=100_000, description="Samples to calibrate with, drawn with the job's seed.")
    calibration: Literal["minmax", "entropy", "percentile"] = Field(
        "minmax",
        description="How a range is chosen: all values seen; the one that loses least information; "
        "or all but the outermost values.",
    )
    percentile: float = Field(
        99.99, ge=50, le=100, description="Share of values inside the range, in %; for calibration = percentile."
    )
    per_channel: bool = Field(default=True, description="A scale for each output channel of a weight.")
    activations: Literal["asymmetric", "symmetric"] = Field(
        "asymmetric", description="Whether the range of an activation is centred on zero."
    )
    activation_type: Literal["uint8", "int8"] = Field("uint8", description="Integers that hold activations.")
    weight_type: Literal["int8", "uint8"] = Field("int8", description="Integers that hold weights.")
    reduce_range: bool = Field(
        default=True,
        description="Seven bits for weights: without INT8 dot products (VNNI), as on many processors, eight overflow. "
        "False only if every processor that will run the file has them.",
    )
    excluded_names: tuple[str, ...] = Field(
        (), max_length=1000, description="Nodes to leave in floating point; one without a name by its first output."
    )
    excluded_types: tuple[str, ...] = Field(
        (), max_length=100, description="Operation types to leave in floating point."
    )
    parity_split: str | None = Field(
        None,
        max_length=100,
        description="Split that the parity check reads; by default test, or split if there is none.",
    )
    parity_samples: int = Field(1000, ge=1, le=100_000, description="Samples that the parity check compares.")
    min_agreement: float = Field(95.0, ge=0, le=100, description="Smallest allowed agreement of the top class, in %.")

    @model_validator(mode="after")
    def _known_combination(self) -> Self:
        if (self.activation_type, self.weight_type) == ("int8", "uint8"):
            raise ValueError("ONNX Runtime has no kernels for int8 activations with uint8 weights")
        return self


EVALUATE = OperationSpec(
    name="onnxruntime.evaluate",
    version=2,
    summary="Measure a classifier's accuracy (also per class), calibration, size, parameters and MACs in ONNX Runtime.",
    params=EvaluateParams,
    implementation="zoo_onnxruntime.evaluation:run",
    inputs=(
        MODEL,
        Port(name="data", kind=RepositoryKind.DATASET, role=LineageRole.EVALUATED_ON, description="Labelled pictures."),
        Port(
            name="reference",
            formats=("onnx",),
            required=False,
            description="Another model: how often do both say the same of a picture?",
        ),
    ),
    resources=Resources(memory_gib=4, time_limit_seconds=6 * 3600),
    deterministic=True,
)

BENCHMARK = OperationSpec(
    name="onnxruntime.benchmark",
    version=2,
    summary="Measure an ONNX model's latency, throughput, load time and memory in ONNX Runtime on this worker.",
    params=BenchmarkParams,
    implementation="zoo_onnxruntime.benchmark:run",
    inputs=(MODEL,),
    resources=Resources(memory_gib=4, time_limit_seconds=3600),
)

_PARITY_DATA = Port(
    name="data",
    kind=RepositoryKind.DATASET,
    role=LineageRole.EVALUATED_ON,
    required=False,
    description="Pictures for the parity check; random ones by default.",
)
_ONNX_SOURCE = Port(name="model", formats=("onnx",), role=LineageRole.CONVERTED_FROM, description="The ONNX model.")
_ONNX_MADE = Port(name="model", formats=("onnx",))

OPTIMISE = OperationSpec(
    name="onnxruntime.optimise",
    version=1,
    summary="Apply ONNX Runtime's graph optimisations once, and check that the result computes the same.",
    params=OptimiseParams,
    implementation="zoo_onnxruntime.optimisation:run",
    inputs=(_ONNX_SOURCE, _PARITY_DATA),
    outputs=(_ONNX_MADE,),
    resources=Resources(memory_gib=4, time_limit_seconds=3600),
    deterministic=True,
    strategy=StrategyKind.CONVERSION,
    method="onnx_optimised",
    edges=(ConversionEdge(source="onnx", target="onnx", cost=5, takes=(Precision.FP32, Precision.FP16)),),
)

CONVERT_FP16 = OperationSpec(
    name="onnxruntime.convert_fp16",
    version=1,
    summary="Convert an ONNX model to half precision, and check that it computes nearly the same.",
    params=ConvertFp16Params,
    implementation="zoo_onnxruntime.half_precision:run",
    inputs=(_ONNX_SOURCE, _PARITY_DATA),
    outputs=(_ONNX_MADE,),
    resources=Resources(memory_gib=4, time_limit_seconds=3600),
    deterministic=True,
    strategy=StrategyKind.CONVERSION,
    method="onnx_fp16",
    edges=(ConversionEdge(source="onnx", target="onnx", takes=(Precision.FP32,), precision=Precision.FP16, cost=12),),
)

CONVERT_OPSET = OperationSpec(
    name="onnxruntime.convert_opset",
    version=1,
    summary="Convert an ONNX model to another operator set, and check that it computes the same.",
    params=ConvertOpsetParams,
    implementation="zoo_onnxruntime.opsets:run",
    inputs=(_ONNX_SOURCE, _PARITY_DATA),
    outputs=(_ONNX_MADE,),
    resources=Resources(memory_gib=4, time_limit_seconds=3600),
    deterministic=True,
    strategy=StrategyKind.CONVERSION,
    method="onnx_opset",
    edges=(ConversionEdge(source="onnx", target="onnx", asks=("target_opset",)),),
)

QUANTIZE = OperationSpec(
    name="onnxruntime.quantize",
    version=1,
    summary="Quantize an ONNX classifier to INT8 after training (QDQ), and check its agreement with the float model.",
    params=QuantizeParams,
    implementation="zoo_onnxruntime.quantization:run",
    inputs=(
        Port(name="model", formats=("onnx",), role=LineageRole.BASE, description="The float model."),
        Port(
            name="data",
            kind=RepositoryKind.DATASET,
            role=LineageRole.CALIBRATED_ON,
            description="Pictures to calibrate with and to check the agreement on.",
        ),
    ),
    outputs=(_ONNX_MADE,),
    resources=Resources(memory_gib=8, time_limit_seconds=6 * 3600),
    deterministic=True,
    strategy=StrategyKind.QUANTIZATION,
    method="onnxruntime_static_int8",
    edges=(ConversionEdge(source="onnx", target="onnx", cost=50, takes=(Precision.FP32,), precision=Precision.INT8),),
)
