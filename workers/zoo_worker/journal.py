"""What an attempt has to tell MLflow, written down line by line: no network, so a job never waits for MLflow."""

import json
import re
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from zoo_sdk.messages import PIPELINE_TAG, Assignment

MAX_JOURNAL_BYTES = 256 * 2**20
"""Points beyond this are left out; the end is always written."""
MAX_LINE_BYTES = 2**20
DATASET_DIGEST_LENGTH = 36

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")  # a diverged loss is a fact

    time_ms: int = Field(default_factory=lambda: time.time_ns() // 1_000_000)


class DatasetNote(BaseModel):
    """A data set that went in: MLflow keeps name, digest and source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    digest: str = Field(max_length=DATASET_DIGEST_LENGTH)
    source: str
    context: str


class StartEntry(_Entry):
    """The first line: which run this is.

    ``run_id`` is known when an earlier attempt has begun the run; ``pipeline`` is the one that the job is a step of.
    """

    kind: Literal["start"] = "start"
    job: str
    attempt: int
    experiment: str
    run_name: str
    run_id: str | None = None
    pipeline: str | None = None
    params: dict[str, str] = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)
    datasets: tuple[DatasetNote, ...] = ()


class MetricEntry(_Entry):
    """A point of a curve."""

    kind: Literal["metric"] = "metric"
    name: str
    value: float
    step: int


class TagEntry(_Entry):
    """A tag that became known later, such as the version that was made."""

    kind: Literal["tag"] = "tag"
    name: str
    value: str


class EndEntry(_Entry):
    """The last line.  ``presumed``: written for a killed worker, which may have reported another end before it died."""

    kind: Literal["end"] = "end"
    status: RunStatus
    presumed: bool = False


Entry = Annotated[StartEntry | MetricEntry | TagEntry | EndEntry, Field(discriminator="kind")]
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Entry)


class Journal:
    """The journal of one attempt; safe for several threads."""

    def __init__(self, path: Path, start: StartEntry) -> None:
        self._lock = threading.Lock()
        self._steps: dict[str, int] = {}
        self._size = 0
        self._file: IO[bytes] | None = path.open("wb", buffering=0)
        self._write(start)

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        """Write a point down; without a step the points of a name are counted."""
        with self._lock:
            number = self._steps.get(name, 0) if step is None else step
            self._steps[name] = number + 1
        self._write(MetricEntry(name=mlflow_key(name), value=value, step=number))

    def tag(self, name: str, value: str) -> None:
        """Write a tag down."""
        self._write(TagEntry(name=mlflow_key(name), value=value))

    def end(self, status: RunStatus) -> None:
        """Write the end down and close; later entries are ignored."""
        self._write(EndEntry(status=status), last=True)

    def _write(self, entry: Entry, *, last: bool = False) -> None:
        line = entry.model_dump_json().encode() + b"\n"
        with self._lock:
            if self._file is None or (self._size + len(line) > MAX_JOURNAL_BYTES and not last):
                return
            self._file.write(line)
            self._size += len(line)
            if last:
                self._file.close()
                self._file = None


def journal_path(folder: Path, job: str, attempt: int) -> Path:
    """Where the journal of an attempt lies."""
    return folder / f"{job}-{attempt}.jsonl"


def read_entries(path: Path, offset: int, limit: int) -> Iterator[tuple[Entry | None, int]]:
    """Complete lines from ``offset`` on, each with the offset behind it; None for a line that is damaged."""
    with path.open("rb") as file:
        file.seek(offset)
        for _ in range(limit):
            line = file.readline(MAX_LINE_BYTES)
            if not line or (not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES):
                return
            try:
                entry = _ENTRY.validate_json(line)
            except ValidationError:
                entry = None
            yield entry, file.tell()


def close_dead_journals(folder: Path) -> list[Path]:
    """End, as KILLED, the journals that a killed worker left open; returns them."""
    closed: list[Path] = []
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb+") as file:
            file.seek(max(0, path.stat().st_size - MAX_LINE_BYTES))
            tail = file.read()
            if tail.endswith(b"\n") and b'"kind":"end"' in tail.splitlines()[-1]:
                continue
            end = EndEntry(status="KILLED", presumed=True).model_dump_json().encode()
            file.write((b"" if tail.endswith(b"\n") else b"\n") + end + b"\n")
            closed.append(path)
    return closed


def start_entry(assignment: Assignment, *, worker: str, url: str) -> StartEntry:
    """What the assignment says about the run."""
    job = str(assignment.job_id)
    params = {mlflow_key(name): _param_text(value) for name, value in assignment.params.items()}
    tags = {
        "zoo.job": job,
        "zoo.attempt": str(assignment.attempt),
        "zoo.team": assignment.team,
        "zoo.operation": assignment.operation,
        "zoo.operation_version": str(assignment.operation_version),
        "zoo.worker": worker,
        "zoo.url": f"{url}/api/v1/jobs/{job}",
        "mlflow.source.name": assignment.operation,
        "mlflow.source.type": "JOB",
    }
    for port, items in assignment.inputs.items():
        tags[f"zoo.input.{port}"] = ", ".join(item.reference for item in items)
    tags |= {mlflow_key(name): value for name, value in assignment.tags.items()}
    return StartEntry(
        job=job,
        attempt=assignment.attempt,
        experiment=assignment.mlflow_experiment,
        run_name=tags.pop("mlflow.runName", f"{assignment.operation} {job[-6:]}"),
        run_id=assignment.mlflow_run_id,
        pipeline=assignment.tags.get(PIPELINE_TAG),
        params={"seed": str(assignment.seed), **params},
        tags=tags,
        datasets=tuple(_dataset_notes(assignment, url)),
    )


def mlflow_key(name: str) -> str:
    """The name with the characters that MLflow accepts in names of metrics, parameters and tags."""
    parts = (part for part in re.sub(r"[^\w\-./: ]", "_", name).split("/") if part not in {"", ".", ".."})
    return "/".join(parts)[:250] or "_"


def _dataset_notes(assignment: Assignment, url: str) -> Iterator[DatasetNote]:
    for port, items in assignment.inputs.items():
        for item in items:
            if item.dataset is not None:
                line, _, number = item.reference.partition("@")
                content = "\n".join(sorted(f"{entry.path} {entry.sha256}" for entry in item.files))
                yield DatasetNote(
                    name=item.reference[:500],
                    digest=sha256(content.encode()).hexdigest()[:DATASET_DIGEST_LENGTH],
                    source=json.dumps({"url": f"{url}/api/v1/datasets/{line}/versions/{number}"}),
                    context=port,
                )


def _param_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
