"""Writing to the audit log: one function, called inside the transaction of the change that it records."""

import json
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.utils import timezone

from zoo_server.audit.models import AuditEvent
from zoo_server.rest.identifiers import new_id
from zoo_server.rest.principals import Principal


def record_event(
    *,
    actor: Principal,
    action: str,
    subject: Any,
    team: str = "",
    details: dict[str, Any] | None = None,
) -> AuditEvent:
    """Record that ``actor`` did ``action`` (``noun.verb``, such as ``version.sealed``) to ``subject``, a model's row.

    Call it in the same ``transaction.atomic()`` as the change.  Names are copied, so the event outlives its subject.
    """
    event = AuditEvent(
        id=new_id(),
        time=timezone.now(),
        actor=actor.name,
        actor_id=actor.user_id,
        token_id=actor.token_id,
        address=actor.address,
        action=action,
        team=team,
        object_type=subject._meta.model_name,
        object_id=str(subject.pk),
        object_name=str(subject)[:300],
        details=details or {},
    )
    event.digest = event_digest(event)
    event.save(force_insert=True)
    return event


def event_digest(event: AuditEvent) -> str:
    """sha256 of the event's canonical JSON (sorted keys, no spaces, UTC time in microseconds)."""
    content = {
        "id": str(event.id),
        "time": event.time.isoformat(timespec="microseconds"),
        "actor": event.actor,
        "actor_id": _text(event.actor_id),
        "token_id": _text(event.token_id),
        "address": event.address,
        "action": event.action,
        "team": event.team,
        "object_type": event.object_type,
        "object_id": event.object_id,
        "object_name": event.object_name,
        "details": event.details,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
