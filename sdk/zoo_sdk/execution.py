"""Running an operation in this process: the one implementation of :class:`zoo_sdk.context.OperationContext`.

A worker's child process runs its operation through this, with ``emit`` writing to its supervisor; the conformance suite
and a plugin author's own tests run it with ``emit`` collecting into a list.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import Inputs
from zoo_sdk.discovery import load_implementation
from zoo_sdk.errors import Cancelled, InvalidInput, OperationError, UnknownName
from zoo_sdk.measures import find_measure
from zoo_sdk.messages import (
    MAX_REPORTS,
    EventBody,
    LogEvent,
    Measurement,
    MetricEvent,
    ProgressEvent,
    Report,
)
from zoo_sdk.operations import OperationSpec

PROGRESS_INTERVAL_SECONDS = 0.5
CHECKPOINT_NAME = "checkpoint"


def _discard(_event: EventBody) -> None:
    return None


def _never() -> bool:
    return False


@dataclass
class Workplace:
    """Where an attempt may write.

    ``checkpoints`` outlives the attempt, ``shared_cache`` the job as well; the others do not.
    """

    scratch: Path
    outputs: Path
    checkpoints: Path
    shared_cache: Path

    @classmethod
    def under(cls, folder: Path) -> "Workplace":
        """Make the folders below ``folder``."""
        place = cls(folder / "scratch", folder / "outputs", folder / "checkpoints", folder / "shared_cache")
        for path in (place.scratch, place.outputs, place.checkpoints, place.shared_cache):
            path.mkdir(parents=True, exist_ok=True)
        return place


@dataclass
class LocalContext:
    """Implements :class:`zoo_sdk.context.OperationContext` on local folders; see there for what each method means."""

    spec: OperationSpec
    place: Workplace
    seed: int = 0
    devices: tuple[str, ...] = ("cpu",)
    threads: int = 1
    emit: Callable[[EventBody], None] = _discard
    cancelled: Callable[[], bool] = _never
    artifacts: dict[str, list[ArtifactDescription]] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    _last_progress: float = field(default=-math.inf, repr=False)

    @property
    def scratch(self) -> Path:
        return self.place.scratch

    @property
    def shared_cache(self) -> Path:
        return self.place.shared_cache

    def output(self, port: str = "model") -> Path:
        self._check_port(port)
        folder = self.place.outputs / port
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def artifact(self, description: ArtifactDescription, *, port: str = "model") -> None:
        folder = self.output(port)
        for path in description.files:
            if not (folder / path).is_file():
                raise OperationError(f"{self.spec.name} declared the file {path!r} of {port!r} but did not write it.")
        self.artifacts.setdefault(port, []).append(description)

    def progress(self, done: float, total: float, message: str = "") -> None:
        now = time.monotonic()
        if now - self._last_progress >= PROGRESS_INTERVAL_SECONDS or done >= total:
            self._last_progress = now
            self.emit(ProgressEvent(done=done, total=total, message=message))

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        self.emit(MetricEvent(name=name, value=float(value), step=step))

    def measure(
        self,
        name: str,
        value: float,
        *,
        dataset: str | None = None,
        split: str | None = None,
        runtime: str | None = None,
        device: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        find_measure(name)
        if not math.isfinite(value):
            raise OperationError(f"{self.spec.name} measured {name} = {value}, which is not a finite number.")
        self._check_input_port(dataset)
        self.measurements.append(
            Measurement(
                name=name,
                value=float(value),
                dataset_port=dataset,
                split=split,
                runtime=runtime,
                device=device,
                details=dict(details or {}),
            )
        )

    def report(
        self,
        kind: str,
        content: Mapping[str, Any],
        *,
        dataset: str | None = None,
        split: str | None = None,
        runtime: str | None = None,
        device: str | None = None,
    ) -> None:
        self._check_input_port(dataset)
        if len(self.reports) >= MAX_REPORTS:
            raise OperationError(
                f"{self.spec.name} made more than {MAX_REPORTS} reports, the most that a job may make."
            )
        try:
            made = Report(
                kind=kind, content=dict(content), dataset_port=dataset, split=split, runtime=runtime, device=device
            )
        except ValidationError as error:
            reasons = "; ".join(item["msg"] for item in error.errors())
            raise OperationError(f"The report {kind!r} of {self.spec.name} is refused: {reasons}.") from error
        self.reports.append(made)

    def log(self, message: str) -> None:
        self.emit(LogEvent(message=message[:8000]))

    def checkpoint(self, write: Callable[[Path], None]) -> None:
        partial = self.place.checkpoints / f"{CHECKPOINT_NAME}.partial"
        write(partial)
        partial.replace(self.place.checkpoints / CHECKPOINT_NAME)

    def restore(self) -> Path | None:
        path = self.place.checkpoints / CHECKPOINT_NAME
        return path if path.is_file() else None

    def raise_if_cancelled(self) -> None:
        if self.cancelled():
            raise Cancelled("The job was cancelled.")

    def _check_input_port(self, port: str | None) -> None:
        if port is not None and port not in {item.name for item in self.spec.inputs}:
            raise UnknownName("input port", port, (item.name for item in self.spec.inputs))

    def _check_port(self, port: str) -> None:
        known = [item.name for item in self.spec.outputs]
        if port not in known:
            raise UnknownName("output port", port, known)


def run_operation(spec: OperationSpec, params: Mapping[str, Any], inputs: Inputs, context: LocalContext) -> None:
    """Validate, run, and check that every output exists; results: ``context.artifacts`` and ``context.measurements``.

    Raises:
        InvalidInput: wrong parameters, or a required input is missing.
        OperationError: the operation failed, or did not make what it promised.

    """
    parsed = spec.parse_params(dict(params))
    for port in spec.inputs:
        if port.required and not inputs.many(port.name):
            raise InvalidInput(f"{spec.name} needs the input {port.name!r}.", facts={"field": port.name})
    load_implementation(spec)(parsed, inputs, context)
    for port in spec.outputs:
        if port.required and not context.artifacts.get(port.name):
            raise OperationError(f"{spec.name} ended without declaring an artifact for its output {port.name!r}.")
