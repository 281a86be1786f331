"""What a worker and the registry say to each other over the worker API (JSON bodies of ``/api/v1/worker/...``)."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

from zoo_sdk.artifacts import ArtifactDescription, DatasetDescription, FileEntry
from zoo_sdk.names import Digest
from zoo_sdk.operations import MAX_GPUS, OperationManifest
from zoo_sdk.vocabulary import FailureCause

PROTOCOL_VERSION = 1
GPUS_NEEDED = "gpus-needed"
"""The problem code of a claim for a job that needs more GPUs than were set aside for it."""
MAX_REPORT_BYTES = 1_500_000
MAX_REPORTS = 2
"""Of one job; with everything else in the message they must stay below what the registry takes as one body."""


class _Message(BaseModel):
    # NaN and infinities travel as text: a diverged loss is a fact, and must not make its batch of events unreadable.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class WorkerRegistration(_Message):
    """``POST worker/register``: who I am and what I can do.  Idempotent; sent at start and when forgotten.

    ``gpus``: the GPUs that it gives to its jobs, by the names of their models.

    ``environment_digests``: by operation, a digest of everything of this worker that can change a result.  Two workers
    with the same digest make the same from the same; the registry's result cache is built on it.
    ``gpu_environment_digests``: the same for attempts with GPUs, their kind and driver included (their number is part
    of the job); empty where the worker has GPUs of several kinds, for nobody knows which ones a job will get.
    """

    protocol: int = PROTOCOL_VERSION
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9@._-]{0,119}$")
    queues: tuple[str, ...]
    operations: tuple[OperationManifest, ...]
    gpus: tuple[Annotated[str, Field(max_length=200)], ...] = Field((), max_length=MAX_GPUS)
    environment: dict[str, Any] = Field(default_factory=dict)
    environment_digests: dict[str, Digest] = Field(default_factory=dict)
    gpu_environment_digests: dict[str, Digest] = Field(default_factory=dict)


class RegistrationReply(_Message):
    """A manifest that clashes with one already known is refused with 409, so a reply means that all are known."""

    worker_id: UUID
    lease_seconds: int
    heartbeat_seconds: int
    mlflow_tracking_uri: str | None = None


class ClaimRequest(_Message):
    """``POST worker/jobs/{job}/claim``.

    ``gpus``: how many the worker has set aside for the job.  If it needs more, the answer is 409 ``gpus-needed``,
    whose facts say how many (``gpus``): set them aside, which may mean to wait for them, and claim again.
    """

    worker: str
    gpus: int = Field(0, ge=0, le=MAX_GPUS)


class AssignedInput(_Message):
    """One version for a port.  ``files`` are fetched from ``worker/jobs/{job}/attempts/{n}/blobs/{sha256}``."""

    reference: str
    version_id: UUID
    artifact: ArtifactDescription | None = None
    dataset: DatasetDescription | None = None
    weight: float | None = None
    files: tuple[FileEntry, ...]


class Assignment(_Message):
    """The answer to a claim: everything that the attempt needs.  The worker's entry points decide what code runs."""

    job_id: UUID
    attempt: int
    team: str
    operation: str
    operation_version: int
    params: dict[str, Any]
    seed: int
    inputs: dict[str, tuple[AssignedInput, ...]]
    gpus: int = Field(0, ge=0, le=MAX_GPUS)
    lease_seconds: int
    time_limit_seconds: int
    mlflow_experiment: str
    mlflow_run_id: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)


class HeartbeatReply(_Message):
    """``POST worker/jobs/{job}/attempts/{n}/heartbeat`` renews the lease; 409 ``lease-lost`` means: stop at once."""

    command: Literal["run", "cancel"]
    lease_seconds: int


class ProgressEvent(_Message):
    """How far the work is."""

    kind: Literal["progress"] = "progress"
    done: float
    total: float
    message: str = ""


class MetricEvent(_Message):
    """A point of a curve."""

    kind: Literal["metric"] = "metric"
    name: str = Field(min_length=1, max_length=200)
    value: float
    step: int | None = None


class LogEvent(_Message):
    """One line for people; ``stream`` tells the operation's words from what its process printed."""

    kind: Literal["log"] = "log"
    message: str = Field(max_length=8000)
    stream: Literal["operation", "stdout", "stderr", "worker"] = "operation"


