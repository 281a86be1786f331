"""What webhooks can be told: event types, each from an action of the audit log, and the body that is sent."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC
from types import MappingProxyType
from typing import Any

from django.conf import settings

from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_server.audit.models import AuditEvent

MAX_DETAILS_BYTES = 16 * 2**10
"""Of the details in a body: receivers often take no more than 20 KB."""
TEST = "webhook.test"

TYPES: Mapping[str, str] = MappingProxyType(
    {
        "version.sealed": "version.sealed",
        "version.imported": "version.imported",
        "version.approved": "version.approved",
        "version.deprecated": "version.deprecated",
        "version.withdrawn": "version.withdrawn",
        "version.attested": "version.attested",
        "version.restored": "version.restored",
        "alias.moved": "alias.moved",
        "alias.removed": "alias.removed",
        "job.submitted": "job.submitted",
        "job.succeeded": "job.succeeded",
        "job.reused": "job.succeeded",
        "job.failed": "job.failed",
        "job.cancelled": "job.cancelled",
        "pipeline.succeeded": "pipeline.succeeded",
        "pipeline.failed": "pipeline.failed",
        "pipeline.stopped": "pipeline.stopped",
        "pipeline.cancelled": "pipeline.cancelled",
    }
)
"""The type by the action of the audit log that it tells of."""


def checked_events(words: Iterable[str]) -> list[str]:
    """The words if each is a type, a kind with all its types (``job.*``), or ``*``; each once, sorted.

    Raises:
        InvalidInput, UnknownName: there is none, or one of them is no such word.

    """
    found = sorted(set(words))
    known = {*TYPES.values(), *(f"{name.partition('.')[0]}.*" for name in TYPES), "*"}
    for word in found:
        if word not in known:
            raise UnknownName("event type", word[:80], known)
    if not found:
        raise InvalidInput("Name at least one event type.", hint="For example version.approved, job.* or *.")
    return found


def wants(words: Iterable[str], event_type: str) -> bool:
    """Whether a webhook with these words is told of an event of that type."""
    return any(word in {"*", event_type, f"{event_type.partition('.')[0]}.*"} for word in words)


def body_of(event: AuditEvent) -> str:
    """What is sent of an event of the audit log."""
    details = event.details
    if len(json.dumps(details)) > MAX_DETAILS_BYTES:
        details = {"left_out": "The details are too long for a webhook; the audit log has them."}
    subject = {"type": event.object_type, "id": event.object_id, "name": event.object_name}
    data = {"team": event.team, "by": event.actor, "object": subject, "details": details}
    return _body(TYPES[event.action], event.time.astimezone(UTC).isoformat(timespec="milliseconds"), data)


def test_body(team: str, by: str, time: str) -> str:
    """What is sent to try a webhook."""
    return _body(TEST, time, {"team": team, "by": by})


def _body(event_type: str, time: str, data: Mapping[str, Any]) -> str:
    whole = {"type": event_type, "timestamp": time, "registry": settings.ZOO_PUBLIC_URL, "data": data}
    return json.dumps(whole, separators=(",", ":"), ensure_ascii=False)
