"""From text to a :class:`Recipe`: read, then checked against the schema, with every fault at its line and key."""

from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from zoo_server.jobs.services.faults import known_names
from zoo_server.pipelines.recipes.faults import FaultList, Key
from zoo_server.pipelines.recipes.reading import read_document
from zoo_server.pipelines.recipes.schema import Recipe

DEFAULT_FILE = "recipe.yaml"
_OF_A_KEY = "[key]"
"""Pydantic ends the place of a wrong mapping key with this."""
_WORDS = {
    "string_type": "a text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


@dataclass
class RecipeDocument:
    """A well-formed recipe, and the faults that later checks find in it."""

    recipe: Recipe
    faults: FaultList


def load_recipe(text: str, *, file: str = DEFAULT_FILE) -> RecipeDocument:
    """The recipe in ``text``; raises :class:`InvalidRecipe` for text that is not YAML or has another shape."""
    document = read_document(text, file=file)
    faults = FaultList(file, document.marks)
    try:
        recipe = Recipe.model_validate(document.value)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            if not faults.is_full:
                _add_fault(faults, item)
        faults.raise_any()
        raise
    return RecipeDocument(recipe, faults)


def _add_fault(faults: FaultList, item: Any) -> None:
    place: Key = tuple(part for part in item["loc"] if part != _OF_A_KEY)
    kind = item["type"]
    value = item["input"] if not isinstance(item["input"], dict | list) else None
    if kind == "extra_forbidden":
        known = _keys_at(place[:-1])
        faults.add(_written(faults, place), "is not a key here", place[-1], known_names(str(place[-1]), known))
    elif kind == "missing":
        faults.add((*_written(faults, place[:-1]), place[-1]), "is required", None, "")
    elif kind == "value_error":
        faults.add(_written(faults, place), str(item["ctx"]["error"]), value, "")
    else:
        faults.add(_written(faults, place), item["msg"], value, _WORDS.get(kind, _allowed(item)))


def _allowed(item: Any) -> str:
    context = item.get("ctx", {})
    return str(context.get("expected") or context.get("pattern") or "")


def _written(faults: FaultList, place: Key) -> Key:
    """The part of ``place`` that is in the text."""
    key = faults.written(place)
    return next(key[:end] for end in range(len(key), -1, -1) if key[:end] in faults.marks)


def _keys_at(place: Key) -> list[str]:
    """The keys that the schema knows at ``place``."""
    found: list[type[BaseModel]] = [Recipe]
    for part in place:
        annotations = [
            field.annotation
            for model in found
            for name, field in model.model_fields.items()
            if part in {name, field.alias}
        ]
        if annotations:
            found = [model for annotation in annotations for model in _models_in(annotation)]
    return [field.alias or name for model in found for name, field in model.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
