"""What conversion can do, as data: importing it imports no framework."""

from zoo_sdk.conversions import ConversionEdge
from zoo_sdk.operations import OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, Precision, RepositoryKind, StrategyKind
from zoo_torch.conversion.params import ExportOnnxParams
from zoo_torch.ports import WEIGHTS

EXPORT_ONNX = OperationSpec(
    name="torch.export_onnx",
    version=2,
    summary="Convert PyTorch weights to ONNX with a dynamic batch, and check the file in ONNX Runtime.",
    params=ExportOnnxParams,
    implementation="zoo_torch.conversion.export_onnx:run",
    inputs=(
        Port(name="model", formats=WEIGHTS, role=LineageRole.CONVERTED_FROM, description="The weights to convert."),
        Port(
            name="data",
            kind=RepositoryKind.DATASET,
            required=False,
            description="Images for the parity check; without it, noise from the job's seed.",
        ),
    ),
    outputs=(Port(name="model", formats=("onnx",)),),
    resources=Resources(memory_gib=4),
    deterministic=True,
    strategy=StrategyKind.CONVERSION,
    method="onnx",
    edges=(
        ConversionEdge(source="safetensors", target="onnx", takes=(Precision.FP32,), asks=("architecture",)),
        ConversionEdge(source="pickle", target="onnx", takes=(Precision.FP32,), asks=("architecture",)),
    ),
)
