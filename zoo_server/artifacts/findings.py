"""The outcome of an inspection."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Inspection:
    """A file's format, facts of that format, and findings ``{"severity", "reason"}``.

    Severities: ``clean`` (was scanned, nothing found), ``suspicious``, ``dangerous``.  A format that cannot run code
    has no findings.
    """

    format: str
    facts: dict[str, Any] = field(default_factory=dict)
    findings: tuple[dict[str, str], ...] = ()
