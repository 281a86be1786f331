"""Parameters of evaluation and benchmark, without importing any framework."""

from pydantic import Field

from zoo_sdk.operations import OperationParams
from zoo_torch.networks.names import ARCHITECTURE_DESCRIPTION, ArchitectureName
from zoo_vision import parameters as shared


class EvaluateParams(OperationParams):
    """Parameters of ``torch.evaluate``."""

    split: str = Field("test", min_length=1, max_length=100, description="Split of the data set.")
    batch_size: int = Field(256, ge=1, le=65_536, description="Samples per forward pass.")
    limit_samples: int | None = Field(
        None, ge=1, le=10**9, description="N samples evenly spread over the split; null: all."
    )
    architecture: ArchitectureName | None = Field(
        None, description="Only for weights in a pickle, which do not name their own. " + ARCHITECTURE_DESCRIPTION
    )


class BenchmarkParams(shared.BenchmarkParams):
    """Parameters of ``torch.benchmark``."""

    architecture: ArchitectureName | None = Field(
        None, description="Only for weights in a pickle, which do not name their own. " + ARCHITECTURE_DESCRIPTION
    )