class StateEvent(_Message):
    """A step in the life of the attempt, such as ``inputs ready``, ``child started``, ``uploading``."""

    kind: Literal["state"] = "state"
    state: str = Field(max_length=40)
    message: str = ""


EventBody = Annotated[ProgressEvent | MetricEvent | LogEvent | StateEvent, Field(discriminator="kind")]


class Event(_Message):
    """An event with its number in the attempt (from 1): sending one twice changes nothing."""

    number: int = Field(ge=1)
    time: datetime
    body: EventBody


class EventBatch(_Message):
    """``POST worker/jobs/{job}/attempts/{n}/events``."""

    events: tuple[Event, ...] = Field(max_length=1000)


class OutputReport(_Message):
    """What was made for one output port: artifacts, and all files with the upload that brought each."""

    artifacts: tuple[ArtifactDescription, ...] = Field(min_length=1)
    files: tuple[FileEntry, ...] = Field(min_length=1)


class Measurement(_Message):
    """A measured metric.  ``dataset_port`` names the input port that held the data."""

    name: str
    value: float
    dataset_port: str | None = None
    split: str | None = None
    runtime: str | None = None
    device: str | None = None
    details: dict[str, Any] = Field(default_factory=dict)


class Report(_Message):
    """What a measurement found that is more than a number: figures per class, a confusion matrix, a sweep.

    ``kind`` says what ``content`` holds, such as ``classification`` or ``benchmark``; ``dataset_port`` is as in
    :class:`Measurement`.  As JSON the content has at most :data:`MAX_REPORT_BYTES` bytes.
    """

    kind: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    content: dict[str, Any]
    dataset_port: str | None = None
    split: str | None = None
    runtime: str | None = None
    device: str | None = None

    @field_validator("content")
    @classmethod
    def _is_small_json(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            size = len(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"it cannot be written as JSON: {error}") from error
        if size > MAX_REPORT_BYTES:
            raise ValueError(f"it has {size:,} bytes as JSON, more than {MAX_REPORT_BYTES:,}")
        return value


class FinishReport(_Message):
    """``POST worker/jobs/{job}/attempts/{n}/finish``: idempotent; refused with 409 when the lease is lost.

    ``environment_digest``: as in :class:`WorkerRegistration`, of the environment in which the attempt began.
    """

    outputs: dict[str, OutputReport] = Field(default_factory=dict)
    measurements: tuple[Measurement, ...] = ()
    reports: tuple[Report, ...] = Field((), max_length=MAX_REPORTS)
    environment: dict[str, Any]
    environment_digest: Digest | None = None
    mlflow_run_id: str | None = None


class FailureReport(_Message):
    """``POST worker/jobs/{job}/attempts/{n}/fail``: idempotent like ``finish``.  ``retryable`` may only be
    true for causes that a new attempt may cure; the registry decides.
    """

    cause: FailureCause
    code: str = Field(max_length=100)
    message: str = Field(max_length=8000)
    facts: dict[str, Any] = Field(default_factory=dict)
    environment: dict[str, Any] = Field(default_factory=dict)
    mlflow_run_id: str | None = None


PIPELINE_TAG = "zoo.pipeline"
"""The tag of an assignment that says of which pipeline the job is a step (the pipeline's id)."""


class ParentRunReport(_Message):
    """``POST worker/pipelines/{id}/mlflow-run``: the MLflow run that was made for a pipeline; None only asks.

    The first one wins: whoever gets another run's id in the answer uses that, and deletes the one it made.
    """

    mlflow_run_id: str | None = Field(None, min_length=1, max_length=64)


class ParentRunReply(_Message):
    """What a pipeline's MLflow run, the parent of its jobs' runs, is to say.  ``status`` is MLflow's word."""

    mlflow_run_id: str | None
    name: str
    status: Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
    started_at: datetime
    finished_at: datetime | None = None
    params: dict[str, str] = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)


class MlflowRunReport(_Message):
    """``POST worker/jobs/{job}/attempts/{n}/mlflow-run``: the run's id, when MLflow was away until after the end."""

    mlflow_run_id: str = Field(max_length=64)
