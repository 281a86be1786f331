"""An inspection as a part of an admin page."""

from collections.abc import Mapping
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from zoo_inspection import INSPECTOR_VERSION
from zoo_inspection.telling import TABLES, in_short, table_of
from zoo_server.artifacts.models import Blob

SHOWN_ROWS = 200
APART = frozenset({"inputs", "outputs", *TABLES})


def inspection_page(blob: Blob | None) -> SafeString | str:
    """Findings, facts, inputs and outputs, and the first rows of the tables; everything in it is escaped."""
    if blob is None:
        return "not mirrored: nothing to look at"
    facts = in_short(blob.facts)
    tables = [table | {"name": name} for name in TABLES if (table := table_of(blob.facts, name))]
    for table in tables:
        table["rows"] = table["rows"][:SHOWN_ROWS]
    context: dict[str, Any] = {
        "blob": blob,
        "facts": [("format", blob.format), *((name, value) for name, value in facts.items() if name not in APART)],
        "findings": blob.findings,
        "ports": [(side[:-1], facts[side]) for side in ("inputs", "outputs") if facts.get(side)],
        "tables": tables,
        "inspector": INSPECTOR_VERSION,
        "is_old": blob.inspector < INSPECTOR_VERSION,
    }
    return render_to_string("artifacts/inspection.html", context)


def inspection_line(blob: Blob, facts: Mapping[str, Any]) -> str:
    """Format, parameters, precision and the severities found, in a line."""
    parameters = f"{facts['parameters']:,} parameters" if isinstance(facts.get("parameters"), int) else ""
    severities = ", ".join(sorted({finding["severity"] for finding in blob.findings}))
    return "; ".join(part for part in (blob.format, parameters, facts.get("precision", ""), severities) if part)
