"""What the import can do, as data: importing it imports no framework."""

from collections.abc import Iterator

from zoo_sdk.conversions import ConversionEdge
from zoo_sdk.operations import OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, Precision, RepositoryKind, StrategyKind
from zoo_torch.importing.params import ImportWeightsParams

SOURCES = ("pickle", "oneflow", "safetensors")
ARCHITECTURE = ("architecture",)


def _edges() -> Iterator[ConversionEdge]:
    """With an architecture, what comes out names its own; without one, foreign weights only become safe to load."""
    to = "safetensors"
    for source in SOURCES:
        yield ConversionEdge(source=source, target=to, asks=ARCHITECTURE, tells=ARCHITECTURE)
        yield ConversionEdge(
            source=source,
            target=to,
            takes=(Precision.FP16, Precision.BF16),
            precision=Precision.FP32,
            params={"precision": "fp32"},
            asks=ARCHITECTURE,
            tells=ARCHITECTURE,
        )
        yield ConversionEdge(
            source=source,
            target=to,
            cost=15,
            takes=(Precision.FP32,),
            precision=Precision.FP16,
            params={"precision": "fp16"},
            asks=ARCHITECTURE,
            tells=ARCHITECTURE,
        )
    for source in ("pickle", "oneflow"):
        yield ConversionEdge(source=source, target=to, cost=12)


IMPORT_WEIGHTS = OperationSpec(
    name="torch.import_weights",
    version=1,
    summary="Turn a checkpoint of PyTorch, YOLOv5 or OneFlow into safetensors without unpickling it, and map its names "
    "onto an architecture.",
    params=ImportWeightsParams,
    implementation="zoo_torch.importing.operation:run",
    inputs=(
        Port(
            name="model",
            formats=SOURCES,
            role=LineageRole.CONVERTED_FROM,
            description="A checkpoint: pth, pth.tar, pt (zip or from before torch 1.6), OneFlow, or safetensors.",
        ),
        Port(
            name="data",
            kind=RepositoryKind.DATASET,
            required=False,
            description="Images for the parity check; without it, random pixels.",
        ),
    ),
    outputs=(Port(name="model", formats=("safetensors", "json")),),
    resources=Resources(memory_gib=4),
    deterministic=True,
    strategy=StrategyKind.CONVERSION,
    method="import_weights",
    edges=tuple(_edges()),
)
