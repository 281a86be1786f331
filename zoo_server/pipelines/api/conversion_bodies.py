"""The bodies of the conversion routes."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from zoo_sdk.vocabulary import Precision


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ConversionStartBody(_Body):
    """The artifact that the path begins with.  ``precision`` null: its description names none; it is taken as fp32."""

    artifact: str
    format: str
    precision: Precision | None


class ConversionStepBody(_Body):
    """One edge of the path; ``params`` are what the operation gets beside its defaults."""

    operation: str
    source: str
    source_precision: Precision
    target: str
    target_precision: Precision
    cost: int
    params: dict[str, Any]


class EdgeBody(_Body):
    """An edge; ``reasons``: why it cannot be taken now.  ``precision`` null: the source's is kept."""

    operation: str
    source: str
    target: str
    precision: Precision | None
    cost: int
    reasons: list[str]


class KnownEdgeBody(EdgeBody):
    """An edge with its conditions.  ``takes``: the precisions of a source (none: any); ``asks``: the options to give
    where the source's details do not say them; ``requires``: what a machine must have.
    """

    takes: list[Precision]
    asks: list[str]
    requires: list[str]
    available: bool


class EdgesBody(_Body):
    """Every edge that workers offer, by operation."""

    edges: list[KnownEdgeBody]


class ConversionPlanBody(_Body):
    """The cheapest available path.  ``found`` false: there is none, and ``problem`` says why; without steps there is
    nothing to do.  ``recipe``: what ``POST conversions`` would run.
    """

    version: str
    to: str
    found: bool
    problem: str
    start: ConversionStartBody | None
    steps: list[ConversionStepBody]
    cost: int
    unavailable: list[EdgeBody]
    team: str | None
    model: str
    recipe: str | None
