"""What a plugin can do: an operation is data (:class:`OperationSpec`) that names a function."""

import json
from functools import cache, cached_property
from hashlib import sha256
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import to_jsonable_python

from zoo_sdk.conversions import ConversionEdge
from zoo_sdk.errors import InvalidInput
from zoo_sdk.formats import find_format
from zoo_sdk.rules import RULES_KEY, Given, Rule, broken_rules, rules_as_data
from zoo_sdk.vocabulary import LineageRole, RepositoryKind, StrategyKind


class OperationParams(BaseModel):
    """Base of every operation's parameters: frozen, unknown keys refused, infinities and NaN refused.

    ``RULES``: what parameters ask of each other, as data, so that the registry can check it too; those of all bases
    hold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    RULES: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def all_rules(cls) -> tuple[Rule, ...]:
        """Its own rules and those of its bases."""
        return tuple(rule for kind in reversed(cls.__mro__) for rule in vars(kind).get("RULES", ()))

    @model_validator(mode="after")
    def _keeps_the_rules(self) -> Self:
        rules = self.all_rules()
        if rules:
            broken = list(broken_rules(rules, Given(self.model_dump(mode="json"), _defaults_of(type(self)))))
            if broken:
                raise ValueError("; ".join(item.message for item in broken))
        return self


@cache
def _defaults_of(params: type[OperationParams]) -> dict[str, Any]:
    """As JSON has them."""
    optional = {name: field for name, field in params.model_fields.items() if not field.is_required()}
    return {name: to_jsonable_python(field.get_default(call_default_factory=True)) for name, field in optional.items()}


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Port(_Record):
    """A named input or output.

    ``formats``: accepted artifact formats in order of preference (an input takes the first that the version has).
    ``role``: the lineage edge that an input leaves on what the operation makes.
    ``many``: one or several versions; ``weighted``: each may carry a weight.
    ``measured``: the operation's measurements are about this input's version (evaluation, benchmark).
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    kind: RepositoryKind = RepositoryKind.MODEL
    formats: tuple[str, ...] = ()
    role: LineageRole | None = None
    required: bool = True
    many: bool = False
    weighted: bool = False
    measured: bool = False
    description: str = ""

    @model_validator(mode="after")
    def _known_formats(self) -> Self:
        for name in self.formats:
            find_format(name)
        return self


MAX_GPUS = 16
"""The most GPUs that one job may ask for."""


class Resources(_Record):
    """What an attempt needs: GPUs, host memory, threads (None: all the worker has) and seconds before it is stopped.

    ``gpus``: the number that it needs, and gets where a job asks for none; ``max_gpus``: the most that it can use, so
    the most that a job may ask for (default: just those that it needs).
    """

    gpus: int = Field(0, ge=0, le=MAX_GPUS)
    max_gpus: int = Field(default_factory=lambda given: given.get("gpus", 0), ge=0, le=MAX_GPUS)
    memory_gib: float = Field(4, gt=0)
    threads: int | None = Field(None, ge=1)
    time_limit_seconds: int = Field(24 * 3600, ge=1)

    @model_validator(mode="after")
    def _can_use_what_it_needs(self) -> Self:
        if self.gpus > self.max_gpus:
            raise ValueError(f"needs {self.gpus} GPUs, but can use {self.max_gpus} at most")
        return self


def queue_of(operation: str, gpus: int) -> str:
    """The Celery queue of a job of this operation with so many GPUs: plugin group and resource class."""
    return f"{operation.split('.', 1)[0]}.{'gpu' if gpus else 'cpu'}"


