"""What the supervisor and its child hand each other: an order file, a result file and a pipe of events."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import Inputs
from zoo_sdk.messages import Measurement, Report
from zoo_sdk.vocabulary import FailureCause
from zoo_worker.isolation import Isolation

MAX_RESULT_BYTES = 16 * 2**20
MAX_EVENT_BYTES = 64 * 2**10


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ChildOrder(_Record):
    """What the child is to run, and where.  ``event_fd`` is the write end of the pipe that it inherits.

    ``gpus``: the ids of those that it sees.
    """

    operation: str
    operation_version: int
    params: dict[str, Any]
    inputs: Inputs
    seed: int
    devices: tuple[str, ...]
    gpus: tuple[str, ...] = ()
    threads: int
    scratch: Path
    outputs: Path
    checkpoints: Path
    shared_cache: Path
    result: Path
    isolation: Isolation = Isolation()
    event_fd: int = -1
    parent_pid: int = 0


class Failure(_Record):
    """Why an attempt did not succeed; becomes the registry's FailureReport."""

    cause: FailureCause
    code: str = Field(max_length=100)
    message: str = Field(max_length=8000)
    facts: dict[str, Any] = Field(default_factory=dict)


class ChildResult(_Record):
    """How the child ended: what it made, or why it failed."""

    artifacts: dict[str, tuple[ArtifactDescription, ...]] = Field(default_factory=dict)
    measurements: tuple[Measurement, ...] = ()
    reports: tuple[Report, ...] = ()
    failure: Failure | None = None
