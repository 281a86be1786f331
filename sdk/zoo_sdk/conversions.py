"""Conversions as data: the edges of the graph of formats that operations declare, and what a machine needs for them."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from zoo_sdk.formats import find_format
from zoo_sdk.vocabulary import Precision


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Requirement(_Record):
    """What a machine must have beside the plugin: an installed distribution (``name``), or a GPU.

    ``reason`` says what it is for; people read it where the edge cannot be taken.
    """

    kind: Literal["package", "gpu"]
    name: str = Field("", pattern=r"^(?:[A-Za-z0-9][A-Za-z0-9._-]{0,99})?$")
    reason: str = Field(min_length=1, max_length=200)

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        if (self.kind == "package") != bool(self.name):
            raise ValueError("a package has a name, a GPU has none")
        return self


class ConversionEdge(_Record):
    """An operation as a way from one format to another.

    ``cost``: what the planner adds up; 10 is an ordinary conversion.  ``takes``: the precisions of a source that it can
    start from (none: any).  ``precision``: the target's; None: the source's is kept.  ``params``: the parameters that
    make the operation do this.  ``asks``: the parameters that the caller must give, except where the source's artifact
    says them in its details, under the same name.  ``tells``: what the details of the target's artifact say, so that
    later edges need not ask for it.  ``requires``: what a machine must have beside the plugin.  ``port``: the input
    that is converted.
    """

    source: str
    target: str
    cost: int = Field(10, ge=1, le=1000)
    takes: tuple[Precision, ...] = ()
    precision: Precision | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    asks: tuple[str, ...] = ()
    tells: tuple[str, ...] = ()
    requires: tuple[Requirement, ...] = ()
    port: str = "model"

    @field_validator("source", "target")
    @classmethod
    def _known_format(cls, value: str) -> str:
        return find_format(value).name

    def __str__(self) -> str:
        precision = f" {self.precision}" if self.precision else ""
        return f"{self.source} -> {self.target}{precision}"


class Unserved(_Record):
    """The conversions of an operation that a machine has the plugin for, but whose ``queue`` it does not serve.

    Workers tell them when they register, so that the planner can say why such an edge cannot be taken.
    """

    operation: str
    queue: str
    gpus: int = Field(ge=0)
    edges: tuple[ConversionEdge, ...]


def missing_packages(edges: Iterable[ConversionEdge]) -> list[str]:
    """The packages that ``edges`` require and this environment lacks; nothing is imported."""
    wanted = {item.name for edge in edges for item in edge.requires if item.kind == "package"}
    return sorted(name for name in wanted if not _is_installed(name))


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
