"""Finished runs on disk: one JSON line each, appended at once, so that nothing done is lost or done again."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.methods.workshop import Provenance
from bench.reporting import say


class Times(BaseModel):
    """Median ms of one batch in each round: the network's own, and its baseline's in the same run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    own: tuple[float, ...]
    baseline: tuple[float, ...]


class Record(BaseModel):
    """One arm with one seed.  ``digest``: of the settings of everything behind it; ``latency``: by batch size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arm: str
    seed: int
    digest: str
    measured: dict[str, float]
    latency: dict[int, Times]
    provenance: Provenance


class Ledger:
    """The records of one table, by arm and seed; of several with the same settings the newest counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records = {(record.arm, record.seed, record.digest): record for record in _read(path)}

    def find(self, arm: str, seed: int, digest: str) -> Record | None:
        """The record of that run, if it was made with these very settings."""
        return self._records.get((arm, seed, digest))

    def add(self, record: Record) -> None:
        """Keep a record, on disk before this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.exists() and not self.path.read_text(encoding="utf-8").endswith("\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" if unfinished else "")
            file.write(json.dumps(record.model_dump(mode="json"), sort_keys=True) + "\n")
        self._records[record.arm, record.seed, record.digest] = record

    def current(self, digests: Mapping[tuple[str, int], str]) -> list[Record]:
        """The records of these arms and seeds, as far as they were made with these settings."""
        found = (self.find(arm, seed, digest) for (arm, seed), digest in digests.items())
        return [record for record in found if record is not None]


def _read(path: Path) -> Iterable[Record]:
    if not path.exists():
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            yield Record.model_validate_json(line)
        except ValidationError:
            # The last line of a run that was killed while it wrote; the run is simply missing.
            say(f"{path.name}, line {number} is not a record and is left out")
