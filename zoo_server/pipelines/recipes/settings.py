"""Which values and axes hold: the recipe's own, a set's, or the request's; and what references to them mean."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from zoo_server.jobs.services.faults import known_names
from zoo_server.pipelines.recipes.faults import REQUEST, FaultList, Key, dotted
from zoo_server.pipelines.recipes.references import (
    SETTINGS,
    RecipeReference,
    Root,
    looks_like_reference,
    member_of,
    parse_reference,
)
from zoo_server.pipelines.recipes.schema import (
    GPUS_WORDS,
    LARGEST_SEED,
    Binding,
    Gate,
    Recipe,
    Step,
    check_axis,
    check_value,
    is_gpus,
)

MAX_PARAMETERS = 200
"""How many parameters one layer may have; merging them for each point of the matrix takes time."""


@dataclass(frozen=True)
class Setting:
    """A value, and where it was written.  ``members``: where those members of it were that came from elsewhere."""

    value: Any
    key: Key
    members: Mapping[str, Key] = field(default_factory=dict)

    def place_of(self, path: tuple[str, ...]) -> Key:
        """Where the member at ``path`` of the value was written."""
        if path and path[0] in self.members:
            return (*self.members[path[0]], *path[1:])
        return (*self.key, *path)

    def replaced_by(self, value: Any, key: Key) -> "Setting":
        """This with what a set or a request gives for it: a mapping replaces the members that both have."""
        if not isinstance(self.value, dict) or not isinstance(value, dict):
            return Setting(value, key)
        changes = {name: inner for name, inner in value.items() if name in self.value}
        return Setting(self.value | changes, self.key, {**self.members, **{name: (*key, name) for name in changes}})


def unknown_members(default: Any, value: Any) -> list[str]:
    """The members of the mapping ``value`` that the mapping ``default``, which it changes, does not have."""
    if not isinstance(default, dict) or not isinstance(value, dict):
        return []
    return [name for name in value if name not in default]


@dataclass(frozen=True)
class Settings:
    """What ``${values...}`` and ``${axes...}`` stand for.  ``axes``: all values of each, in order."""

    values: Mapping[str, Setting]
    axes: Mapping[str, Sequence[Setting]]


@dataclass(frozen=True)
class Overrides:
    """What a request replaces: a set's name, values and axes."""

    set_name: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    axes: Mapping[str, list[Any]] = field(default_factory=dict)


@dataclass
class Resolved:
    """A value without references.

    ``origins``: for each place inside it that came from elsewhere, where it was written.  ``complete``: no part is
    missing because a reference names nothing.
    """

    value: Any
    origins: dict[Key, Key]
    complete: bool = True

    def place_of(self, key: Key, base: Key) -> Key:
        """Where the value at ``key`` (below ``base``, the place of the whole) was written."""
        for end in range(len(key), len(base) - 1, -1):
            if key[:end] in self.origins:
                return (*self.origins[key[:end]], *key[end:])
        return key

    def merge(self, base: Key, layer: "Resolved", place: Key) -> None:
        """Replace and add the members of the mapping ``layer`` (at ``place``) in this one (at ``base``)."""
        depth = len(base)
        self.value |= layer.value
        self.origins = {key: origin for key, origin in self.origins.items() if key[depth] not in layer.value}
        self.origins |= {(*base, name): layer.place_of((*place, name), place) for name in layer.value}
        inside = ((key[len(place) :], origin) for key, origin in layer.origins.items())
        self.origins |= {(*base, *path): origin for path, origin in inside if path}


def settings_of(recipe: Recipe, overrides: Overrides, faults: FaultList) -> Settings:
    """The values and axes that hold for these overrides; faults for names that do not exist."""
    values = {name: Setting(value, ("values", name)) for name, value in recipe.values.items()}
    axes = {name: _axis(items, ("axes", name)) for name, items in recipe.axes.items()}
    if overrides.set_name is not None:
        chosen = recipe.sets.get(overrides.set_name)
        if chosen is None:
            faults.add(
                (REQUEST, "set"),
                f"the recipe has no set {overrides.set_name[:60]!r}",
                overrides.set_name,
                known_names(overrides.set_name, recipe.sets),
            )
        else:
            base = ("sets", overrides.set_name)
            values |= _replaced(values, chosen.values, (*base, "values"))
            axes |= {name: _axis(items, (*base, "axes", name)) for name, items in chosen.axes.items()}
    _check_overrides(recipe, overrides, faults)
    values |= _replaced(values, overrides.values, (REQUEST, "values"))
    axes |= {name: _axis(items, (REQUEST, "axes", name)) for name, items in overrides.axes.items() if name in axes}
    return Settings(values, axes)


def _replaced(values: Mapping[str, Setting], given: Mapping[str, Any], base: Key) -> dict[str, Setting]:
    """The settings that ``given`` changes; names that do not exist are told elsewhere."""
    return {name: values[name].replaced_by(value, (*base, name)) for name, value in given.items() if name in values}


def _axis(items: Sequence[Any], key: Key) -> list[Setting]:
    return [Setting(item, (*key, index)) for index, item in enumerate(items)]


