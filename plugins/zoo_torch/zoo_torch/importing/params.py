"""Parameters of the import, without importing any framework."""

from typing import Annotated, Literal

from pydantic import Field

from zoo_sdk.operations import OperationParams
from zoo_torch.networks.names import ARCHITECTURE_DESCRIPTION, ArchitectureName, OptionValue

KeyPart = Annotated[str, Field(min_length=1, max_length=200)]


class ImportWeightsParams(OperationParams):
    """Parameters of ``torch.import_weights``."""

    architecture: ArchitectureName | None = Field(
        None,
        description="The network that the weights are mapped onto; without it they keep their names, and nothing can "
        "be built from them. " + ARCHITECTURE_DESCRIPTION,
    )
    architecture_options: dict[str, OptionValue] = Field(
        default_factory=dict, max_length=10, description="Options of that network, such as img_size."
    )
    part: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_]{1,60}$",
        description="The key of the checkpoint under which the weights are, such as ema; default: a moving "
        "average of the weights if there is one, else the likeliest.",
    )
    renames: dict[KeyPart, Annotated[str, Field(max_length=200)]] = Field(
        default_factory=dict,
        max_length=50,
        description="Beginnings of names to replace before names are compared, longest first: "
        '{"backbone.": "", "head.": "fc."}.',
    )
    leave_out: tuple[KeyPart, ...] = Field(
        (),
        max_length=50,
        description="Patterns (* and ?) of names that the network does not need, such as aux_classifier.*; any other "
        "weight that is left over fails the job.",
    )
    precision: Literal["fp32", "fp16"] | None = Field(
        None, description="Of the stored floating-point weights; default: as they are."
    )
    parity_samples: int = Field(
        16, ge=2, le=1000, description="Inputs on which the network must compute the same from both files."
    )
    split: str = Field("test", min_length=1, max_length=100, description="Split of `data` for the parity check.")
