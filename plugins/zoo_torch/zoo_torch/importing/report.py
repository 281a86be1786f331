"""What an import reports: where the weights came from, and which of them found a place, as JSON beside the weights."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from zoo_sdk.errors import InvalidInput
from zoo_torch.importing.mapping import MappedWeights
from zoo_torch.networks.architectures import Architecture

REPORT_FILE = "import.json"
SHOWN = 5


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Mismatch(_Record):
    """A weight whose shape is not the network's."""

    name: str
    checkpoint: tuple[int, ...]
    network: tuple[int, ...]


class ImportReport(_Record):
    """The file ``import.json``; see :class:`zoo_torch.importing.mapping.MappedWeights` for what the names mean.

    ``renamed``: those matched weights whose names changed, the network's name to the checkpoint's.
    """

    import_weights: Literal[1] = 1
    source: str
    format: str
    layout: str
    part: str | None
    tensors: int
    architecture: Architecture | None = None
    rules: tuple[str, ...] = ()
    matched: tuple[str, ...] = ()
    renamed: dict[str, str] = {}
    missing: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    mismatched: tuple[Mismatch, ...] = ()
    left_out: tuple[str, ...] = ()
    counters: int = 0

    def with_mapping(self, found: MappedWeights) -> Self:
        """The same with what became of the names."""
        return self.model_copy(
            update={
                "architecture": found.architecture,
                "rules": found.rules,
                "matched": tuple(found.origins),
                "renamed": {new: old for new, old in found.origins.items() if new != old},
                "missing": found.missing,
                "unmatched": found.unmatched,
                "mismatched": tuple(
                    Mismatch(name=name, checkpoint=given, network=wanted) for name, given, wanted in found.mismatched
                ),
                "left_out": found.left_out,
                "counters": found.counters,
            }
        )

    def write(self, path: Path) -> None:
        """Write it as JSON; equal reports give equal bytes."""
        path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @property
    def summary(self) -> dict[str, Any]:
        """For the details of the artifact, which every listing carries."""
        counts = {
            name: len(getattr(self, name)) for name in ("matched", "missing", "unmatched", "mismatched", "left_out")
        }
        facts = {"format": self.format, "layout": self.layout, "part": self.part, "tensors": self.tensors}
        return facts | (counts if self.architecture else {})

    def raise_unless_it_fits(self) -> None:
        """Raise :class:`InvalidInput` with the names, where weights are missing, left over or of other shapes."""
        shapes = [f"{item.name} is {list(item.checkpoint)}, not {list(item.network)}" for item in self.mismatched]
        parts = [
            f"{len(names)} {words}: {', '.join(names[:SHOWN])}{' ...' if len(names) > SHOWN else ''}"
            for names, words in (
                (self.missing, "missing"),
                (shapes, "of another shape"),
                (self.unmatched, "that the network does not have"),
            )
            if names
        ]
        if parts and self.architecture:
            raise InvalidInput(
                f"The weights of {self.source} do not fit {self.architecture.name}; of {self.tensors} tensors "
                f"{len(self.matched)} match. {'; '.join(parts)}.",
                hint="Name the architecture that they were trained with; `renames` maps other names, `leave_out` names "
                "what the network does not need.",
                facts={"field": "architecture", "report": self.model_dump(mode="json", exclude={"matched", "renamed"})},
            )