def _check_overrides(recipe: Recipe, overrides: Overrides, faults: FaultList) -> None:
    for kind, given, known, check in (
        ("values", overrides.values, recipe.values, check_value),
        ("axes", overrides.axes, recipe.axes, check_axis),
    ):
        for name, value in given.items():
            key = (REQUEST, kind, name)
            if name not in known:
                faults.add(key, f"is not one of the recipe's {kind}", name, known_names(name, known))
                continue
            try:
                check(value)
            except ValueError as error:
                faults.add(key, str(error), value)
            for member in unknown_members(known[name], value):
                message = f"is not a member of values.{name}"
                faults.add((*key, member), message, member, known_names(member, known[name]))


@dataclass(frozen=True)
class Point:
    """The settings at one point of the matrix: a value for each axis of the step."""

    settings: Settings
    coordinates: Mapping[str, Setting] = field(default_factory=dict)

    def setting(self, reference: RecipeReference) -> Setting | None:
        """What a reference's name stands for here."""
        where = self.coordinates if reference.root is Root.AXES else self.settings.values
        return where.get(reference.name)


def combinations(settings: Settings, axes: Sequence[str]) -> Iterator[dict[str, Setting]]:
    """Every combination of the values of these axes, the last one changing fastest."""
    for items in product(*(settings.axes[axis] for axis in axes)):
        yield dict(zip(axes, items, strict=True))


def resolve(value: Any, key: Key, at: Point, faults: FaultList) -> Resolved:
    """``value`` with every reference replaced by what it stands for at this point of the matrix.

    References to names that do not exist are faults of the names' check, and left as they are here.
    """
    origins: dict[Key, Key] = {}

    def replaced(inner: Any, place: Key) -> Any:
        if isinstance(inner, dict):
            return {name: replaced(item, (*place, name)) for name, item in inner.items()}
        if isinstance(inner, list):
            return [replaced(item, (*place, index)) for index, item in enumerate(inner)]
        try:
            reference = _reference(inner)
            setting = at.setting(reference) if reference else None
            if reference is None or setting is None:
                return inner
            found = member_of(setting.value, reference)
        except ValueError as error:
            faults.add(place, str(error), str(inner))
            return inner
        origins[place] = setting.place_of(reference.members)
        if not reference.members:
            origins.update({(*place, name): key for name, key in setting.members.items()})
        return found

    return Resolved(replaced(value, key), origins)


def resolve_params(base: Key, step: Step, at: Point, faults: FaultList) -> Resolved:
    """The parameters of the step at ``base`` as one mapping: its layers from left to right, later keys win."""
    place: Key = (*base, "params")
    merged = Resolved({}, {})
    for index, layer in enumerate(step.params):
        key: Key = (*place, index)
        resolved = resolve(layer, key, at, faults)
        found = resolved.value
        if isinstance(found, RecipeReference):  # it names nothing, which was told
            merged.complete = False
        elif not isinstance(found, dict):
            message = f"{found!r:.100} is not a mapping of parameters, as {dotted(place)}"
            faults.add(resolved.place_of(key, key), message, found, "a mapping")
        elif len(found) > MAX_PARAMETERS:
            message = f"has {len(found)} members; at most {MAX_PARAMETERS} parameters are allowed"
            faults.add(resolved.place_of(key, key), message, None, f"at most {MAX_PARAMETERS} parameters")
        else:
            merged.merge(place, resolved, key)
    return merged


def _reference(value: Any) -> RecipeReference | None:
    if isinstance(value, RecipeReference):
        return value
    return parse_reference(value, roots=SETTINGS) if looks_like_reference(value) else None


def seed_of(base: Key, step: Step, at: Point, faults: FaultList) -> int:
    """The seed of the step at ``base``; 0 where it is wrong."""
    value = _checked(step.seed, (*base, "seed"), at, faults)
    return value if isinstance(value, int) else 0


def gpus_of(base: Key, step: Step, at: Point, faults: FaultList) -> int | None:
    """How many GPUs the step at ``base`` asks for; None: it does not say, or it is wrong."""
    value: int | None = _checked(step.gpus, (*base, "gpus"), at, faults)
    return value


def weight_of(base: Key, binding: Binding, at: Point, faults: FaultList) -> float | None:
    """The weight of the input at ``base``."""
    value: float | None = _checked(binding.weight, (*base, "weight"), at, faults)
    return value


def limit_of(base: Key, gate: Gate, at: Point, faults: FaultList) -> float:
    """The limit of the gate at ``base``; 0 where it is wrong."""
    return _checked(gate.limit, (*base, gate.rule), at, faults) or 0.0


def _checked(value: Any, key: Key, at: Point, faults: FaultList) -> Any:
    resolved = resolve(value, key, at, faults)
    found = resolved.value
    if found is None or isinstance(found, RecipeReference):
        return None
    kind = key[-1]
    numeric = isinstance(found, int | float) and not isinstance(found, bool)
    if kind == "seed":
        right, allowed = isinstance(found, int) and numeric and 0 <= found <= LARGEST_SEED, "a whole number, at least 0"
    elif kind == "gpus":
        right, allowed = is_gpus(found), GPUS_WORDS
    elif kind == "weight":
        right, allowed = numeric and found > 0, "a number greater than 0"
    else:
        right, allowed = numeric, "a number"
    if not right:
        faults.add(resolved.place_of(key, key), f"{found!r} is not {allowed}, as {dotted(key)}", found, allowed)
        return None
    return found if kind in {"seed", "gpus"} else float(found)
