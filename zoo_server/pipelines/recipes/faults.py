"""What is wrong with a recipe: every fault with file, line, column and key, in one error."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo_sdk.errors import InvalidInput
from zoo_server.jobs.services.faults import SHOWN_FAULTS, shown

Key = tuple[str | int, ...]
"""A place in the document: the keys and list positions that lead to it."""
MAX_FAULTS = 200
WRAPPINGS = frozenset({0, "from", "first_of"})
"""What the schema puts between a short form and its content."""
REQUEST = "request"
"""The first part of keys of what the request gave beside the recipe; such a place has no line."""


@dataclass(frozen=True)
class Mark:
    """A place in the text, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class RecipeFault:
    """One mistake: where it is, the value, what is wrong with it and what is allowed."""

    file: str
    mark: Mark | None
    key: str
    message: str
    value: Any = None
    allowed: str = ""

    def as_entry(self) -> dict[str, Any]:
        """The fault as an entry of a problem document's ``errors``."""
        return {
            "file": self.file,
            "line": self.mark.line if self.mark else None,
            "column": self.mark.column if self.mark else None,
            "key": self.key,
            "message": self.message,
            "value": shown(self.value),
            "allowed": self.allowed,
        }

    def __str__(self) -> str:
        place = f"{self.file}:{self.mark.line}:{self.mark.column}: " if self.mark else ""
        return f"{place}{self.key or 'the document'}: {self.message}"


class InvalidRecipe(InvalidInput):
    """A recipe, or what was asked of it, is wrong; ``facts["errors"]`` lists every fault in the order of the text."""

    code = "invalid-recipe"

    def __init__(self, faults: Iterable[RecipeFault]) -> None:
        found = sorted(faults, key=lambda fault: (fault.mark.line, fault.mark.column) if fault.mark else (0, 0))
        first = found[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        super().__init__(
            f"{first}{more}",
            hint=f"Allowed: {first.allowed}" if first.allowed else "",
            facts={"errors": [fault.as_entry() for fault in found[:SHOWN_FAULTS]]},
        )
        self.faults = found


@dataclass
class FaultList:
    """Collects faults while a recipe is checked; knows where each key of the text is."""

    file: str
    marks: Mapping[Key, Mark] = field(default_factory=dict)
    found: list[RecipeFault] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether more faults would tell nobody anything; finding them would cost time."""
        return len(self.found) >= MAX_FAULTS

    def add(self, key: Key, message: str, value: Any = None, allowed: str = "") -> None:
        """Note a fault at ``key``; one that is not in the text is shown where its nearest parent is."""
        if self.is_full:
            return
        mark = None
        if key[:1] != (REQUEST,):
            key = self.written(key)
            mark = next(self.marks[key[:end]] for end in range(len(key), -1, -1) if key[:end] in self.marks)
        self.found.append(RecipeFault(self.file, mark, dotted(key), message, value, allowed))

    def written(self, key: Key) -> Key:
        """``key`` as the text has it: the schema wraps short forms, such as a single input, in lists and mappings."""
        found: Key = ()
        for part in key:
            if (*found, part) in self.marks or part not in WRAPPINGS:
                found = (*found, part)
        return found

    def raise_any(self) -> None:
        """Raise :class:`InvalidRecipe` if anything was found."""
        if self.found:
            raise InvalidRecipe(self.found)


def dotted(key: Key) -> str:
    """A place as text: ``steps.student.gates.0.metric``."""
    return ".".join(str(part) for part in key)[:400]
