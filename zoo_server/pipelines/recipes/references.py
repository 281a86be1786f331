"""References, ``${values.epochs}``: a whole value that stands for another one and keeps its type."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from zoo_server.jobs.services.faults import known_names
from zoo_server.pipelines.recipes.faults import Key

_WHOLE = re.compile(r"\$\{([^{}]*)\}\Z")
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\Z")
FORM = "${inputs.NAME}, ${values.NAME}, ${axes.NAME} or ${steps.NAME}"


class Root(StrEnum):
    """What a reference can point into."""

    INPUTS = "inputs"
    VALUES = "values"
    AXES = "axes"
    STEPS = "steps"


SETTINGS = (Root.VALUES, Root.AXES)
"""Where numbers, texts and other settings come from."""
VERSIONS = (Root.INPUTS, Root.STEPS)
"""Where versions come from."""


@dataclass(frozen=True)
class RecipeReference:
    """``${root.name.member...}``."""

    root: Root
    name: str
    members: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "${" + ".".join((self.root.value, self.name, *self.members)) + "}"


def looks_like_reference(value: Any) -> bool:
    """Whether somebody meant this text to hold a reference."""
    return isinstance(value, str) and "${" in value


def parse_reference(text: str, *, roots: tuple[Root, ...]) -> RecipeReference:
    """The reference that ``text`` is; raises :class:`ValueError` that says why it is none of ``roots``."""
    match = _WHOLE.match(text)
    if match is None:
        raise ValueError(f"{text[:100]!r} is not a reference: it must be the whole value, as in ${{values.epochs}}")
    root, *parts = match[1].split(".")
    if root not in set(Root):
        raise ValueError(f"{root[:40]!r} in {text[:100]!r} is not something to refer to; write {FORM}")
    if root not in roots:
        allowed = " and ".join(f"${{{item.value}...}}" for item in roots)
        raise ValueError(f"{text[:100]!r} cannot stand here; only {allowed} can")
    if not parts or not all(_PART.match(part) for part in parts):
        raise ValueError(f"{text[:100]!r} names nothing; write ${{{root}.NAME}}")
    if len(parts) > 1 and root in VERSIONS:
        raise ValueError(f"{text[:100]!r} goes too deep: {root} have no members; write ${{{root}.{parts[0]}}}")
    return RecipeReference(Root(root), parts[0], tuple(parts[1:]))


def member_of(value: Any, reference: RecipeReference) -> Any:
    """What ``reference`` means inside the ``value`` of its name; raises :class:`ValueError` for an unknown member."""
    found = value
    for depth, member in enumerate(reference.members):
        if not isinstance(found, Mapping) or member not in found:
            where = ".".join((reference.root.value, reference.name, *reference.members[:depth]))
            known = known_names(member, found) if isinstance(found, Mapping) else "it has no members"
            raise ValueError(f"{where} has no member {member!r}: {known}")
        found = found[member]
    return found


def leaves(value: Any, key: Key) -> Iterator[tuple[Key, Any]]:
    """Every value inside ``value`` that is neither mapping nor list, with its place."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from leaves(inner, (*key, name))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*key, index))
    else:
        yield key, value
