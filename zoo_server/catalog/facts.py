"""What the bytes of an artifact say about it: what its description leaves out, and where the two contradict."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from zoo_sdk.artifacts import ArtifactDescription, Signature
from zoo_sdk.vocabulary import Precision

PACKED = frozenset({"zoo-integer"})
"""Formats whose weights lie in containers of another width: their dtype says nothing about the precision."""
UNSEEN = frozenset(Precision) - {Precision.FP32, Precision.FP16, Precision.BF16, Precision.INT8}
"""Precisions that a file's dtypes need not show: mixtures, and widths that are packed into wider words."""
MAX_SAID = 16


def completed(description: ArtifactDescription, facts: Mapping[str, Any]) -> ArtifactDescription:
    """The description with signature and precision from the main file's facts where it has none."""
    found: dict[str, Any] = {}
    if description.signature is None:
        found["signature"] = signature_in(facts)
    if description.precision is None and description.format not in PACKED:
        found["precision"] = precision_in(facts)
    return description.model_copy(update={name: value for name, value in found.items() if value is not None})


def signature_in(facts: Mapping[str, Any]) -> Signature | None:
    """The inputs and outputs that a file states, if they are all a signature needs (rank and dtype of each)."""
    try:
        found = Signature.model_validate({side: facts.get(side) for side in ("inputs", "outputs")})
    except ValidationError:
        return None
    return found if all(port.dtype for port in (*found.inputs, *found.outputs)) else None


def precision_in(facts: Mapping[str, Any]) -> Precision | None:
    """The number format of most weights, where a word of ours stands for it."""
    try:
        return Precision(facts["precision"])
    except (KeyError, ValueError):
        return None


def contradictions(
    *, path: str, format_name: str, precision: str | None, signature: Any, facts: Mapping[str, Any]
) -> list[str]:
    """Sentences about what is declared otherwise than ``path``, the artifact's main file, says."""
    said = list(_of_precision(path, format_name, precision, facts))
    for side in ("inputs", "outputs"):
        if signature and facts.get(side):
            said += _of_ports(path, side[:-1], signature[side], facts[side])
    return said[:MAX_SAID]


def _of_precision(path: str, format_name: str, declared: str | None, facts: Mapping[str, Any]) -> Iterator[str]:
    found = precision_in(facts)
    if declared and found and declared != found and format_name not in PACKED and declared not in UNSEEN:
        yield f"Declared {declared}, but most weights in {path} are {found}."


def _of_ports(path: str, side: str, declared: list[Any], found: list[Any]) -> Iterator[str]:
    by_name = {given["name"]: given for given in found}
    for port in declared:
        given = by_name.get(port["name"])
        if given is None:
            yield f"The {side} {port['name']!r} is declared; {path} has {', '.join(map(repr, list(by_name)[:8]))}."
        elif not _agree(port, given):
            yield f"The {side} {port['name']!r} is declared {_text(port)}; in {path} it is {_text(given)}."
    names = {port["name"] for port in declared}
    missing = [name for name in by_name if name not in names]
    if missing:
        yield f"The {side} {missing[0]!r} of {path} is not declared."


def _agree(declared: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether two ports can be the same: an unknown dtype, rank or length contradicts nothing."""
    if found["dtype"] and declared["dtype"] != found["dtype"]:
        return False
    if found["shape"] is None:
        return True
    if len(declared["shape"]) != len(found["shape"]):
        return False
    pairs = zip(declared["shape"], found["shape"], strict=True)
    return all(one is None or other is None or one == other for one, other in pairs)


def _text(port: Mapping[str, Any]) -> str:
    lengths = ", ".join("?" if length is None else str(length) for length in port["shape"] or ())
    return f"{port['dtype']} [{lengths}]"
