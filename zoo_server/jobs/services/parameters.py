"""An operation's parameters against its JSON Schema: every wrong field with its value and what is allowed."""

import json
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from pydantic import ValidationError as PydanticError
from referencing import Registry

from zoo_sdk.errors import InvalidInput
from zoo_sdk.rules import RULES_KEY, Given, broken_rules, rules_of
from zoo_server.jobs.services.faults import Fault, known_names, shown
from zoo_server.jobs.services.stored import storable

MAX_PARAMS_BYTES = 64 * 1024
ALTERNATIVES = frozenset({"anyOf", "oneOf"})
Schema = dict[str, Any]


def check_schema(*, operation: str, schema: Schema) -> None:
    """Refuse a parameter schema that is not a JSON Schema of an object, before anything is checked against it."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise InvalidInput(
            f"The parameter schema of {operation} is not a JSON Schema: {error.message[:300]}."
        ) from error
    if schema.get("type") != "object":
        raise InvalidInput(f"The parameter schema of {operation} must describe an object.")
    try:
        rules_of(schema)
    except PydanticError as error:
        raise InvalidInput(
            f"The rules between the parameters of {operation} ({RULES_KEY}) are none that this registry knows: "
            f"{error.errors()[0]['msg'][:300]}.",
            hint="Take the registry and the plugin from the same version.",
        ) from error


def check_params(*, schema: Schema, given: dict[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """The complete parameters (the schema's defaults filled in), and what is wrong with those that were given."""
    if len(json.dumps(given)) > MAX_PARAMS_BYTES:
        return given, [Fault("params", f"are larger than {MAX_PARAMS_BYTES // 1024} KiB")]
    if storable(given) != given:
        return given, [Fault("params", "hold a NUL, half a character, or nest too deep")]
    # An empty registry: a worker's schema must never make this server fetch an address.
    validator = Draft202012Validator(schema, registry=Registry())
    errors = sorted(validator.iter_errors(given), key=lambda error: [str(part) for part in error.absolute_path])
    faults = [fault for error in errors for fault in _faults_of(error, schema)]
    if faults:
        return given, faults
    complete = with_defaults(schema, given, schema)
    return complete, list(_broken(schema, complete))


def _broken(schema: Schema, complete: dict[str, Any]) -> Iterator[Fault]:
    """What parameters ask of each other and do not get."""
    defaults = with_defaults(schema, {}, schema)
    for found in broken_rules(rules_of(schema), Given(complete, defaults)):
        field = f"params.{found.field}" if found.field else "params"
        yield Fault(field, found.message, complete.get(found.field), found.allowed)


def with_defaults(schema: Schema, given: dict[str, Any], root: Schema) -> dict[str, Any]:
    """``given`` with the defaults of ``schema``, also inside nested objects."""
    complete = dict(given)
    for name, property_schema in _resolved(schema, root).get("properties", {}).items():
        if name not in complete and "default" in property_schema:
            complete[name] = property_schema["default"]
        value = complete.get(name)
        if isinstance(value, dict) and "properties" in _resolved(property_schema, root):
            complete[name] = with_defaults(property_schema, value, root)
    return complete


def _faults_of(error: ValidationError, root: Schema) -> Iterator[Fault]:
    path = ".".join(["params", *(str(part) for part in error.absolute_path)])
    if error.validator in ALTERNATIVES:
        deeper = best_match([error])
        if deeper is not None and len(deeper.absolute_path) > len(error.absolute_path):
            yield from _faults_of(deeper, root)
            return
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        for name in sorted(set(error.instance) - set(known)):
            yield Fault(f"{path}.{name}"[:300], "is not a parameter", error.instance[name], known_names(name, known))
        return
    if error.validator == "required":
        for name in sorted(set(error.validator_value) - set(error.instance)):
            wanted = describe(error.schema.get("properties", {}).get(name, {}), root)
            yield Fault(f"{path}.{name}", "is required", None, wanted)
        return
    allowed = describe(error.schema, root)
    yield Fault(path, f"{shown(error.instance)!r} is not {allowed}", error.instance, allowed)


def describe(schema: Any, root: Schema) -> str:
    """What a schema allows, in words: ``a number greater than 0``."""
    schema = _resolved(schema, root) if isinstance(schema, dict) else {}
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return "one of: " + ", ".join(str(choice) for choice in schema["enum"][:40])
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(describe(choice, root) for choice in schema[word])
    kind = schema.get("type")
    if kind in {"number", "integer"}:
        return _number_words(schema, "a whole number" if kind == "integer" else "a number")
    if kind == "array":
        return f"a list{_size_words(schema, 'minItems', 'maxItems')} of {describe(schema.get('items', {}), root)}"
    if kind == "string":
        pattern = f" matching {schema['pattern']}" if "pattern" in schema else ""
        return f"a text{_size_words(schema, 'minLength', 'maxLength')}{pattern}"
    names = {"boolean": "true or false", "null": "null", "object": "an object"}
    return names.get(str(kind), "another value")


def _number_words(schema: Schema, noun: str) -> str:
    words = {
        "exclusiveMinimum": "greater than",
        "minimum": "at least",
        "exclusiveMaximum": "less than",
        "maximum": "at most",
        "multipleOf": "a multiple of",
    }
    limits = [f"{text} {schema[word]:g}" for word, text in words.items() if word in schema]
    return f"{noun} {' and '.join(limits)}".strip()


def _size_words(schema: Schema, least: str, most: str) -> str:
    limits = [f"at least {schema[least]}"] if least in schema else []
    limits += [f"at most {schema[most]}"] if most in schema else []
    return f" ({' and '.join(limits)} long)" if limits else ""


def _resolved(schema: Schema, root: Schema) -> Schema:
    """The schema that a local ``$ref`` names (pydantic writes one for each nested model and enumeration)."""
    reference = schema.get("$ref", "")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        found: Schema = root.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {})
        return found
    return schema
