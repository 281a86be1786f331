"""What a search reports: every step, what each candidate achieved, and the sub-networks that it found, as JSON."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.narrowing import LayerName, Width, Widths

REPORT_FILE = "search.json"
MAX_REPORT_BYTES = 64 * 2**20
MAX_GROUPS = 10_000

GroupWidths = Annotated[dict[LayerName, Width], Field(max_length=MAX_GROUPS)]
"""Width by group; the others are whole."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figures(_Record):
    """What a network costs, and achieves on the held-out pictures after its statistics were computed anew."""

    macs: int
    top1: float
    loss: float


class Step(_Record):
    """``group`` lost its last bin and is ``width`` wide now; ``candidates``: what each group's removal would give."""

    group: LayerName
    width: Width
    figures: Figures
    candidates: Annotated[dict[LayerName, Figures], Field(max_length=MAX_GROUPS)]


class Found(_Record):
    """A sub-network: the first on the way that meets its target.  ``steps``: how many were taken until then."""

    target_macs: int
    target_ratio: float | None
    file: str
    figures: Figures
    steps: int
    widths: GroupWidths
    layers: Widths

    def architecture_in(self, supernet: Architecture) -> Architecture:
        """This sub-network of a supernet, which may be a narrowed network itself."""
        return supernet.model_copy(update={"widths": {**(supernet.widths or {}), **self.layers}})


class GroupFacts(_Record):
    """A group of layers of one width, and the widths that were tried."""

    channels: Width
    options: tuple[Width, ...]
    outputs: tuple[LayerName, ...]
    inputs: tuple[LayerName, ...]


class SearchReport(_Record):
    """The file ``search.json``."""

    autoslim_search: Literal[1] = 1
    supernet: str
    architecture: Architecture
    held_out_samples: int
    calibration_samples: int
    whole: Figures
    groups: Annotated[dict[LayerName, GroupFacts], Field(max_length=MAX_GROUPS)]
    steps: tuple[Step, ...]
    found: tuple[Found, ...]

    def write(self, path: Path) -> None:
        """Write the file; equal searches give equal bytes."""
        path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, item: InputItem) -> Self:
        """Read an input's main file; raises :class:`InvalidInput`."""
        path = item.main_file
        if (size := path.stat().st_size) > MAX_REPORT_BYTES:
            raise InvalidInput(f"{item.reference}: {path.name} has {size:,} bytes, too many for a search's report.")
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidInput(
                f"{item.reference}: {path.name} is not the report of a search: "
                f"{'.'.join(map(str, first['loc']))}: {first['msg']}.",
                hint="Give a version that torch.slim_search made.",
                facts={"field": "search"},
            ) from error

    def choose(self, target_macs: int | None, target_ratio: float | None) -> Found:
        """The sub-network for that target, or the only one; raises :class:`InvalidInput` that lists the targets."""
        chosen = [
            found
            for found in self.found
            if (target_macs is None or found.target_macs == target_macs)
            and (target_ratio is None or found.target_ratio == target_ratio)
        ]
        if len(chosen) == 1:
            return chosen[0]
        wanted = target_macs if target_ratio is None else target_ratio
        targets = ", ".join(
            f"{found.target_macs:,}" + (f" (ratio {found.target_ratio:g})" if found.target_ratio else "")
            for found in self.found
        )
        has = "several sub-networks" if wanted is None else f"no sub-network for the target {wanted}"
        raise InvalidInput(
            f"The search has {has}; its targets are {targets} multiply-accumulate operations.",
            hint="Give target_macs or target_ratio as the search was given it.",
            facts={"field": "target_macs" if target_ratio is None else "target_ratio"},
        )
