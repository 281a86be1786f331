"""Makes what a table needs; what was made before with the same settings is taken from a folder."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from bench.methods.making import Making, data_digest, spec_of
from bench.operations import perform
from bench.reporting import say
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import InputItem
from zoo_vision.hardware import processor_name

DISTRIBUTIONS = ("numpy", "torch", "zoo-torch")
MADE = "made.json"
MODEL = Path("outputs/model")


class Provenance(BaseModel):
    """Where, when and by what something was made; ``load``: the load average when it was done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    finished_at: datetime
    seconds: float
    commit: str
    versions: dict[str, str]
    processor: str
    threads: int
    load: float


class Made(BaseModel):
    """What a making left: its measurements, the descriptions of its files, and its provenance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    measured: dict[str, float]
    artifacts: tuple[ArtifactDescription, ...]
    provenance: Provenance


@dataclass(frozen=True)
class Workshop:
    """Makes networks from one data set, below ``cache``, which outlives the run."""

    data: InputItem
    cache: Path
    threads: int

    @property
    def data_digest(self) -> str:
        """Tells data sets apart."""
        assert self.data.dataset is not None
        return data_digest(self.data.reference, self.data.dataset.model_dump_json())

    def digest(self, making: Making) -> str:
        """The making's digest on this data."""
        return making.digest(self.data_digest)

    def has(self, making: Making) -> bool:
        """Whether it was made before."""
        return (self.cache / self.digest(making)[:32] / MADE).is_file()

    def make(self, making: Making, formats: Sequence[str] = ("safetensors",)) -> tuple[Made, InputItem]:
        """What the making makes, from the cache if it was made before; the item is of the first format that it has.

        Raises:
            ZooError: the operation, or one that it starts from, failed.

        """
        digest = self.digest(making)
        folder = self.cache / digest[:32]
        if not (folder / MADE).is_file():
            self._perform(making, self._inputs(making), folder)
        made = Made.model_validate_json((folder / MADE).read_text(encoding="utf-8"))
        artifact = next(item for wanted in formats for item in made.artifacts if item.format == wanted)
        return made, InputItem(reference=f"bench/{digest[:12]}@1", folder=folder / MODEL, artifact=artifact)

    def _inputs(self, making: Making) -> dict[str, tuple[InputItem, ...]]:
        formats = {port.name: port.formats for port in spec_of(making.operation).inputs}
        return {
            port: tuple(
                self.make(source.making, formats[port])[1].model_copy(update={"weight": source.weight})
                for source in sources
            )
            for port, sources in making.inputs.items()
        }

    def _perform(self, making: Making, inputs: Mapping[str, tuple[InputItem, ...]], folder: Path) -> None:
        say(f"{making.operation}, seed {making.seed}: {shown(making.params)}")
        partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
        if any(port.name == "data" for port in spec_of(making.operation).inputs):
            inputs = {**inputs, "data": (self.data,)}
        outcome = perform(
            making.operation, making.params, inputs, folder=partial, seed=making.seed, threads=self.threads
        )
        made = Made(
            measured=dict(outcome.measured),
            artifacts=tuple(outcome.artifacts),
            provenance=provenance(outcome.seconds, self.threads),
        )
        for name in ("scratch", "checkpoints", "shared_cache"):
            shutil.rmtree(partial / name)
        (partial / MADE).write_text(made.model_dump_json(indent=1), encoding="utf-8")
        try:
            partial.rename(folder)
        except OSError:
            # Another session was faster; what it made is the same.
            shutil.rmtree(partial)


def provenance(seconds: float, threads: int) -> Provenance:
    """That of something that is done now."""
    return Provenance(
        finished_at=datetime.now(UTC),
        seconds=round(seconds, 1),
        commit=commit(),
        versions={name: version(name) for name in DISTRIBUTIONS},
        processor=processor_name(),
        threads=threads,
        load=round(os.getloadavg()[0], 2),
    )


def commit() -> str:
    """The commit of the running code; with ``+`` where tracked files differ from it; empty outside a repository."""
    here = Path(__file__).parent
    try:
        command = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
        return subprocess.run(command, cwd=here, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def shown(params: Mapping[str, Any]) -> str:
    """What tells a run from another one to people, on one line."""
    names = ("architecture", "method", "epochs", "importance", "ratio", "weight_bits", "activation_bits")
    return ", ".join(f"{name} = {params[name]}" for name in names if name in params)
