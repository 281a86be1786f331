"""The bodies that the routes of this app answer with, as types (they draw the OpenAPI document, too)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from zoo_sdk.vocabulary import JobState, PipelineState, RepositoryKind, StepState
from zoo_server.jobs.api.bodies import JobErrorBody
from zoo_server.pipelines.recipes.uses import EdgeKind


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RecipeInputBody(_Body):
    """What the caller has to name."""

    kind: RepositoryKind
    required: bool
    description: str


class RecipeSetBody(_Body):
    """Other values for the same graph."""

    summary: str
    values: dict[str, Any]
    axes: dict[str, list[Any]]


class RecipeStepBody(_Body):
    """A step before its matrix is filled in."""

    name: str
    operation: str
    summary: str
    for_each: list[str]


class RecipeOutputBody(_Body):
    """What is registered under a name.  ``sources``: the steps, the first that succeeded counts."""

    sources: list[str]
    model: str
    alias: str | None


class RecipeBody(_Body):
    """A recipe without mistakes."""

    name: str
    summary: str
    source: str
    inputs: dict[str, RecipeInputBody]
    values: dict[str, Any]
    sets: dict[str, RecipeSetBody]
    axes: dict[str, list[Any]]
    steps: list[RecipeStepBody]
    outputs: dict[str, RecipeOutputBody]


class StepInputBody(_Body):
    """What goes into a port.  ``source``: a version, ``steps.KEY`` or ``inputs.NAME``; alternatives joined by "or"."""

    port: str
    source: str
    weight: float | None
    artifact: str | None


class EdgeBody(_Body):
    """``target`` waits for ``source``: keys of steps."""

    source: str
    target: str
    kind: EdgeKind


class PlannedStepBody(_Body):
    """A step instance as it would run.

    ``available``: a worker that can run it is alive, else ``waiting_for`` says what is missing; ``cached``: the version
    that the result cache has; ``left_out``: it is not needed, because an input was given in its place.
    """

    key: str
    name: str
    coordinates: dict[str, Any]
    operation: str
    operation_version: int
    available: bool
    waiting_for: str | None
    params: dict[str, Any]
    seed: int
    gpus: int
    inputs: list[StepInputBody]
    model: str | None
    gates: list[str]
    cached: str | None
    left_out: bool
    estimate_seconds: float | None
    estimate_basis: str


class EstimateBody(_Body):
    """What the steps cost that have to run; ``unknown``: how many of them are not counted."""

    seconds: float
    critical_path_seconds: float
    unknown: int


class PlanBody(_Body):
    """What a recipe would do."""

    name: str
    set: str | None
    team: str
    steps: list[PlannedStepBody]
    edges: list[EdgeBody]
    estimate: EstimateBody
    recipe_digest: str


class StepJobBody(_Body):
    """The job of a step, in short.  ``waiting_for``: what has to come before any worker can take it."""

    id: UUID
    state: JobState
    gpus: int
    waiting_for: str | None
    attempt: int
    progress: dict[str, Any]
    cause: str | None
    cached: bool
    mlflow_url: str | None


class GateBody(_Body):
    """What a gate found.  ``passed`` null: a metric was not measured."""

    metric: str
    rule: str
    value: float | None
    reference: float | None
    limit: float
    passed: bool | None
    message: str


class StepBody(_Body):
    """A step of a pipeline.  ``result``: the version that it made, or measured."""

    key: str
    name: str
    coordinates: dict[str, Any]
    operation: str
    state: StepState
    reason: str
    error: JobErrorBody | None
    params: dict[str, Any]
    seed: int
    inputs: list[StepInputBody]
    model: str | None
    job: StepJobBody | None
    result: str | None
    gates: list[GateBody]
    started_at: datetime | None
    finished_at: datetime | None


class OutputBody(_Body):
    """What is registered under a name: the versions that were made so far (one for each instance of the step)."""

    model: str
    alias: str | None
    alias_error: str | None
    versions: list[str]


class PipelineBody(_Body):
    """A recipe at work.  ``counts``: its steps by state."""

    id: UUID
    team: str
    name: str
    set: str | None
    state: PipelineState
    cancel_requested: bool
    recipe_digest: str
    values: dict[str, Any]
    axes: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, OutputBody]
    counts: dict[str, int]
    cache: str
    priority: int
    mlflow_run_id: str | None
    mlflow_url: str | None
    created_by: str
    created_at: datetime
    started_at: datetime
    finished_at: datetime | None


class PipelineDetailBody(PipelineBody):
    """The same with its recipe, steps and edges."""

    recipe: str
    recipe_file: str
    steps: list[StepBody]
    edges: list[EdgeBody]


class PipelinePage(_Body):
    """A page of pipelines."""

    results: list[PipelineBody]
    next: str | None
