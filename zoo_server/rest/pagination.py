"""Keyset pages: the work grows with the page, not with its number, and rows added meanwhile shift nothing."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import F, Model, Q, QuerySet

from zoo_sdk.errors import InvalidInput

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
RowT = TypeVar("RowT", bound=Model)


@dataclass(frozen=True)
class Order:
    """One column of the ordering; the last one must be unique.  ``nulls`` are last either way."""

    field: str
    descending: bool = False
    nullable: bool = False


@dataclass(frozen=True)
class Page(Generic[RowT]):
    """Some rows, and the cursor of the next page (None: this is the last)."""

    rows: Sequence[RowT]
    next_cursor: str | None

    def answer(self, serialise: Callable[[RowT], Any]) -> dict[str, Any]:
        """The body of a list route."""
        return {"results": [serialise(row) for row in self.rows], "next": self.next_cursor}


def parse_limit(text: str | None) -> int:
    """The page size from the query string; raises :class:`InvalidInput` outside 1..200."""
    if text is None:
        return DEFAULT_LIMIT
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= MAX_LIMIT:
        raise InvalidInput(f"limit={text[:40]!r} is not a number from 1 to {MAX_LIMIT}.", facts={"field": "limit"})
    return int(text)


def keyset_page(rows: QuerySet[RowT], order: Sequence[Order], *, cursor: str | None, limit: int) -> Page[RowT]:
    """The page after ``cursor``.  Each ``order`` field must be a column or annotation of ``rows``."""
    expressions = [
        F(item.field).desc(nulls_last=True) if item.descending else F(item.field).asc(nulls_last=True) for item in order
    ]
    rows = rows.order_by(
        *(
            expression if item.nullable else ("-" if item.descending else "") + item.field
            for item, expression in zip(order, expressions, strict=True)
        )
    )
    found = _rows_after(rows, order, cursor, limit + 1) if cursor else list(rows[: limit + 1])
    more = len(found) > limit
    found = found[:limit]
    return Page(found, _encode([_value(found[-1], item.field) for item in order]) if more else None)


def _rows_after(rows: QuerySet[RowT], order: Sequence[Order], cursor: str, count: int) -> list[RowT]:
    values = _decode(cursor, len(order))
    try:
        return list(rows.filter(_after(order, values))[:count])
    except (ValidationError, TypeError, ValueError, DataError) as error:  # values of other types: a forged cursor
        raise _not_a_cursor(cursor) from error


def _not_a_cursor(cursor: str) -> InvalidInput:
    return InvalidInput(
        f"cursor={cursor[:40]!r} is not a cursor of this list.",
        hint="Use the `next` of the former page.",
        facts={"field": "cursor"},
    )


def _after(order: Sequence[Order], values: Sequence[Any]) -> Q:
    """Lexicographic "comes later than ``values``" with nulls last."""
    result = Q(pk__in=[])
    equal = Q()
    for item, value in zip(order, values, strict=True):
        if value is not None:
            beyond = Q(**{f"{item.field}__{'lt' if item.descending else 'gt'}": value})
            if item.nullable:
                beyond |= Q(**{f"{item.field}__isnull": True})
            result |= equal & beyond
        equal &= Q(**{item.field: value}) if value is not None else Q(**{f"{item.field}__isnull": True})
    return result


def _value(row: Model, field: str) -> Any:
    value: Any = row
    for part in field.split("__"):
        value = getattr(value, part)
    return value


def _encode(values: list[Any]) -> str:
    return urlsafe_b64encode(json.dumps(values, default=str).encode()).decode().rstrip("=")


def _decode(cursor: str, length: int) -> list[Any]:
    try:
        values = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        values = None
    scalar = str | int | float | None
    if not isinstance(values, list) or len(values) != length or not all(isinstance(value, scalar) for value in values):
        raise _not_a_cursor(cursor)
    if any(isinstance(value, str) and "\0" in value for value in values):
        raise _not_a_cursor(cursor)
    return values
