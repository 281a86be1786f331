"""Parameters of an operation as people type them (``temperature=4``), turned into the types of its JSON Schema."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zoo_sdk.errors import InvalidInput, UnknownName

Schema = Mapping[str, Any]
_BOUNDS = (
    ("minimum", "≥ {}"),
    ("exclusiveMinimum", "> {}"),
    ("maximum", "≤ {}"),
    ("exclusiveMaximum", "< {}"),
    ("minLength", "length ≥ {}"),
    ("maxLength", "length ≤ {}"),
    ("pattern", "matches {}"),
)
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def typed_parameters(schema: Schema, pairs: Sequence[str]) -> dict[str, Any]:
    """``key=value`` texts as values of the types that ``schema`` asks for.

    Raises:
        UnknownName: no such parameter; names the nearest.
        InvalidInput: the text cannot be read as any of the allowed types; says which.

    """
    properties: Mapping[str, Schema] = schema.get("properties", {})
    values: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator:
            raise InvalidInput(f"--param {pair!r} is not of the form key=value.", hint="Write --param temperature=4.")
        if name not in properties:
            raise UnknownName("parameter", name, properties)
        values[name] = typed_value(name, text, properties[name], schema)
    return values


def typed_value(name: str, text: str, field: Schema, root: Schema) -> Any:
    """``text`` as the first of the field's types that it can be read as; a listed choice comes first."""
    kinds = list(alternatives(field, root))
    for kind in kinds:
        for choice in [kind["const"]] if "const" in kind else kind.get("enum", []):
            if text == str(choice) or text == json.dumps(choice):
                return choice
    for kind in kinds:
        found, value = _read(text, kind)
        if found:
            return value
    raise InvalidInput(
        f"{name}={text!r} is none of: {allowed_text(field, root)}.",
        hint="The table of `zoo operations show` has more.",
        facts={"field": name},
    )


def _read(text: str, kind: Schema) -> tuple[bool, Any]:
    wanted = kind.get("type")
    if "enum" in kind or "const" in kind:
        return False, None
    if wanted == "string":
        return True, text
    if wanted == "boolean":
        return text.lower() in _WORDS, _WORDS.get(text.lower())
    try:
        value = json.loads(text)
    except ValueError:
        return False, None
    types: dict[str, tuple[type, ...]] = {
        "integer": (int,), "number": (int, float), "array": (list,), "object": (dict,), "null": (type(None),),
    }  # fmt: skip
    fits = isinstance(value, types.get(str(wanted), (object,))) and not (isinstance(value, bool) and wanted)
    return fits, value


def alternatives(field: Schema, root: Schema) -> Iterator[Schema]:
    """The simple schemas that a field allows: ``$ref``, ``anyOf``, ``oneOf`` and ``allOf`` resolved."""
    if "$ref" in field:
        target: Any = root
        for part in str(field["$ref"]).removeprefix("#/").split("/"):
            target = target.get(part, {})
        yield from alternatives(target, root)
        return
    parts = [part for key in ("anyOf", "oneOf", "allOf") for part in field.get(key, ())]
    if not parts:
        yield field
    for part in parts:
        yield from alternatives(part, root)


def allowed_text(field: Schema, root: Schema) -> str:
    """What a field allows, for people: ``integer ≥ 1 ≤ 1000 or null``."""
    shown = []
    for kind in alternatives(field, root):
        if "enum" in kind:
            shown.append(" | ".join(map(str, kind["enum"])))
        elif "const" in kind:
            shown.append(str(kind["const"]))
        else:
            bounds = [text.format(kind[key]) for key, text in _BOUNDS if key in kind]
            shown.append(" ".join([str(kind.get("type", "anything")), *bounds]))
    return " or ".join(shown)


def default_text(name: str, field: Schema, root: Schema) -> str:
    """A field's default, or ``required``."""
    if "default" in field:
        return json.dumps(field["default"])
    return "required" if name in root.get("required", ()) else ""
