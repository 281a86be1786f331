"""Does what a table still lacks, one arm and seed after the other, until it is complete or the time is up."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.methods.latency import measure_times
from bench.methods.making import Making
from bench.methods.records import Ledger, Record, Times
from bench.methods.tables import Arm, MethodTable
from bench.methods.workshop import Made, Workshop
from bench.operations import size_of
from bench.reporting import say
from zoo_sdk.errors import ZooError


@dataclass(frozen=True)
class Filling:
    """One table, its records and what makes them."""

    table: MethodTable
    ledger: Ledger
    workshop: Workshop
    seeds: Sequence[int]
    failures: list[str] = field(default_factory=list)
    """What went wrong in this session; it is not kept, so the next session tries again."""

    def digests(self) -> dict[tuple[str, int], str]:
        """Every wanted run with the digest of its settings."""
        return {
            (arm.name, seed): self.workshop.digest(arm.making(seed)) for seed in self.seeds for arm in self.table.arms
        }

    def missing(self) -> list[tuple[Arm, int]]:
        """Runs without a record: for each seed all arms, so that an unfinished table is a balanced one."""
        return [
            (self.table.arm(name), seed)
            for (name, seed), digest in self.digests().items()
            if self.ledger.find(name, seed, digest) is None
        ]

    def fill(self, deadline: float) -> None:
        """Run what is missing; no run begins after ``deadline`` (of :func:`time.monotonic`)."""
        missing = self.missing()
        for number, (arm, seed) in enumerate(missing, 1):
            if time.monotonic() >= deadline:
                say(f"{self.table.name}: the time is up, {len(missing) - number + 1} runs are left")
                return
            try:
                record = self._run(arm, seed)
            except ZooError as error:
                self.failures.append(f"{arm.name}, seed {seed}: {error}")
                say(f"{self.table.name}: failed: {self.failures[-1]}")
                continue
            self.ledger.add(record)
            say(f"{self.table.name} {number} of {len(missing)}: {arm.name}, seed {seed}: {_result(record)}")

    def _run(self, arm: Arm, seed: int) -> Record:
        making = arm.making(seed)
        made, item = self.workshop.make(making)
        baseline = self.workshop.make(self.table.arm(arm.baseline).making(seed))[1] if arm.baseline else None
        # The operation measures the size of each of its files; the table is about the weights that go on.
        measured = {**made.measured, "size_bytes": float(size_of(item))}
        made = made.model_copy(update={"measured": measured})
        return self._record(arm.name, making, made, measure_times(item, baseline) if arm.timed else {})

    def teachers(self) -> list[Record]:
        """Of the teachers that were made so far: the arms make them when they need them."""
        found = []
        for making in self.table.teachers:
            name, digest = f"teacher {making.params['architecture']}", self.workshop.digest(making)
            record = self.ledger.find(name, making.seed, digest)
            if record is None and self.workshop.has(making):
                record = self._record(name, making, self.workshop.make(making)[0], {})
                self.ledger.add(record)
            found += [record] if record else []
        return found

    def _record(self, name: str, making: Making, made: Made, latency: dict[int, Times]) -> Record:
        return Record(
            arm=name,
            seed=making.seed,
            digest=self.workshop.digest(making),
            measured=made.measured,
            latency=latency,
            provenance=made.provenance,
        )


def _result(record: Record) -> str:
    return f"top-1 {record.measured['top1']:.2f} %, {record.provenance.seconds:.0f} s"
