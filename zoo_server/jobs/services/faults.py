"""What is wrong with a submission, field by field: one error that lists all of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from zoo_sdk.errors import InvalidInput

SHOWN_LENGTH = 200
SHOWN_FAULTS = 50


@dataclass(frozen=True)
class Fault:
    """One wrong field: its dotted path, the value given, what was wrong and what is allowed."""

    field: str
    message: str
    value: Any = None
    allowed: str = ""

    def as_entry(self) -> dict[str, Any]:
        """The fault as an entry of a problem document's ``errors``."""
        return {"field": self.field, "message": self.message, "value": shown(self.value), "allowed": self.allowed}


class InvalidSubmission(InvalidInput):
    """A job that cannot be run as asked; ``facts["errors"]`` (``errors`` of the answer) lists every wrong field."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        found = list(faults)
        detail = "; ".join(f"{fault.field}: {fault.message}" for fault in found[:5])
        first = found[0]
        super().__init__(
            detail,
            hint=f"Allowed for {first.field}: {first.allowed}" if first.allowed else "",
            facts={"field": first.field, "errors": [fault.as_entry() for fault in found[:SHOWN_FAULTS]]},
        )


def shown(value: Any) -> Any:
    """A value short enough to be shown again."""
    if isinstance(value, int | float | bool) or value is None:
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN_LENGTH else text[:SHOWN_LENGTH] + "…"


def known_names(name: str, known: Iterable[str]) -> str:
    """What is allowed in place of an unknown name: the nearest ones, else all."""
    choices = sorted(known)
    near = get_close_matches(name, choices, n=3, cutoff=0.5)
    return f"did you mean {', '.join(near)}?" if near else f"one of: {', '.join(choices) or 'none'}"
