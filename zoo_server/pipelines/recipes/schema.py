"""The shape of a recipe: strict types, unknown keys refused; what the names in it mean is checked elsewhere."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    model_validator,
)

from zoo_sdk.errors import UnknownName
from zoo_sdk.measures import find_measure
from zoo_sdk.names import Name
from zoo_sdk.operations import MAX_GPUS
from zoo_sdk.vocabulary import RepositoryKind
from zoo_server.jobs.requests import MAX_INPUTS_PER_PORT
from zoo_server.jobs.services.stored import storable
from zoo_server.pipelines.recipes.reading import MAX_DEPTH
from zoo_server.pipelines.recipes.references import (
    SETTINGS,
    VERSIONS,
    RecipeReference,
    Root,
    looks_like_reference,
    parse_reference,
)

MAX_STEPS = 200
MAX_AXIS = 200
MAX_LAYERS = 10
MAX_AXIS_VALUE = 100
MAX_VALUE_BYTES = 64 * 1024
LARGEST_SEED = 2**63 - 1
GPUS_WORDS = f"a whole number from 0 to {MAX_GPUS}"

RecipeName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,53}[a-z0-9])?$")]
StepName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_-]{0,38}[a-z0-9])?$")]
PartName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,59}$")]
PortName = Annotated[str, StringConstraints(max_length=40)]
Text = Annotated[str, StringConstraints(max_length=8000)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _version_reference(value: Any) -> RecipeReference:
    if not isinstance(value, str):
        raise ValueError("must be a reference to a version: ${steps.NAME} or ${inputs.NAME}")  # noqa: TRY004  for pydantic
    return parse_reference(value, roots=VERSIONS)


def _step_reference(value: Any) -> RecipeReference:
    if not isinstance(value, str):
        raise ValueError("must be a reference to a step: ${steps.NAME}")  # noqa: TRY004
    return parse_reference(value, roots=(Root.STEPS,))


def _number_or_reference(value: Any) -> float | RecipeReference | None:
    if value is None:
        return None
    if looks_like_reference(value):
        return parse_reference(value, roots=SETTINGS)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number or ${values.NAME}")  # noqa: TRY004
    return float(value)


def _seed_or_reference(value: Any) -> int | RecipeReference:
    if looks_like_reference(value):
        return parse_reference(value, roots=SETTINGS)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_SEED:
        raise ValueError(f"must be a whole number from 0 to {LARGEST_SEED} or ${{axes.NAME}}")
    return value


def _gpus_or_reference(value: Any) -> int | RecipeReference | None:
    if looks_like_reference(value):
        return parse_reference(value, roots=SETTINGS)
    if value is not None and not is_gpus(value):
        raise ValueError(f"must be {GPUS_WORDS}, or ${{values.NAME}}")
    return value


def is_gpus(value: Any) -> bool:
    """Whether it is a number of GPUs."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_GPUS


def _small(value: Any) -> Any:
    if len(json.dumps(value)) > MAX_VALUE_BYTES:
        raise ValueError(f"is larger than {MAX_VALUE_BYTES // 1024} KiB")
    return value


