"""Parameters of conversion, without importing any framework."""

from pydantic import Field

from zoo_sdk.operations import OperationParams
from zoo_torch.networks.names import ARCHITECTURE_DESCRIPTION, ArchitectureName


class ExportParams(OperationParams):
    """What all exports of weights take."""

    parity_samples: int = Field(
        64,
        ge=2,
        le=10_000,
        description="Inputs on which the new file must agree with its source: images of `data`, else random pixels.",
    )
    parity_tolerance: float = Field(
        1e-3, gt=0, le=1, description="Largest difference of a logit that is accepted, relative to the largest logit."
    )
    split: str = Field("test", min_length=1, max_length=100, description="Split of `data` for the parity check.")
    architecture: ArchitectureName | None = Field(
        None, description="Only for weights that do not name their own. " + ARCHITECTURE_DESCRIPTION
    )


class ExportOnnxParams(ExportParams):
    """Parameters of ``torch.export_onnx``."""

    opset: int = Field(20, ge=18, le=23, description="ONNX operator set.")


class ExportTorchScriptParams(ExportParams):
    """Parameters of ``torch.export_torchscript``."""


class ExportProgramParams(ExportParams):
    """Parameters of ``torch.export_program``."""
