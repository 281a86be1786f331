"""JSON whose values are counted before they are made."""

import json
from typing import Any

from zoo_inspection.limits import LimitReached, Malformed

MAX_VALUES = 600_000
"""Each value costs about 100 bytes."""
MAX_TEXT = 12 * 2**20
MAX_DIGITS = 400


def parse(data: bytes, *, what: str = "its JSON") -> Any:
    """The parsed text, which must be UTF-8 (json itself would guess other encodings).

    Raises:
        Malformed: it is no JSON, is nested too deeply, or has numbers of absurd length.
        LimitReached: it has too many values or bytes.

    """
    if len(data) > MAX_TEXT:
        raise LimitReached(f"{what} is {len(data)} bytes long")
    if data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_VALUES:
        raise LimitReached(f"{what} has more than {MAX_VALUES} values")
    try:
        return json.loads(data.decode(), parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{what} is wrong: {str(error)[:150]}") from error


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError("a number is too long")
    return int(digits)


def text(value: Any) -> str:
    """A text of the file for the facts: short, and "" for anything else."""
    return value[:200] if isinstance(value, str) else ""


def mapping(value: Any, what: str) -> dict[str, Any]:
    """An object; raises :class:`Malformed` for anything else."""
    if not isinstance(value, dict):
        raise Malformed(f"{what} is no object")
    return value


def items(value: Any, what: str) -> list[Any]:
    """An array; raises :class:`Malformed` for anything else."""
    if not isinstance(value, list):
        raise Malformed(f"{what} is no list")
    return value
