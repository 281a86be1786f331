"""What conversion can do, as data: importing it imports no framework."""

from zoo_sdk.conversions import ConversionEdge
from zoo_sdk.operations import OperationParams, OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, Precision, RepositoryKind, StrategyKind
from zoo_torch.conversion.params import ExportOnnxParams, ExportProgramParams, ExportTorchScriptParams
from zoo_torch.ports import WEIGHTS


def _export(name: str, target: str, version: int, params: type[OperationParams], summary: str) -> OperationSpec:
    """An export of weights.

    Its edge starts at safetensors only: a pickle becomes those first, by ``torch.import_weights``, which never loads it
    and reports which of its names found a place.
    """
    return OperationSpec(
        name=f"torch.{name}",
        version=version,
        summary=summary,
        params=params,
        implementation=f"zoo_torch.conversion.{name}:run",
        inputs=(
            Port(name="model", formats=WEIGHTS, role=LineageRole.CONVERTED_FROM, description="The weights to convert."),
            Port(
                name="data",
                kind=RepositoryKind.DATASET,
                required=False,
                description="Images for the parity check; without it, random pixels from the job's seed.",
            ),
        ),
        outputs=(Port(name="model", formats=(target,)),),
        resources=Resources(memory_gib=4),
        deterministic=True,
        strategy=StrategyKind.CONVERSION,
        method=target.replace("-", "_"),
        edges=(
            ConversionEdge(
                source="safetensors",
                target=target,
                takes=(Precision.FP32,),
                asks=("architecture",),
                tells=("architecture",),
            ),
        ),
    )


EXPORT_ONNX = _export(
    "export_onnx",
    "onnx",
    2,
    ExportOnnxParams,
    "Convert PyTorch weights to ONNX with a dynamic batch, and check the file in ONNX Runtime.",
)
EXPORT_TORCHSCRIPT = _export(
    "export_torchscript",
    "torchscript",
    1,
    ExportTorchScriptParams,
    "Convert PyTorch weights to a traced TorchScript program with a dynamic batch, and check the file.",
)
EXPORT_PROGRAM = _export(
    "export_program",
    "torch-export",
    1,
    ExportProgramParams,
    "Convert PyTorch weights to a torch.export program (.pt2) with a dynamic batch, and check the file.",
)
