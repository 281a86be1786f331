"""Reads the part of ``zoo submit`` that depends on the operation: one option for each of its input ports."""

import math
from collections.abc import Sequence
from typing import Any

from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_sdk.names import Reference
from zoo_sdk.operations import OperationManifest, Port


def read_inputs(manifest: OperationManifest, words: Sequence[str], *, fixed_options: Sequence[str]) -> dict[str, Any]:
    """``--student a/b@1 --teacher a/c@2 --teacher a/d@1=0.5`` as the ``inputs`` of a submission.

    Args:
        manifest: the operation.
        words: what the command line holds beyond the options that every submission has.
        fixed_options: those options, to be suggested for misspelt ones.

    Raises:
        UnknownName: an option that is neither a port nor one of ``fixed_options``; names the nearest.
        InvalidInput: a missing value, a port given twice, a required port left out, a wrong weight.

    """
    ports = {port.name: port for port in manifest.inputs}
    given: dict[str, list[Any]] = {}
    rest = list(words)
    while rest:
        name, value = _next_option(rest, ports, fixed_options)
        port = ports[name]
        if name in given and not port.many:
            raise InvalidInput(
                f"The input {name!r} of {manifest.name} takes one version only.", hint=f"Give --{name} once."
            )
        given.setdefault(name, []).append(_input(port, value))
    missing = [port.name for port in manifest.inputs if port.required and port.name not in given]
    if missing:
        raise InvalidInput(
            f"{manifest.name} needs the input{'s' if len(missing) > 1 else ''} {', '.join(missing)}.",
            hint=f"Add {' '.join(f'--{name} team/name@1' for name in missing)}.",
            facts={"field": missing[0]},
        )
    return {name: values if ports[name].many else values[0] for name, values in given.items()}


def _next_option(rest: list[str], ports: dict[str, Port], fixed_options: Sequence[str]) -> tuple[str, str]:
    word = rest.pop(0)
    if not word.startswith("--"):
        raise InvalidInput(f"{word!r} belongs to no option.", hint="Inputs are options: --PORT team/name@1.")
    name, separator, value = word[2:].partition("=")
    name = name.replace("-", "_")
    if name not in ports:
        raise UnknownName("option", word.split("=")[0], [*(f"--{port}" for port in ports), *fixed_options])
    if not separator:
        if not rest or rest[0].startswith("--"):
            raise InvalidInput(f"--{name} needs a value.", hint=f"Write --{name} team/name@1.")
        value = rest.pop(0)
    return name, value


def _input(port: Port, text: str) -> Any:
    reference, separator, weight = text.rpartition("=")
    if not separator:
        Reference.parse(text)
        return text
    try:
        number = float(weight)
    except ValueError:
        number = math.nan
    if not port.weighted or not math.isfinite(number):
        what = "is not a number" if port.weighted else "is not possible: this input takes no weights"
        raise InvalidInput(f"The weight {weight!r} of --{port.name} {what}.", hint="Write team/name@1=0.5.")
    Reference.parse(reference)
    return {"version": reference, "weight": number}


def read_outputs(manifest: OperationManifest, texts: Sequence[str]) -> dict[str, str]:
    """``team/name`` (for the only or first output) or ``port=team/name`` as the ``outputs`` of a submission."""
    names = [port.name for port in manifest.outputs]
    outputs: dict[str, str] = {}
    for text in texts:
        port, separator, name = text.rpartition("=")
        if not names:
            raise InvalidInput(f"{manifest.name} makes no version, so it takes no --output.")
        port = port if separator else names[0]
        if port not in names:
            raise UnknownName("output", port, names)
        reference = Reference.parse(name)
        if reference.selector or reference.path:
            raise InvalidInput(f"--output {name!r} names a version.", hint=f"Write {reference.team}/{reference.name}.")
        outputs[port] = name
    return outputs