class OperationManifest(_Record):
    """An operation as the registry knows it: plain data, sent by workers when they register."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+$", max_length=100)
    version: int = Field(ge=1)
    summary: str = Field(max_length=400)
    params_schema: dict[str, Any]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    resources: Resources
    deterministic: bool
    strategy: StrategyKind | None
    method: str
    edges: tuple[ConversionEdge, ...] = ()

    @property
    def digest(self) -> str:
        """Digest of the canonical JSON: two workers that offer the same name and version must offer the same digest.

        What an operation makes no use of is left out, so that its digest is what it was before that field.
        """
        content = self.model_dump(mode="json", exclude=None if self.edges else {"edges"})
        if self.resources.max_gpus == self.resources.gpus:
            del content["resources"]["max_gpus"]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return f"sha256:{sha256(text.encode()).hexdigest()}"

    @property
    def family(self) -> str:
        """The plugin group, the part before the first dot; it names the queue."""
        return self.name.split(".", 1)[0]

    @property
    def queue(self) -> str:
        """The Celery queue of a job that asks for nothing: plugin group and resource class, such as ``torch.cpu``."""
        return self.queue_for(self.resources.gpus)

    @property
    def queues(self) -> tuple[str, ...]:
        """All queues from which jobs of the operation may come."""
        return tuple(dict.fromkeys((self.queue, self.queue_for(self.resources.max_gpus))))

    def queue_for(self, gpus: int) -> str:
        """The queue of a job with so many GPUs."""
        return queue_of(self.name, gpus)


class OperationSpec(BaseModel):
    """An operation: what it needs, what it makes and which function does it.

    ``implementation`` is ``"package.module:function"``; the module is imported in the child process only, so importing
    specs imports no framework.  ``strategy`` is the kind of step that a made version's strategy gains (None: it
    makes none).
    ``method`` is the step's default method name; an operation whose parameters have a ``method`` field overrides it.
    ``edges``: the conversions that the planner may use it for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: int
    summary: str
    params: type[OperationParams]
    implementation: str = Field(pattern=r"^[\w.]+:\w+$")
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    resources: Resources = Resources()
    deterministic: bool = False
    strategy: StrategyKind | None = None
    method: str = ""
    edges: tuple[ConversionEdge, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        # An input and an output may share one: a conversion turns a `model` into a `model`.
        for side, ports in (("inputs", self.inputs), ("outputs", self.outputs)):
            names = [port.name for port in ports]
            if len(names) != len(set(names)):
                raise ValueError(f"{self.name}: two {side} share a name: {names}")
        if self.outputs and self.strategy is None:
            raise ValueError(f"{self.name}: makes a model, so it must name its strategy")
        for edge in self.edges:
            self._check_edge(edge)
        _ = self.manifest
        return self

    def _check_edge(self, edge: ConversionEdge) -> None:
        """An edge is between formats that the operation takes and makes, and names only parameters that it has."""
        port = next((item for item in self.inputs if item.name == edge.port), None)
        if port is None or edge.source not in port.formats:
            raise ValueError(f"{self.name}: the edge {edge} starts at a format that no input {edge.port!r} takes")
        if not self.outputs or edge.target not in self.outputs[0].formats:
            raise ValueError(f"{self.name}: the edge {edge} ends at a format that the first output is not in")
        unknown = sorted({*edge.params, *edge.asks} - set(self.params.model_fields))
        if unknown:
            raise ValueError(f"{self.name}: the edge {edge} names the unknown parameters {', '.join(unknown)}")
        try:
            self.params.model_validate(edge.params)
        except ValidationError as error:
            # What is missing is for the caller to give.
            wrong = [".".join(map(str, item["loc"])) for item in error.errors() if item["type"] != "missing"]
            if wrong:
                raise ValueError(f"{self.name}: the edge {edge} gives wrong values to {', '.join(wrong)}") from error

    @cached_property
    def manifest(self) -> OperationManifest:
        """The plain data that the registry keeps."""
        return OperationManifest(
            name=self.name,
            version=self.version,
            summary=self.summary,
            params_schema=self._params_schema(),
            inputs=self.inputs,
            outputs=self.outputs,
            resources=self.resources,
            deterministic=self.deterministic,
            strategy=self.strategy,
            method=self.method or self.name.partition(".")[2],
            edges=self.edges,
        )

    def _params_schema(self) -> dict[str, Any]:
        rules = self.params.all_rules()
        names = {name for rule in rules for name in rule.names()}
        if unknown := names - self.params.model_fields.keys():
            raise ValueError(f"{self.name}: a rule names {sorted(unknown)}, which are no parameters")
        return self.params.model_json_schema() | ({RULES_KEY: rules_as_data(rules)} if rules else {})

    def parse_params(self, values: dict[str, Any]) -> OperationParams:
        """Validate parameters; raises :class:`InvalidInput` with one line per wrong field."""
        try:
            return self.params.model_validate(values)
        except ValidationError as error:
            lines = [
                f"{'.'.join(map(str, item['loc']))}: {item['msg']} (got {item['input']!r})" for item in error.errors()
            ]
            raise InvalidInput(f"Wrong parameters for {self.name}: " + "; ".join(lines)) from error


PortKind = Literal["model", "dataset"]
