"""Values as text for people and for machines; imports nothing heavy, for commands that must start fast."""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any


def safe(value: object, limit: int = 4000) -> str:
    """``value`` without control characters: names and log lines come from others and must not steer a terminal."""
    text = "" if value is None else str(value)
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return "".join(
        character if character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cf", "Cs"} else "�"
        for character in text
    )


def as_json(value: Any) -> str:
    """``value`` for machines."""
    return json.dumps(value, indent=2, default=str, ensure_ascii=False)


def bytes_text(size: float) -> str:
    """A size for people: ``12.3 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def size_text(version: Mapping[str, Any]) -> str:
    """The size of a version, or that its files are elsewhere or unknown."""
    if not version.get("files", True):
        return "no files"
    return bytes_text(version["size"]) if version.get("mirrored", True) else "not mirrored"


def count_text(items: Sequence[object], word: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{len(items)} {word}" + ("" if len(items) == 1 else "s")


def number_text(value: float) -> str:
    """A number for people: as many digits as say something."""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}"


def time_text(value: str | None) -> str:
    """``2026-11-24 03:12`` of an ISO time."""
    return (value or "")[:16].replace("T", " ")


def deletion_text(deletion: Any) -> str:
    """Who deleted it, when and why, and whether it can be restored; empty if nobody did."""
    if not deletion:
        return ""
    until = f"can be restored until {time_text(deletion['restorable_until'])}"
    left = "a tombstone: the files are gone" if deletion["tombstone"] else until
    return f"{time_text(deletion['at'])} by {deletion['by']}{why_text(deletion)}; {left}"


def why_text(item: Any) -> str:
    """The reason after a colon, if there is one."""
    return f": {item['reason']}" if item["reason"] else ""
