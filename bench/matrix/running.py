"""Goes the ways: every edge by its operation, every result inspected and, where labels exist, evaluated."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.matrix.ways import Effort, Source, Target, way
from bench.operations import Outcome, perform, size_of
from bench.reporting import say
from zoo_inspection import Inspection, inspect
from zoo_sdk.context import InputItem
from zoo_sdk.discovery import discover_operations
from zoo_sdk.errors import OperationError
from zoo_sdk.formats import find_format
from zoo_sdk.vocabulary import RepositoryKind
from zoo_server.pipelines.conversions.graph import ConversionPath, ConversionStep
from zoo_vision.datasets import open_split

PARITY = ("max_abs_diff", "mean_abs_diff", "agreement_top1")


@dataclass(frozen=True)
class Step:
    """An edge that was taken: what its parity gate measured; ``error``: why it made nothing."""

    operation: str
    params: Mapping[str, Any]
    made: InputItem | None
    parity: Mapping[str, float]
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Evaluation:
    """What a model measures on the test split of its source's data; ``error``: why nothing."""

    operation: str = ""
    right: int | None = None
    samples: int = 0
    macs: int | None = None
    error: str = ""


@dataclass(frozen=True)
class Cell:
    """A source and a target: ``unreachable`` says why there is no way, else ``steps`` are the way as far as it went.

    ``closed``: the graph has a way, but not all of its edges can be taken here.
    """

    target: Target
    unreachable: str = ""
    closed: bool = False
    steps: Sequence[Step] = ()
    evaluation: Evaluation = field(default_factory=Evaluation)

    @property
    def error(self) -> str:
        """Of the edge that failed."""
        return self.steps[-1].error if self.steps else ""

    @property
    def is_source(self) -> bool:
        """Whether the source itself is what the target asks for."""
        return not self.steps and not self.unreachable


@dataclass(frozen=True)
class Row:
    """A source: its bytes, what the inspection takes it for, what it measures itself, and its cells by target."""

    source: Source
    size: int
    inspection: Inspection
    evaluation: Evaluation
    cells: Sequence[Cell]

    @property
    def identified(self) -> bool:
        """Whether the inspection knows the format from the bytes."""
        return self.inspection.format == self.source.artifact.format


