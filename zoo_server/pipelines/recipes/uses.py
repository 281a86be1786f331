"""Where a recipe's steps refer to something: one list that every check of names and order goes through."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from zoo_server.pipelines.recipes.faults import Key
from zoo_server.pipelines.recipes.references import (
    SETTINGS,
    RecipeReference,
    leaves,
    looks_like_reference,
    parse_reference,
)
from zoo_server.pipelines.recipes.schema import Recipe, Step


class EdgeKind(StrEnum):
    """Why a step waits for another."""

    INPUT = "input"
    ORDER = "order"
    GATE = "gate"
    BRANCH = "branch"


@dataclass(frozen=True)
class Use:
    """A reference at a place of the recipe."""

    key: Key
    reference: RecipeReference


@dataclass(frozen=True)
class Need:
    """``target`` waits for ``source``: names of steps, and the place where the recipe says so."""

    source: str
    target: str
    kind: EdgeKind
    key: Key


def uses_of_versions(recipe: Recipe) -> Iterator[Use]:
    """Every reference to an input or a step, those of the outputs too."""
    for name, step in recipe.steps.items():
        yield from _uses_in_inputs(("steps", name), step)
        for index, gate in enumerate(step.gates):
            if gate.than is not None:
                yield Use(("steps", name, "gates", index, "than"), gate.than)
    for name, output in recipe.outputs.items():
        for index, reference in enumerate(output.source.first_of):
            yield Use(("outputs", name, "from", "first_of", index), reference)


def _uses_in_inputs(base: Key, step: Step) -> Iterator[Use]:
    for port, bindings in step.inputs.items():
        for position, binding in enumerate(bindings):
            for index, reference in enumerate(binding.source.first_of):
                yield Use((*base, "inputs", port, position, "from", "first_of", index), reference)


def uses_of_settings(name: str, step: Step) -> Iterator[Use]:
    """Every reference of a step to a value or an axis that is well formed."""
    base: Key = ("steps", name)
    places: list[tuple[Key, Any]] = []
    for key, value in leaves(step.params, (*base, "params")):
        if looks_like_reference(value):
            try:
                yield Use(key, parse_reference(value, roots=SETTINGS))
            except ValueError:
                continue  # said where parameters are resolved
        places.append((key, value))
    places += [((*base, "seed"), step.seed), ((*base, "gpus"), step.gpus)]
    for index, gate in enumerate(step.gates):
        places.append(((*base, "gates", index, gate.rule), gate.limit))
    for port, bindings in step.inputs.items():
        for position, binding in enumerate(bindings):
            places.append(((*base, "inputs", port, position, "weight"), binding.weight))
    for key, found in places:
        if isinstance(found, RecipeReference):
            yield Use(key, found)


def needs_of(recipe: Recipe) -> Iterator[Need]:
    """Why which step waits for which other, in the order of the text; names that do not exist are left out."""
    for name, step in recipe.steps.items():
        base: Key = ("steps", name)
        for use in _uses_in_inputs(base, step):
            if use.reference.name in recipe.steps and use.reference.root == "steps":
                yield Need(use.reference.name, name, EdgeKind.INPUT, use.key)
        for index, other in enumerate(step.needs):
            if other in recipe.steps:
                yield Need(other, name, EdgeKind.ORDER, (*base, "needs", index))
        for index, gate in enumerate(step.gates):
            place = (*base, "gates", index)
            if gate.than is not None and gate.than.root == "steps" and gate.than.name in recipe.steps:
                yield Need(gate.than.name, name, EdgeKind.GATE, (*place, "than"))
            for position, other in enumerate(gate.otherwise.run):
                if other in recipe.steps:
                    yield Need(name, other, EdgeKind.BRANCH, (*place, "otherwise", "run", position))
