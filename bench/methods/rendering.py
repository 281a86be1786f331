"""A table's records as a report: means, spreads, differences, latency, sizes, and whether the claims hold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

from bench.figures import Figure, Goal, Sample, number_text, ratios
from bench.methods.records import Record
from bench.methods.tables import Arm, Claim, MethodTable
from bench.methods.workshop import DISTRIBUTIONS
from bench.reporting import Findings

FLOAT_BYTES = 4
ACCURACY_COLUMNS = ("mean", "standard deviation", "difference", "better in", "exceeds the spread")
COST_COLUMNS = (
    "how", "parameters", "MACs", "file KiB", "weights KiB at their bits", "top-1 %", "batch 1 ms", "to baseline",
    "batch 32 ms", "to baseline",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """The records of one arm by seed."""

    arm: Arm
    records: Mapping[int, Record]

    def top1(self, seeds: Sequence[int]) -> Sample:
        """Of these seeds."""
        return Sample(values=tuple(self.records[seed].measured["top1"] for seed in seeds))

    def measured(self, name: str) -> float | None:
        """The mean over the seeds of a measurement, None where the operation does not make it."""
        values = [record.measured[name] for record in self.records.values() if name in record.measured]
        return mean(values) if values else None


@dataclass(frozen=True)
class Difference:
    """An arm against another one, on the seeds that both have."""

    arm: Sample
    against: Sample

    @classmethod
    def of(cls, arm: Row, against: Row) -> "Difference | None":
        """None where they share no seed."""
        seeds = sorted(arm.records.keys() & against.records.keys())
        return cls(arm.top1(seeds), against.top1(seeds)) if seeds else None

    @property
    def points(self) -> float:
        """Of the means."""
        return self.arm.mean - self.against.mean

    @property
    def spread(self) -> float:
        """The larger of the two standard deviations."""
        return max(self.arm.deviation, self.against.deviation)

    @property
    def wins(self) -> str:
        """Seeds in which the arm is the better one."""
        won = sum(mine > other for mine, other in zip(self.arm.values, self.against.values, strict=True))
        return f"{won} of {len(self.arm.values)}"

    @property
    def exceeds(self) -> str:
        """Whether the difference, up or down, is larger than the spread; one seed has none."""
        if len(self.arm.values) < 2:
            return "one seed"
        return "yes" if abs(self.points) > self.spread else "no"


def rows_of(table: MethodTable, records: Sequence[Record]) -> dict[str, Row]:
    """A row for every arm, in the table's order, also for those without a record."""
    return {
        arm.name: Row(arm, {record.seed: record for record in records if record.arm == arm.name}) for arm in table.arms
    }


def render(
    table: MethodTable,
    records: Sequence[Record],
    findings: Findings,
    *,
    seeds: Sequence[int],
    epochs: Mapping[str, int],
) -> None:
    """Add the figures and tables of what is there so far; ``epochs``: those that each arm's network has seen."""
    rows = rows_of(table, records)
    findings.figures += [figure for claim in table.claims for figure in _figures(claim, rows)]
    findings.table(
        "Top-1 in % of every seed",
        ("how", "epochs", "compared with", *(f"seed {seed}" for seed in seeds), *ACCURACY_COLUMNS),
        [_accuracy(row, rows, seeds, epochs[row.arm.name]) for row in rows.values()],
    )
    findings.table("Cost", COST_COLUMNS, [_cost(row) for row in rows.values() if row.records])
    findings.notes += _notes(rows, records, seeds)
    findings.raw["records"] = [record.model_dump(mode="json") for record in records]


def teacher_figures(teachers: Sequence[Record]) -> list[Figure]:
    """How good the teachers are."""
    return [Figure(name=f"{record.arm}, top-1", value=record.measured["top1"], unit="%") for record in teachers]


def new_findings(table: MethodTable, options: Mapping[str, object]) -> Findings:
    """Accuracy does not depend on other work on the machine, and latencies take turns."""
    return Findings(f"methods-{table.name}", table.compares, options, DISTRIBUTIONS, load_matters=False)