@dataclass
class Walk:
    """One source on its ways; beginnings that ways share are gone once."""

    source: Source
    folder: Path
    effort: Effort
    gpus: int
    _taken: dict[str, Step] = field(default_factory=dict)
    _evaluated: dict[str, Evaluation] = field(default_factory=dict)

    def row(self, targets: Sequence[Target]) -> Row:
        """Go to every target."""
        item = self.source.item
        say(f"{self.source.name}: {self.source.artifact.format}, {self.source.origin}")
        found = inspect(item.main_file, name=item.main_file.name)
        evaluation = self._evaluation("", item)
        return Row(self.source, size_of(item), found, evaluation, tuple(self._cell(target) for target in targets))

    def _cell(self, target: Target) -> Cell:
        path = way(self.source, target, gpus=self.gpus)
        if path.start is None:
            obstacles = _obstacles(path)
            return Cell(target, unreachable=obstacles or path.problem, closed=bool(obstacles))
        steps = tuple(self._steps(path.steps))
        if not steps or steps[-1].made is None:
            return Cell(target, steps=steps)
        key = _key(path.steps)
        if key not in self._evaluated:
            self._evaluated[key] = self._evaluation(steps[-1].operation, steps[-1].made)
        return Cell(target, steps=steps, evaluation=self._evaluated[key])

    def _steps(self, planned: Sequence[ConversionStep]) -> Iterator[Step]:
        """As far as they succeed."""
        item = self.source.item
        for number in range(1, len(planned) + 1):
            key = _key(planned[:number])
            if key not in self._taken:
                self._taken[key] = self._take(planned[number - 1], item)
            step = self._taken[key]
            yield step
            if step.made is None:
                return
            item = step.made

    def _take(self, planned: ConversionStep, item: InputItem) -> Step:
        operation = planned.offered.operation
        spec = discover_operations()[operation]
        params = {**self.effort.params_of(spec), **planned.offered.params}
        given = {planned.offered.edge.port: item}
        if self.source.data is not None:
            given |= {port.name: self.source.data for port in spec.inputs if port.kind == RepositoryKind.DATASET}
        say(f"{self.source.name}: {operation} -> {planned.target[0]} {planned.target[1]}")
        started = time.perf_counter()
        outcome, error = self._performed(operation, params, given, f"{len(self._taken):03}-{operation}")
        seconds = time.perf_counter() - started
        made = outcome.made if outcome else None
        if made is not None and not error:
            error = _broken_promise(planned, made)
        measured = outcome.measured if outcome else {}
        parity = {name: measured[name] for name in PARITY if name in measured}
        return Step(operation, params, None if error else made, parity, seconds, error)

    def _evaluation(self, made_by: str, item: InputItem) -> Evaluation:
        """In the format's own runtime."""
        assert item.artifact is not None
        operation = evaluator_of(item.artifact.format)
        if self.source.data is None or not self.source.labelled or operation is None:
            return Evaluation()
        params: dict[str, Any] = {}
        if item.artifact.format == "pickle":
            params = dict(self.source.options.get("torch.import_weights", {}))
        name = f"evaluated-{len(list(self.folder.glob('evaluated-*')))}"
        given = {"model": item, "data": self.source.data}
        outcome, error = self._performed(operation, params, given, name)
        if outcome is None:
            return Evaluation(operation, error=error)
        samples = len(open_split(self.source.data, "test"))
        measured = outcome.measured
        macs = int(measured["macs"]) if "macs" in measured else None
        return Evaluation(operation, round(measured["top1"] * samples / 100), samples, macs)

    def _performed(
        self, operation: str, params: Mapping[str, Any], given: Mapping[str, InputItem], name: str
    ) -> tuple[Outcome | None, str]:
        """What it did, or why it did not; a fault that is no :class:`OperationError` is told with its kind."""
        folder = self.folder / name
        try:
            return perform(operation, params, given, folder=folder, seed=0, threads=self.effort.threads), ""
        except OperationError as error:
            return None, str(error)
        except Exception as error:  # noqa: BLE001 (a fault of a converter is a result of this bench)
            return None, f"{type(error).__name__}: {error}"


def evaluator_of(format_name: str) -> str | None:
    """The operation that evaluates a format: that of its own runtime, where it has one."""
    able = [
        name
        for name, spec in sorted(discover_operations().items())
        if name.endswith(".evaluate") and any(format_name in port.formats for port in spec.inputs if port.measured)
    ]
    home = f"{find_format(format_name).runtime}.evaluate"
    return home if home in able else next(iter(able), None)


def _key(steps: Sequence[ConversionStep]) -> str:
    return json.dumps([(step.offered.operation, dict(step.offered.params)) for step in steps], sort_keys=True)


def _obstacles(path: ConversionPath) -> str:
    """What stands in the way; empty: the graph has no way at all."""
    return "; ".join(sorted({f"{edge.operation}: {', '.join(edge.reasons)}" for edge in path.unavailable}))


def _broken_promise(planned: ConversionStep, made: InputItem) -> str:
    """What came out differs from what the planner said and the inspection finds; empty: nothing."""
    assert made.artifact is not None
    kind, precision = planned.target
    found = inspect(made.main_file, name=made.main_file.name).format
    if (made.artifact.format, found) != (kind, kind):
        return f"The planner promised {kind}; {made.artifact.format} was made, and the inspection finds {found}."
    if made.artifact.precision not in {None, precision}:
        return f"The planner promised {precision}; {made.artifact.precision} was made."
    return ""
