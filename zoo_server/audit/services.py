"""Writing to the audit log: one function, called inside the transaction of the change that it records."""

import json
import math
from collections.abc import Mapping
from datetime import UTC
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from typing import Any
from uuid import UUID

from django.utils import timezone

from zoo_sdk.errors import InvalidInput
from zoo_server.audit.models import AuditEvent
from zoo_server.rest.identifiers import new_id
from zoo_server.rest.principals import Principal

MAX_DETAILS_BYTES = 256 * 2**10
MAX_DETAILS_DEPTH = 20
LARGEST_INTEGER = 10**1000
FIRST_FLOAT_WITH_EXPONENT = 1e16
"""From here on Python writes floats with an exponent, which jsonb turns into an integer's digits."""


def record_event(
    *,
    actor: Principal,
    action: str,
    subject: Any,
    team: str = "",
    details: dict[str, Any] | None = None,
) -> AuditEvent:
    """Record that ``actor`` did ``action`` (``noun.verb``, such as ``version.sealed``) to ``subject``, a model's row.

    Call it last in the same ``transaction.atomic()`` as the change: the change and its record stand or fall together.
    Names are copied, so the event outlives its subject.

    Raises:
        InvalidInput: ``details`` cannot be kept as JSON without loss; the message names the place.

    """
    event = AuditEvent(
        id=new_id(),
        time=timezone.now(),
        actor=actor.name,
        actor_id=actor.user_id,
        token_id=actor.token_id,
        address=_plain_address(actor.address),
        action=action,
        team=team,
        object_type=subject._meta.model_name,
        object_id=str(subject.pk),
        object_name=str(subject)[:300],
        details=canonical_details(details or {}),
    )
    event.digest = event_digest(event)
    event.save(force_insert=True)
    return event


def event_digest(event: AuditEvent) -> str:
    """sha256 of the event's canonical JSON (sorted keys, no spaces, UTC time in microseconds)."""
    content = {
        "id": str(event.id),
        "time": event.time.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": event.actor,
        "actor_id": _text(event.actor_id),
        "token_id": _text(event.token_id),
        "address": _plain_address(event.address),
        "action": event.action,
        "team": event.team,
        "object_type": event.object_type,
        "object_id": event.object_id,
        "object_name": event.object_name,
        "details": event.details,
    }
    return f"sha256:{sha256(_canonical_json(content)).hexdigest()}"


def canonical_details(details: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of ``details`` that PostgreSQL's jsonb gives back exactly, so that its digest can be checked for ever.

    Tuples become lists, enumeration members their plain value, UUIDs text, ``-0.0`` becomes ``0.0`` and floats from
    1e16 on become integers (jsonb keeps numbers as decimals and would return them so).

    Raises:
        InvalidInput: NaN, infinities, NUL characters, lone surrogates, other types, or more than 256 KiB.

    """
    copy: dict[str, Any] = _canonical(details, "details", 0)
    size = len(_canonical_json(copy))
    if size > MAX_DETAILS_BYTES:
        raise InvalidInput(f"The details of an audit event are {size} bytes, more than {MAX_DETAILS_BYTES}.")
    return copy


def _canonical(value: Any, place: str, depth: int) -> Any:
    if depth > MAX_DETAILS_DEPTH:
        raise InvalidInput(f"{place[:200]} is nested deeper than {MAX_DETAILS_DEPTH} levels.")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _canonical_text(value, place)
    if isinstance(value, int | float):
        return _canonical_number(value, place)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise InvalidInput(f"{place} has a key that is not text.")
        return {
            _canonical_text(key, place): _canonical(item, f"{place}.{key}", depth + 1) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_canonical(item, f"{place}[{index}]", depth + 1) for index, item in enumerate(value)]
    raise InvalidInput(f"{place[:200]} is a {type(value).__name__}, which JSON cannot hold.")


def _canonical_text(value: str, place: str) -> str:
    text = str.__str__(value)  # an enumeration member's value, not its name
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput(f"{place[:200]!r} holds a NUL character or a lone surrogate.")
    return text


def _canonical_number(value: float, place: str) -> float:
    if isinstance(value, int):
        if abs(value) >= LARGEST_INTEGER:
            raise InvalidInput(f"{place[:200]} is an integer of more than 1000 digits.")
        return int(value)
    if not math.isfinite(value):
        raise InvalidInput(f"{place[:200]} is {value}, which JSON cannot hold.")
    if abs(value) >= FIRST_FLOAT_WITH_EXPONENT:
        return int(value)
    return float(value) + 0.0  # -0.0 + 0.0 is 0.0


def _canonical_json(content: Any) -> bytes:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="surrogatepass")


def _plain_address(address: str | None) -> str | None:
    """The address as Python writes it, IPv4 inside IPv6 as IPv4; None for what is no address (a Unix socket)."""
    if not address:
        return None
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
