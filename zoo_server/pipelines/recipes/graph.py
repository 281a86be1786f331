"""A recipe with its values and matrix filled in: step instances and edges, as plain data that can be stored."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from zoo_server.pipelines.recipes.uses import EdgeKind

Rule = Literal["at_least", "at_most", "at_most_below", "at_most_times"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Record):
    """Where a version comes from: the caller (``input``) or a step instance (``step``), by name or key."""

    input: str | None = None
    step: str | None = None

    def __str__(self) -> str:
        return f"inputs.{self.input}" if self.input is not None else f"steps.{self.step}"


class BoundInput(_Record):
    """One version for a port: the first source that has one."""

    first_of: tuple[Source, ...]
    weight: float | None = None
    artifact: str | None = None

    def __str__(self) -> str:
        return " or ".join(str(source) for source in self.first_of)


class BoundGate(_Record):
    """A gate of a step instance; ``run``: keys of the instances that run when it does not pass (none: stop)."""

    metric: str
    rule: Rule
    limit: float
    than: Source | None = None
    split: str | None = None
    runtime: str | None = None
    run: tuple[str, ...] = ()

    def __str__(self) -> str:
        rule = {"at_least": ">=", "at_most": "<=", "at_most_below": ">=", "at_most_times": "<="}[self.rule]
        if self.than is None:
            return f"{self.metric} {rule} {self.limit:g}"
        other = f"{self.metric} of {self.than}"
        if self.rule == "at_most_times":
            return f"{self.metric} {rule} {self.limit:g} * {other}"
        offset = -self.limit if self.rule == "at_most_below" else self.limit
        return f"{self.metric} {rule} {other} {'-' if offset < 0 else '+'} {abs(offset):g}"


class StepInstance(_Record):
    """One instance of a step: everything that its job needs but the versions that other steps have yet to make.

    ``gpus``: how many it asks for; None: as many as its operation needs.
    """

    key: str
    name: str
    coordinates: dict[str, Any]
    operation: str
    params: dict[str, Any]
    seed: int
    gpus: int | None = None
    inputs: dict[str, tuple[BoundInput, ...]]
    gates: tuple[BoundGate, ...] = ()
    model: str | None = None
    max_attempts: int = 3
    time_limit_seconds: int | None = None
    left_out: str = Field("", description="Why the step is not needed; empty: it is.")


class Edge(_Record):
    """``target`` waits for ``source``: keys of step instances."""

    source: str
    target: str
    kind: EdgeKind


class GraphOutput(_Record):
    """What is registered under a name: alternatives in order, each the keys of all instances of one step."""

    first_of: tuple[tuple[str, ...], ...]
    model: str
    alias: str | None = None


class Graph(_Record):
    """The whole of it; the steps so that each comes after those that it waits for."""

    steps: tuple[StepInstance, ...]
    edges: tuple[Edge, ...]
    outputs: dict[str, GraphOutput]
