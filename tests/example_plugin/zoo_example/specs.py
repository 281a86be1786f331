"""What the example plugin can do, as data."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from zoo_sdk.operations import OperationParams, OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, RepositoryKind, StrategyKind


class Rounding(StrEnum):
    """How centroids are rounded."""

    NONE = "none"
    INTEGER = "integer"


class Blend(BaseModel):
    """A nested group of parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(0.5, ge=0, le=1, description="Share of the teachers' centroids in the result.")
    start: int = Field(1, ge=1, le=100, description="First pass in which teachers are blended in.")


class MakeParams(OperationParams):
    """Parameters of ``example.make``."""

    passes: int = Field(2, ge=1, le=100, description="Passes over the classes; a checkpoint is kept after each.")
    rounding: Rounding = Field(Rounding.NONE, description="How centroids are rounded.")
    blend: Blend = Field(default_factory=Blend, description="How teachers are blended in.")
    method: Literal["mean", "median"] = Field("mean", description="What a class's centroid is.")
    split: str = Field("train", min_length=1, max_length=100, description="Split of the data set.")
    notes: bool = Field(default=False, description="Whether to make the second output, a text.")


class ScoreParams(OperationParams):
    """Parameters of ``example.score``."""

    split: str = Field("test", min_length=1, max_length=100, description="Split of the data set.")
    limit: int | None = Field(None, ge=1, le=1_000_000, description="Only the first N samples; null: all.")


class WaitParams(OperationParams):
    """Parameters of ``example.wait``."""

    steps: int = Field(
        3, ge=1, le=100_000, description="Steps; each reports progress and a metric and keeps a checkpoint."
    )
    seconds: float = Field(0.01, ge=0, le=3600, description="Duration of a step.")
    failure: Literal[
        "none", "raise", "unavailable", "invalid", "exit", "kill", "memory", "hang", "orphan", "no_output"
    ] = Field(
        "none",
        description="How to fail: raise an error of the operation (raise), a retryable one (unavailable) or "
        "InvalidInput (invalid); leave the process with exit_code (exit) or by SIGKILL (kill); allocate memory_mib "
        "(memory); ignore SIGTERM and never return (hang), also with a child process of its own (orphan); make nothing "
        "(no_output).",
    )
    fail_at_step: int = Field(1, ge=1, le=100_000, description="Step in which it fails.")
    fail_once: bool = Field(default=False, description="Fail only if no earlier attempt left a checkpoint.")
    exit_code: int = Field(3, ge=0, le=255, description="For failure=exit.")
    memory_mib: int = Field(256, ge=1, le=1_000_000, description="For failure=memory: how much is allocated at once.")
    print_lines: int = Field(0, ge=0, le=1_000_000, description="Lines to print to each of stdout and stderr.")


MAKE = OperationSpec(
    name="example.make",
    version=1,
    summary="Make a nearest-centroid classifier from data, a base and teachers; every input is optional.",
    params=MakeParams,
    implementation="zoo_example.make:run",
    inputs=(
        Port(
            name="data",
            kind=RepositoryKind.DATASET,
            role=LineageRole.TRAINED_ON,
            required=False,
            description="Pictures; without them, centroids are drawn from the seed.",
        ),
        Port(
            name="base",
            formats=("json",),
            role=LineageRole.BASE,
            required=False,
            description="Centroids to start from.",
        ),
        Port(
            name="teacher",
            formats=("json",),
            role=LineageRole.TEACHER,
            required=False,
            many=True,
            weighted=True,
            description="Centroids to blend in, by weight.",
        ),
    ),
    outputs=(Port(name="model", formats=("json",)), Port(name="notes", formats=("text",), required=False)),
    resources=Resources(memory_gib=0.5, threads=1, time_limit_seconds=600),
    deterministic=True,
    strategy=StrategyKind.TRAINING,
)

SCORE = OperationSpec(
    name="example.score",
    version=1,
    summary="Measure a nearest-centroid classifier.",
    params=ScoreParams,
    implementation="zoo_example.score:run",
    inputs=(
        Port(name="model", formats=("json",), measured=True, description="Centroids."),
        Port(name="data", kind=RepositoryKind.DATASET, role=LineageRole.EVALUATED_ON, description="Labelled pictures."),
    ),
    resources=Resources(memory_gib=0.5, threads=1, time_limit_seconds=600),
    deterministic=True,
)

WAIT = OperationSpec(
    name="example.wait",
    version=1,
    summary="Wait step by step, with checkpoints, and fail in the way that the parameters ask for.",
    params=WaitParams,
    implementation="zoo_example.wait:run",
    inputs=(
        Port(
            name="base",
            formats=("json",),
            role=LineageRole.BASE,
            required=False,
            description="Any model; it is not read.",
        ),
    ),
    outputs=(Port(name="model", formats=("json",)),),
    resources=Resources(memory_gib=0.5, threads=1, time_limit_seconds=3600),
    deterministic=True,
    strategy=StrategyKind.TRAINING,
)
