"""What this plugin can do, as data: importing this module imports no framework."""

from pydantic import Field

from zoo_sdk.conversions import ConversionEdge
from zoo_sdk.operations import OperationParams, OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, Precision, StrategyKind


class ExportOnnxParams(OperationParams):
    """Parameters of ``darknet.export_onnx``."""

    fold: bool = Field(
        default=False,
        description="True: batch normalisation becomes part of the convolutions' weights; false: it stays a layer.",
    )
    parity_samples: int = Field(2, ge=1, le=10_000, description="Random pictures that the parity check compares.")
    max_abs_diff: float | None = Field(
        None,
        ge=0,
        le=1e9,
        description="Largest allowed difference of an output; by default 1e-4 of the largest, or of 1 if all are "
        "smaller.",
    )


EXPORT_ONNX = OperationSpec(
    name="darknet.export_onnx",
    version=2,
    summary="Convert a Darknet network (cfg and weights) to ONNX with a dynamic batch, its detection heads raw.",
    params=ExportOnnxParams,
    implementation="zoo_darknet.exporting:run",
    inputs=(
        Port(
            name="model",
            formats=("darknet",),
            role=LineageRole.CONVERTED_FROM,
            description="One .cfg and one .weights file, as one artifact.",
        ),
    ),
    outputs=(Port(name="model", formats=("onnx",)),),
    resources=Resources(memory_gib=4, time_limit_seconds=3600),
    deterministic=True,
    strategy=StrategyKind.CONVERSION,
    method="darknet_to_onnx",
    edges=(ConversionEdge(source="darknet", target="onnx", precision=Precision.FP32),),
)
