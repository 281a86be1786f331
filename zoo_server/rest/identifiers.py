"""Time-ordered identifiers (UUIDv7, RFC 9562)."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A new UUIDv7: unique, and sorted by the time of its making."""
    return uuid7()
