"""The outcome of an inspection."""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

Severity = Literal["clean", "suspicious", "dangerous"]
SEVERITIES: tuple[Severity, ...] = ("clean", "suspicious", "dangerous")
MAX_FINDINGS = 64
MAX_REASON = 500
UNSTORABLE = re.compile(r"(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})")
PAIR = re.compile(r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}")


class Finding(TypedDict):
    """One fact that the scan found, and how bad it is."""

    severity: Severity
    reason: str


@dataclass(frozen=True)
class Inspection:
    """A file's format, facts of that format, and findings.

    ``format`` is a name of :data:`zoo_sdk.formats.FORMATS`, or ``png`` or ``jpeg`` (the files of an image folder).
    A file is as bad as its worst finding: ``clean`` (was scanned, nothing found), ``suspicious`` (a person should look
    at it), ``dangerous`` (loading it could harm).  A format that cannot run code has no findings unless it is damaged.

    Facts, where the file says them: ``inputs`` and ``outputs`` (name, dtype, shape with None for what is free,
    layout), ``parameters``, ``tensors``, ``dtypes``, ``precision``, ``producer``, versions of the format, ``layers``
    and ``weights`` (tables: ``count``, ``columns`` and at most :attr:`Limits.rows` rows).
    """

    format: str
    facts: dict[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def severity(self) -> Severity | None:
        """The worst finding's; None without findings."""
        return max((finding["severity"] for finding in self.findings), key=SEVERITIES.index, default=None)


@dataclass
class Report:
    """An inspection that is being made: what is in it stays when the file turns out to be damaged further on."""

    format: str = "opaque"
    facts: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    left_out: int = 0

    def add(self, severity: Severity, reason: str) -> None:
        """Add a finding once.  Of very many, the dangerous ones are kept before the others."""
        finding: Finding = {"severity": severity, "reason": reason[:MAX_REASON]}
        if finding in self.findings:
            return
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)
            return
        self.left_out += 1
        milder = next((item for item in reversed(self.findings) if item["severity"] != "dangerous"), None)
        if severity == "dangerous" and milder is not None:
            self.findings.remove(milder)
            self.findings.append(finding)

    def clean(self, reason: str) -> None:
        """It was scanned, and nothing was found."""
        self.add("clean", reason)

    def suspicious(self, reason: str) -> None:
        """A person should look at it."""
        self.add("suspicious", reason)

    def dangerous(self, reason: str) -> None:
        """Loading the file could harm."""
        self.add("dangerous", reason)

    def finished(self) -> Inspection:
        """The inspection, with texts that PostgreSQL can keep (no NUL, no lone surrogates)."""
        if self.left_out:
            self.findings.append({"severity": "suspicious", "reason": f"{self.left_out} more findings are left out."})
        facts, findings = (_storable(part) for part in (self.facts, self.findings))
        return Inspection(self.format, facts, tuple(findings))


def _storable(part: Any) -> Any:
    text = json.dumps(part, allow_nan=False)
    if "\\ud" in text or "\\u0000" in text:
        text = PAIR.sub(lambda found: json.loads(f'"{found[0]}"'), text)
        text = UNSTORABLE.sub(r"\1?", text)
    return json.loads(text)