def _figures(claim: Claim, rows: Mapping[str, Row]) -> Iterator[Figure]:
    found = Difference.of(rows[claim.arm], rows[claim.against])
    if found is None:
        return
    seeds = f"{len(found.arm.values)} seed{'s' if len(found.arm.values) > 1 else ''}"
    if claim.within is None:
        goal = Goal(relation="above", bound=found.spread) if len(found.arm.values) > 1 else None
        name = f"{claim.arm} above {claim.against} (goal: the spread), {seeds}"
    else:
        goal = Goal(relation="at least", bound=-claim.within)
        name = f"{claim.arm} minus {claim.against}, {seeds}"
    differences = [a - b for a, b in zip(found.arm.values, found.against.values, strict=True)]
    yield Figure(name=name, value=found.points, unit="points", low=min(differences), high=max(differences), goal=goal)


def _accuracy(row: Row, rows: Mapping[str, Row], seeds: Sequence[int], epochs: int) -> list[str]:
    cells = [row.arm.name, str(epochs), row.arm.baseline or ""]
    cells += [f"{row.records[seed].measured['top1']:.2f}" if seed in row.records else "" for seed in seeds]
    if not row.records:
        return [*cells, *([""] * len(ACCURACY_COLUMNS))]
    sample = row.top1(sorted(row.records))
    cells += [f"{sample.mean:.3f}", f"{sample.deviation:.3f}" if len(sample.values) > 1 else ""]
    found = Difference.of(row, rows[row.arm.baseline]) if row.arm.baseline else None
    return [*cells, *((f"{found.points:+.3f}", found.wins, found.exceeds) if found else ("", "", ""))]


def _cost(row: Row) -> list[str]:
    parameters, macs, top1 = (row.measured(name) for name in ("parameters", "macs", "top1"))
    packed = row.measured("effective_size_bytes") or (parameters and FLOAT_BYTES * parameters)
    cells = [row.arm.name, _whole(parameters), _whole(macs)]
    cells += ["" if value is None else f"{value / 1024:,.1f}" for value in (row.measured("size_bytes"), packed)]
    cells.append("" if top1 is None else f"{top1:.2f}")
    for batch in (1, 32):
        cells += _latency(row, batch)
    return cells


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _latency(row: Row, batch: int) -> list[str]:
    """Over all seeds: the median of the medians, and that of the ratios of the same rounds."""
    times = [record.latency[batch] for record in row.records.values() if batch in record.latency]
    if not times:
        return ["", ""]
    own = median(value for item in times for value in item.own)
    shares = [share for item in times if item.baseline for share in ratios(item.own, item.baseline)]
    return [f"{own:.3f}", f"{median(shares):.2f}" if shares else ""]


def _notes(rows: Mapping[str, Row], records: Sequence[Record], seeds: Sequence[int]) -> Iterator[str]:
    lacking = {name: len(seeds) - len(row.records) for name, row in rows.items() if len(row.records) < len(seeds)}
    if lacking:
        yield f"{sum(lacking.values())} of {len(rows) * len(seeds)} runs are missing: {', '.join(lacking)}."
    if not records:
        return
    made = [record.provenance for record in records]
    commits, processors = ({getattr(item, name) for item in made} for name in ("commit", "processor"))
    loads = sorted(item.load for item in made)
    yield (
        f"{len(made)} runs of {sum(item.seconds for item in made):,.0f} s in all, from "
        f"{min(item.finished_at for item in made):%Y-%m-%d %H:%M} to "
        f"{max(item.finished_at for item in made):%Y-%m-%d %H:%M} UTC, on {', '.join(sorted(processors))}; commits "
        f"{', '.join(sorted(commits))}; threads {', '.join(map(str, sorted({item.threads for item in made})))}; load "
        f"average {number_text(loads[0])} to {number_text(loads[-1])}, median {number_text(median(loads))}."
    )
    yield (
        "Difference and spread are over the seeds that both sides have; the spread is the larger of the two standard "
        "deviations.  Latency: PyTorch, one thread, medians in turns with the baseline; milliseconds of other runs "
        "do not compare, the ratios do."
    )
