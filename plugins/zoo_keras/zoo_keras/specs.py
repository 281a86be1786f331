"""What this plugin can do, as data: importing this module imports no framework."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from zoo_sdk.conversions import ConversionEdge
from zoo_sdk.operations import OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, Precision, RepositoryKind, StrategyKind
from zoo_vision import parameters as shared

FORMATS = ("keras-h5", "keras")
Application = Literal[
    "DenseNet121", "DenseNet169", "DenseNet201",
    "EfficientNetB0", "EfficientNetB1", "EfficientNetB2", "EfficientNetB3", "EfficientNetB4", "EfficientNetB5",
    "EfficientNetB6", "EfficientNetB7", "EfficientNetV2B0", "EfficientNetV2B1", "EfficientNetV2B2", "EfficientNetV2B3",
    "EfficientNetV2S", "EfficientNetV2M", "EfficientNetV2L", "InceptionResNetV2", "InceptionV3", "MobileNet",
    "MobileNetV2", "ResNet50", "ResNet101", "ResNet152", "ResNet50V2", "ResNet101V2", "ResNet152V2", "VGG16", "VGG19",
    "Xception",
]  # fmt: skip
Side = Annotated[int, Field(ge=1, le=8192)]


class Architecture(BaseModel):
    """A network of ``keras.applications``, for files that hold weights only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Application = Field(description="The function of keras.applications.")
    input_shape: tuple[Side, Side, Side] | None = Field(
        None, description="Height, width and channels of the input; by default the network's own."
    )
    classes: int | None = Field(None, ge=1, le=100_000, description="Outputs of the classifier; by default 1000.")
    include_top: bool | None = Field(None, description="Whether the weights hold the classifier; by default they do.")
    pooling: Literal["avg", "max"] | None = Field(None, description="What ends a network without classifier.")
    alpha: float | None = Field(None, gt=0, le=4, description="Width of a MobileNet.")


class ExportOnnxParams(shared.ParityParams):
    """Parameters of ``keras.export_onnx``."""

    architecture: Architecture | None = Field(
        None, description="The network, for a file with weights only that comes without its configuration."
    )
    parity_samples: int = Field(64, ge=1, le=100_000, description="Samples that the parity check compares.")
    max_abs_diff: float | None = Field(
        None,
        ge=0,
        le=1e9,
        description="Largest allowed difference of an output; by default 1e-4 of the largest, or of 1 if all "
        "are smaller.",
    )


class EvaluateParams(shared.EvaluateParams):
    """Parameters of ``keras.evaluate``."""

    architecture: Architecture | None = Field(
        None, description="The network, for a file with weights only that comes without its configuration."
    )
    batch: int = Field(64, ge=1, le=4096, description="Samples in a batch.")


class BenchmarkParams(shared.BenchmarkParams):
    """Parameters of ``keras.benchmark``."""

    architecture: Architecture | None = Field(
        None, description="The network, for a file with weights only that comes without its configuration."
    )


MODEL_UNDER_TEST = Port(name="model", formats=FORMATS, measured=True, description="The Keras model under test.")

EXPORT_ONNX = OperationSpec(
    name="keras.export_onnx",
    version=2,
    summary="Convert a Keras h5 or .keras network to ONNX with a dynamic batch, and check that it computes the same.",
    params=ExportOnnxParams,
    implementation="zoo_keras.exporting:run",
    inputs=(
        Port(name="model", formats=FORMATS, role=LineageRole.CONVERTED_FROM, description="The Keras network."),
        Port(
            name="data",
            kind=RepositoryKind.DATASET,
            role=LineageRole.EVALUATED_ON,
            required=False,
            description="Pictures for the parity check; random ones by default.",
        ),
    ),
    outputs=(Port(name="model", formats=("onnx",)),),
    resources=Resources(memory_gib=4, time_limit_seconds=3600),
    deterministic=True,
    strategy=StrategyKind.CONVERSION,
    method="keras_to_onnx",
    edges=tuple(ConversionEdge(source=source, target="onnx", precision=Precision.FP32) for source in FORMATS),
)

EVALUATE = OperationSpec(
    name="keras.evaluate",
    version=3,
    summary="Measure a Keras classifier's accuracy (also per class), calibration, size and MACs in Keras, on torch.",
    params=EvaluateParams,
    implementation="zoo_keras.evaluation:run",
    inputs=(
        MODEL_UNDER_TEST,
        Port(name="data", kind=RepositoryKind.DATASET, role=LineageRole.EVALUATED_ON, description="Labelled pictures."),
        Port(
            name="reference",
            formats=FORMATS,
            required=False,
            description="Another model: how often do both say the same of a picture?",
        ),
    ),
    resources=Resources(memory_gib=4, time_limit_seconds=6 * 3600),
    deterministic=True,
)

BENCHMARK = OperationSpec(
    name="keras.benchmark",
    version=2,
    summary="Measure a Keras model's latency, throughput, load time and memory in Keras, on torch as its backend.",
    params=BenchmarkParams,
    implementation="zoo_keras.benchmark:run",
    inputs=(MODEL_UNDER_TEST,),
    resources=Resources(memory_gib=4, time_limit_seconds=3600),
)
