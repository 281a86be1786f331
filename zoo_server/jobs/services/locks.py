"""Chores that must not run twice at the same time take a lock in the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from django.db import connection, transaction


@contextmanager
def sole_runner(chore: str) -> Iterator[bool]:
    """A transaction that yields True if nobody else is inside one for the same chore (an advisory lock)."""
    key = int.from_bytes(sha256(f"zoo.chore.{chore}".encode()).digest()[:8], "big", signed=True)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [key])
            (held,) = cursor.fetchone()
        yield bool(held)