def _settings_only(value: Any, depth: int = 0) -> Any:
    if looks_like_reference(value):
        raise ValueError("cannot hold references: write the value itself")
    if not isinstance(value, dict | list) and storable(value) != value:
        raise ValueError("holds a NUL, half a character or a number that is not finite")
    if isinstance(value, int) and abs(value) > LARGEST_SEED:
        raise ValueError(f"holds a whole number beyond {LARGEST_SEED}")
    if depth > MAX_DEPTH:
        raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
    for inner in (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ():
        _settings_only(inner, depth + 1)
    return value


def check_value(value: Any) -> Any:
    """A setting as it is; raises :class:`ValueError` for one that is too large or holds references."""
    return _settings_only(_small(value))


def check_axis(values: list[Any]) -> list[Any]:
    """An axis as it is; raises :class:`ValueError` if it has no values, too many, equal ones or odd ones."""
    if not 1 <= len(values) <= MAX_AXIS:
        raise ValueError(f"has {len(values)} values; an axis has 1 to {MAX_AXIS}")
    _settings_only(_small(values))
    texts = [json.dumps(value, sort_keys=True) for value in values]
    for index, text in enumerate(texts):
        if len(text) > MAX_AXIS_VALUE:
            raise ValueError(f"holds a value of {len(text)} characters; at most {MAX_AXIS_VALUE} are allowed")
        if text in texts[:index]:
            raise ValueError(f"holds {text[:80]} twice")
        if isinstance(values[index], list) or values[index] is None:
            raise ValueError(f"holds {text[:80]}; a value of an axis is a number, a text, a boolean or a mapping")
    return values


def _measured(name: str) -> str:
    try:
        return find_measure(name).name
    except UnknownName as error:
        raise ValueError(str(error)) from error


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _as_binding(value: Any) -> Any:
    return value if isinstance(value, dict) else {"from": value}


def _as_choice(value: Any) -> Any:
    return value if isinstance(value, dict) else {"first_of": [value]}


def _layer(value: Any) -> Any:
    if isinstance(value, dict):
        return value
    if not looks_like_reference(value):
        raise ValueError("must be a mapping of parameters, or ${values.NAME} that is one")
    return parse_reference(value, roots=SETTINGS)


def _otherwise(value: Any) -> Any:
    return {"run": []} if value == "stop" else value


VersionReference = Annotated[RecipeReference, BeforeValidator(_version_reference)]
StepReference = Annotated[RecipeReference, BeforeValidator(_step_reference)]
Number = Annotated[Any, BeforeValidator(_number_or_reference)]
Value = Annotated[Any, AfterValidator(check_value)]
Axis = Annotated[list[Any], AfterValidator(check_axis)]
Layer = Annotated[dict[str, Any] | RecipeReference, PlainValidator(_layer)]
"""Parameters: a mapping, or a reference to one."""


class RecipeInput(_Strict):
    """What the caller has to name."""

    kind: Annotated[RepositoryKind, Field(strict=False)]
    required: bool = True
    description: Text = ""


class ParameterSet(_Strict):
    """Other values for the same graph; a mapping changes only the members that it names."""

    summary: Text = ""
    values: dict[PartName, Value] = Field(default_factory=dict, max_length=200)
    axes: dict[PartName, Axis] = Field(default_factory=dict, max_length=10)


class Choice(_Strict):
    """The first of several versions that there is; mostly just one."""

    first_of: list[VersionReference] = Field(min_length=1, max_length=10)


class StepChoice(_Strict):
    """The same among steps only."""

    first_of: list[StepReference] = Field(min_length=1, max_length=10)


class Binding(_Strict):
    """What goes into a port."""

    source: Annotated[Choice, BeforeValidator(_as_choice)] = Field(alias="from")
    weight: Number = None
    artifact: str | None = Field(None, min_length=1, max_length=400)


class Branch(_Strict):
    """What runs when a gate does not pass; no steps: it stops there."""

    run: list[StepName] = Field(max_length=50)


class Gate(_Strict):
    """A condition on a metric of what the step made or measured."""

    metric: Annotated[str, AfterValidator(_measured)]
    at_least: Number = None
    at_most: Number = None
    at_most_below: Number = None
    at_most_times: Number = None
    than: VersionReference | None = None
    split: str | None = Field(None, min_length=1, max_length=60)
    runtime: str | None = Field(None, min_length=1, max_length=40)
    otherwise: Annotated[Branch, BeforeValidator(_otherwise)] = Branch(run=[])

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        given = [name for name in RULES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(RULES)}, not {' and '.join(given) or 'none'}")
        if given[0] in RELATIVE_RULES and self.than is None:
            raise ValueError(f"{given[0]} needs `than`: the step or input that it is compared with")
        return self

    @property
    def rule(self) -> str:
        """The name of the condition."""
        return next(name for name in RULES if getattr(self, name) is not None)

    @property
    def limit(self) -> float | RecipeReference:
        """The condition's number."""
        found: float | RecipeReference = getattr(self, self.rule)
        return found


RULES = ("at_least", "at_most", "at_most_below", "at_most_times")
RELATIVE_RULES = ("at_most_below", "at_most_times")


class Step(_Strict):
    """One operation in the graph."""

    operation: str = Field(min_length=1, max_length=100)
    summary: Text = ""
    inputs: dict[
        PortName, Annotated[list[Annotated[Binding, BeforeValidator(_as_binding)]], BeforeValidator(_as_list)]
    ] = Field(default_factory=dict, max_length=32)
    params: Annotated[list[Layer], BeforeValidator(_as_list), Field(max_length=MAX_LAYERS)] = Field(
        default_factory=list, description="Merged from left to right: later keys win."
    )
    seed: Annotated[Any, BeforeValidator(_seed_or_reference)] = 0
    gpus: Annotated[Any, BeforeValidator(_gpus_or_reference)] = None
    for_each: list[PartName] = Field(default_factory=list, max_length=10)
    needs: list[StepName] = Field(default_factory=list, max_length=50)
    model: Name | None = None
    gates: list[Gate] = Field(default_factory=list, max_length=20)
    max_attempts: int = Field(3, ge=1, le=10)
    time_limit_seconds: int | None = Field(None, ge=1, le=30 * 86400)

    @model_validator(mode="after")
    def _bounded_ports(self) -> Self:
        for port, bindings in self.inputs.items():
            if len(bindings) > MAX_INPUTS_PER_PORT:
                raise ValueError(
                    f"inputs.{port} has {len(bindings)} entries; at most {MAX_INPUTS_PER_PORT} are allowed"
                )
        return self


class Output(_Strict):
    """What is registered under a name at the end."""

    source: Annotated[StepChoice, BeforeValidator(_as_choice)] = Field(alias="from")
    model: Name | None = None
    alias: Name | None = None


class Recipe(_Strict):
    """The whole document."""

    zoo_recipe: Literal[1]
    name: RecipeName
    summary: Text = ""
    source: Text = ""
    inputs: dict[PartName, RecipeInput] = Field(default_factory=dict, max_length=50)
    values: dict[PartName, Value] = Field(default_factory=dict, max_length=200)
    sets: dict[PartName, ParameterSet] = Field(default_factory=dict, max_length=20)
    axes: dict[PartName, Axis] = Field(default_factory=dict, max_length=10)
    steps: dict[StepName, Step] = Field(min_length=1, max_length=MAX_STEPS)
    outputs: dict[PartName, Output] = Field(default_factory=dict, max_length=50)
