"""The bodies that the job routes answer with, as types (they draw the OpenAPI document, too)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from zoo_sdk.operations import OperationManifest
from zoo_sdk.vocabulary import JobState


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class JobInputBody(_Body):
    """One input of a job; ``artifact`` is the path of the selected artifact's first file."""

    port: str
    reference: str
    artifact: str | None
    weight: float | None


class JobErrorBody(_Body):
    """Why a job or attempt ended, or why it was queued again."""

    code: str
    message: str
    facts: dict[str, Any] = {}
    hint: str = ""


class JobBody(_Body):
    """A job.  ``started_at`` is the start of its newest attempt; ``result`` the version that it made.

    ``cached_from``: the equal job whose result it took from the result cache, instead of being run.
    ``waiting_for``: what has to come before any worker can take it (a living worker, or one with so many GPUs).
    """

    id: UUID
    team: str
    operation: str
    operation_version: int
    state: JobState
    params: dict[str, Any]
    seed: int
    inputs: list[JobInputBody]
    outputs: dict[str, str]
    attempt: int
    max_attempts: int
    priority: int
    gpus: int
    queue: str
    waiting_for: str | None
    owner: str | None
    lease_until: datetime | None
    available_at: datetime
    time_limit_seconds: int
    cancel_requested: bool
    progress: dict[str, Any]
    cause: str | None
    error: JobErrorBody | None
    result: str | None
    cached_from: UUID | None
    mlflow_run_id: str | None
    mlflow_url: str | None
    created_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobPage(_Body):
    """A page of jobs."""

    results: list[JobBody]
    next: str | None


class JobEventBody(_Body):
    """Something an attempt said."""

    id: int
    attempt: int
    number: int
    time: datetime
    kind: str
    body: dict[str, Any]


class JobEventPage(_Body):
    """Events; ``next`` is the last one's id, or the ``after`` of the request: the ``after`` of the next request."""

    results: list[JobEventBody]
    next: int


class JobAttemptBody(_Body):
    """One try at a job."""

    number: int
    worker: str
    state: JobState
    cause: str | None
    error: JobErrorBody | None
    environment: dict[str, Any]
    started_at: datetime
    finished_at: datetime | None


class JobAttemptList(_Body):
    """All attempts of a job."""

    results: list[JobAttemptBody]


class OperationBody(_Body):
    """An operation, and who can do it.  ``available``: at least one of its workers is alive."""

    name: str
    version: int
    summary: str
    digest: str
    queue: str
    manifest: OperationManifest
    workers: list[str]
    available: bool


class OperationList(_Body):
    """Every operation that a worker offers, by name."""

    results: list[OperationBody]
    next: str | None = None


class RunningJobBody(_Body):
    """What a worker is doing."""

    id: UUID
    operation: str


class WorkerBody(_Body):
    """A worker.  ``gpus``: the names of those that it gives to jobs.

    ``running`` lists the jobs that the caller may see; ``busy`` counts all.
    ``isolation``: what its operations are kept from (``network, privileges``, one of them, ``none``); empty: unknown.
    """

    name: str
    queues: list[str]
    isolation: str
    gpus: list[str]
    operations: list[str]
    registered_at: datetime
    last_seen_at: datetime
    alive: bool
    busy: int
    running: list[RunningJobBody]


class WorkerPage(_Body):
    """A page of workers."""

    results: list[WorkerBody]
    next: str | None
