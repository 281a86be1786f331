"""Making, changing and removing webhooks, trying one, and sending something again; each with its audit event."""

from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from zoo_sdk.errors import Conflict, NotFound, Unavailable
from zoo_sdk.vocabulary import Scope
from zoo_server.accounts.models import Team
from zoo_server.accounts.permissions import require_in_team
from zoo_server.audit.services import record_event
from zoo_server.catalog.addresses import checked_address, public_addresses
from zoo_server.rest.identifiers import new_id
from zoo_server.rest.principals import Principal
from zoo_server.webhooks.events import TEST, checked_events, test_body
from zoo_server.webhooks.models import Delivery, Webhook
from zoo_server.webhooks.secrets import new_secret, sealed

MOST = 50
"""Webhooks of one team."""
OVERLAP = timedelta(hours=24)
"""How long the former secret signs beside a new one."""


def webhook_for(*, team: Team, webhook_id: UUID) -> Webhook:
    """The team's webhook; raises :class:`NotFound` for another team's as for one that does not exist."""
    found = Webhook.objects.select_related("team", "created_by").filter(team=team, pk=webhook_id).first()
    if found is None:
        raise NotFound(f"The team {team.name!r} has no webhook {webhook_id}.", hint="`zoo webhook list` shows them.")
    return found


def delivery_for(*, webhook: Webhook, delivery_id: UUID) -> Delivery:
    """A message to the webhook."""
    found = Delivery.objects.select_related("webhook__team").filter(webhook=webhook, pk=delivery_id).first()
    if found is None:
        raise NotFound(f"The webhook {webhook.pk} has no delivery {delivery_id}.")
    return found


def create_webhook(
    *, principal: Principal, team: Team, url: str, events: Sequence[str], description: str = ""
) -> tuple[Webhook, str]:
    """A webhook and its secret, which is told this once.

    Raises:
        PermissionDenied: the caller does not administer the team; so for every service here.
        InvalidInput, UnknownName: the address or an event type is wrong.
        Refused: the address is not public, or not encrypted.
        Conflict: the team has the most that it may have.

    """
    require_in_team(principal=principal, team=team, scope=Scope.ADMIN)
    _check_url(url)
    secret = new_secret()
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        if Webhook.objects.filter(team=team).count() >= MOST:
            raise Conflict(f"The team {team.name!r} has {MOST} webhooks, which is the most.", hint="Remove one first.")
        row = Webhook.objects.create(
            team=team,
            url=url,
            events=checked_events(events),
            description=description,
            secret=sealed(secret),
            created_by_id=principal.user_id,
        )
        _record(principal, "webhook.created", row, {"url": url, "events": row.events})
    return row, secret


def update_webhook(*, principal: Principal, webhook: Webhook, **changes: Any) -> Webhook:
    """Change ``url``, ``events``, ``description`` or ``active``; activating it forgets why it was closed."""
    require_in_team(principal=principal, team=webhook.team, scope=Scope.ADMIN)
    if "url" in changes:
        _check_url(changes["url"])
    if "events" in changes:
        changes["events"] = checked_events(changes["events"])
    if changes.get("active"):
        changes["closed_reason"] = ""
    with transaction.atomic():
        row = Webhook.objects.select_for_update(of=("self",)).select_related("team", "created_by").get(pk=webhook.pk)
        for name, value in changes.items():
            setattr(row, name, value)
        row.save(update_fields=list(changes))
        _record(principal, "webhook.updated", row, changes)
    return row


def rotate_secret(*, principal: Principal, webhook: Webhook) -> str:
    """A new secret, told this once; the former one signs beside it for :data:`OVERLAP`."""
    require_in_team(principal=principal, team=webhook.team, scope=Scope.ADMIN)
    secret = new_secret()
    with transaction.atomic():
        row = Webhook.objects.select_for_update(of=("self",)).select_related("team").get(pk=webhook.pk)
        row.former_secret, row.former_until = row.secret, timezone.now() + OVERLAP
        row.secret = sealed(secret)
        row.save(update_fields=["secret", "former_secret", "former_until"])
        _record(principal, "webhook.rotated", row, {})
    return secret


def remove_webhook(*, principal: Principal, webhook: Webhook) -> None:
    """Remove it with the log of its deliveries."""
    require_in_team(principal=principal, team=webhook.team, scope=Scope.ADMIN)
    with transaction.atomic():
        _record(principal, "webhook.removed", webhook, {"url": webhook.url})
        webhook.delete()


def try_webhook(*, principal: Principal, webhook: Webhook) -> Delivery:
    """Have a message of the type ``webhook.test`` sent, whatever the webhook wants to hear of."""
    require_in_team(principal=principal, team=webhook.team, scope=Scope.ADMIN)
    now = timezone.now()
    body = test_body(webhook.team.name, principal.name, now.astimezone(UTC).isoformat(timespec="milliseconds"))
    return Delivery.objects.create(webhook=webhook, message=f"msg_{new_id().hex}", type=TEST, body=body, due_at=now)


def redeliver(*, principal: Principal, delivery: Delivery) -> Delivery:
    """Send a message again that was delivered or given up: the same id and body, a new timestamp.

    Raises:
        Conflict: it is waiting to be sent.

    """
    require_in_team(principal=principal, team=delivery.webhook.team, scope=Scope.ADMIN)
    with transaction.atomic():
        row = Delivery.objects.select_for_update(of=("self",)).select_related("webhook__team").get(pk=delivery.pk)
        if row.state == Delivery.State.WAITING:
            raise Conflict(f"{row} is waiting to be sent.", facts={"state": row.state})
        row.state, row.tries, row.due_at, row.ended_at = Delivery.State.WAITING, 0, timezone.now(), None
        row.save(update_fields=["state", "tries", "due_at", "ended_at"])
        _record(principal, "webhook.redelivered", row.webhook, {"message": row.message, "type": row.type})
    return row


def _check_url(url: str) -> None:
    """Refuse at once what could never be sent to; a name that is not known at the moment may be known later."""
    target = checked_address(url)
    try:
        public_addresses(target, settings.ZOO_WEBHOOK_NETWORKS, setting="ZOO_WEBHOOK_NETWORKS")
    except Unavailable:
        return


def _record(principal: Principal, action: str, webhook: Webhook, details: dict[str, Any]) -> None:
    record_event(actor=principal, action=action, subject=webhook, team=webhook.team.name, details=details)
