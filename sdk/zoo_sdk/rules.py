"""Rules between parameters, as data: what one parameter asks of another, which a JSON Schema cannot say.

An operation's parameters declare them (:attr:`zoo_sdk.operations.OperationParams.RULES`).  The registry checks them
when a job is submitted or a recipe is planned, so that nobody waits for a worker to be told; the worker checks the same
ones again.  What needs more than these four kinds stays a validator of the parameters and is told by the worker.

A parameter is *set* if its value is not its default: a recorded job carries its defaults, too, and they mean nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

MAX_RULES = 200
RULES_KEY = "x-rules"
"""Where a parameter schema holds them."""

Name = Annotated[str, Field(min_length=1, max_length=100)]
Value = bool | int | float | str
Values = Annotated[tuple[Value, ...], Field(max_length=50)]


@dataclass(frozen=True)
class Broken:
    """A rule that does not hold: the parameter to blame, in words, and what is allowed."""

    field: str
    message: str
    allowed: str


class _Rule(BaseModel):
    """``reason``: why it is so, for people."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str = Field("", max_length=200)

    def _broken(self, field: str, message: str, allowed: str) -> Broken:
        return Broken(field, message + (f": {self.reason}" if self.reason else ""), allowed)


class Requires(_Rule):
    """``field``, if it is set (to one of ``values``, if there are some), needs one of ``needs`` to be set (to one of
    ``one_of``).
    """

    kind: Literal["requires"] = "requires"
    field: Name
    values: Values = ()
    needs: Annotated[tuple[Name, ...], Field(min_length=1, max_length=10)]
    one_of: Values = ()

    def names(self) -> tuple[str, ...]:
        """The parameters that it is about."""
        return (self.field, *self.needs)

    def check(self, given: "Given") -> Broken | None:
        """What is wrong, if anything."""
        if not given.has(self.field, self.values) or any(given.has(name, self.one_of) for name in self.needs):
            return None
        wanted = " or ".join(self.needs) + (f" to be {_listed(self.one_of)}" if self.one_of else "")
        return self._broken(self.field, f"{given.told(self.field, self.values)} needs {wanted}", wanted)


class Excludes(_Rule):
    """``field``, if it is set (to one of ``values``), does not go with ``other``, if that is set (to one of
    ``other_values``).
    """

    kind: Literal["excludes"] = "excludes"
    field: Name
    values: Values = ()
    other: Name
    other_values: Values = ()

    def names(self) -> tuple[str, ...]:
        """The parameters that it is about."""
        return (self.field, self.other)

    def check(self, given: "Given") -> Broken | None:
        """What is wrong, if anything."""
        if not given.has(self.field, self.values) or not given.has(self.other, self.other_values):
            return None
        one, two = given.told(self.field, self.values), given.told(self.other, self.other_values)
        return self._broken(self.field, f"{one} does not go with {two}", f"one of {self.field} and {self.other}")


class AtMost(_Rule):
    """The number ``field`` must not exceed the number ``limit``; where one of them is no number, there is no limit."""

    kind: Literal["at_most"] = "at_most"
    field: Name
    limit: Name

    def names(self) -> tuple[str, ...]:
        """The parameters that it is about."""
        return (self.field, self.limit)

    def check(self, given: "Given") -> Broken | None:
        """What is wrong, if anything."""
        value, limit = given.number(self.field), given.number(self.limit)
        if value is None or limit is None or value <= limit:
            return None
        return self._broken(
            self.field, f"{self.field} ({value:g}) must not exceed {self.limit} ({limit:g})", f"at most {limit:g}"
        )


class ExactlyOne(_Rule):
    """Just one of ``fields`` is set."""

    kind: Literal["exactly_one"] = "exactly_one"
    fields: Annotated[tuple[Name, ...], Field(min_length=2, max_length=20)]

    def names(self) -> tuple[str, ...]:
        """The parameters that it is about."""
        return self.fields

    def check(self, given: "Given") -> Broken | None:
        """What is wrong, if anything."""
        found = [name for name in self.fields if given.has(name)]
        if len(found) == 1:
            return None
        every = f"{', '.join(self.fields[:-1])} and {self.fields[-1]}"
        return self._broken(
            found[1] if found else "", f"give one of {every}; given: {', '.join(found) or 'none'}", "one of them"
        )


Rule = Annotated[Requires | Excludes | AtMost | ExactlyOne, Field(discriminator="kind")]


_RULES: TypeAdapter[tuple[Rule, ...]] = TypeAdapter(Annotated[tuple[Rule, ...], Field(max_length=MAX_RULES)])


@dataclass(frozen=True)
class Given:
    """Complete parameters and their defaults, both as JSON has them."""

    values: Mapping[str, Any]
    defaults: Mapping[str, Any]

    def has(self, name: str, values: Values = ()) -> bool:
        """Whether a parameter is one of ``values``; without any: whether it is set."""
        if name not in self.values:
            return False
        if values:
            return any(type(item) is type(self.values[name]) and item == self.values[name] for item in values)
        return name not in self.defaults or self.values[name] != self.defaults[name]

    def told(self, name: str, values: Values) -> str:
        """The parameter, with its value where that matters."""
        return f"{name}={self.values[name]}" if values else name

    def number(self, name: str) -> float | None:
        """The parameter's value, if it is a number."""
        value = self.values.get(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def broken_rules(rules: Sequence[Rule], given: Given) -> Iterator[Broken]:
    """Everything that does not hold."""
    for rule in rules:
        if (found := rule.check(given)) is not None:
            yield found


def rules_of(schema: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The rules that a parameter schema holds; raises :class:`pydantic.ValidationError` for what are none."""
    return _RULES.validate_python(schema.get(RULES_KEY, ()))


def rules_as_data(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """As a parameter schema holds them."""
    data: list[dict[str, Any]] = _RULES.dump_python(tuple(rules), mode="json")
    return data


def _listed(values: Values) -> str:
    return " or ".join(str(value) for value in values)
