"""The facts of an inspection in short: everything but the rows of its tables, within bounds of its own."""

from collections.abc import Mapping
from typing import Any

TABLES = ("layers", "weights")
"""Facts that are tables (``count``, ``columns``, ``rows``)."""
MOST_ENTRIES = 64
MOST_CHARACTERS = 500
MOST_LEVELS = 6


def in_short(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts with tables reduced to ``count`` and ``columns``.

    Lists and mappings keep their first :data:`MOST_ENTRIES`, texts their first :data:`MOST_CHARACTERS`.
    """
    told = {name: _cut(value, MOST_LEVELS) for name, value in facts.items() if name not in TABLES}
    return told | {name: _head(facts[name]) for name in TABLES if _is_table(facts.get(name))}


def table_of(facts: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The table of that name with all rows that were kept, or None."""
    found = facts.get(name) if name in TABLES else None
    return dict(found) if isinstance(found, Mapping) and _is_table(found) else None


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and {"count", "columns"} <= value.keys()


def _head(table: Mapping[str, Any]) -> dict[str, Any]:
    return {"count": table["count"], "columns": table["columns"]}


def _cut(value: Any, levels: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= MOST_CHARACTERS else value[: MOST_CHARACTERS - 1] + "…"
    if isinstance(value, list | tuple):
        return [_cut(item, levels - 1) for item in value[:MOST_ENTRIES]] if levels else []
    if isinstance(value, Mapping):
        return {key: _cut(value[key], levels - 1) for key in list(value)[:MOST_ENTRIES]} if levels else {}
    return value
