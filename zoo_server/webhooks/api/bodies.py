"""The bodies of the routes of webhooks."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from rest_framework import serializers

from zoo_server.rest.serializers import PageQuery
from zoo_server.webhooks.models import Attempt, Delivery, Webhook

EventWord = Annotated[str, StringConstraints(min_length=1, max_length=80)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Words = Annotated[list[EventWord], Field(min_length=1, max_length=50)]
Description = Annotated[str, StringConstraints(max_length=200)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WebhookCreation(_Body):
    """A new webhook.  ``events``: types such as ``version.approved``, a kind (``job.*``), or ``*``."""

    url: Url
    events: Words
    description: Description = ""


class WebhookChange(_Body):
    """What changes; what is left out stays."""

    url: Url = ""
    events: Words = Field(default_factory=list)
    description: Description = ""
    active: bool = True


class WebhookAnswer(_Body):
    """A webhook.  ``closed_reason``: why the registry itself made it inactive.  ``former_until``: the former secret
    signs too until then.
    """

    id: UUID
    team: str
    url: str
    events: list[str]
    description: str
    active: bool
    closed_reason: str
    former_until: datetime | None
    created_by: str
    created_at: datetime


class NewWebhookAnswer(WebhookAnswer):
    """A webhook with its secret, which is never told again."""

    secret: str


class WebhooksAnswer(_Body):
    """The team's webhooks, newest first."""

    results: list[WebhookAnswer]


class SecretAnswer(_Body):
    """A new secret, which is never told again; the former one signs beside it until ``former_until``."""

    secret: str
    former_until: datetime


class AttemptAnswer(_Body):
    """One try; ``status`` is null where no answer came."""

    at: datetime
    milliseconds: int
    status: int | None
    error: str


class DeliveryAnswer(_Body):
    """A message; ``message`` is its ``webhook-id``, ``state``: waiting, delivered or failed."""

    id: UUID
    message: str
    type: str
    state: str
    tries: int
    due_at: datetime | None
    created_at: datetime
    ended_at: datetime | None


class DeliveryDetailAnswer(DeliveryAnswer):
    """A message with its body as it is sent, and every try."""

    body: str
    attempts: list[AttemptAnswer]


class DeliveryQuery(PageQuery):
    """Filters of the log."""

    state = serializers.ChoiceField(Delivery.State.choices, required=False, help_text="Only in this state.")
    type = serializers.CharField(required=False, max_length=80, help_text="Only of this type.")


def describe_webhook(row: Webhook, **more: Any) -> WebhookAnswer:
    """A webhook of a query with team and author; with ``secret`` the answer that tells it."""
    plain = ("id", "url", "events", "description", "active", "closed_reason", "former_until", "created_at")
    kind = NewWebhookAnswer if more else WebhookAnswer
    by = row.created_by.username if row.created_by else "system"
    return kind(team=row.team.name, created_by=by, **{name: getattr(row, name) for name in plain}, **more)


def describe_delivery(row: Delivery) -> DeliveryAnswer:
    """A row of the log."""
    return DeliveryAnswer(**_delivery(row))


def describe_delivery_whole(row: Delivery) -> DeliveryDetailAnswer:
    """A message with everything."""
    attempts = [_attempt(item) for item in row.attempts.order_by("id")]
    return DeliveryDetailAnswer(**_delivery(row), body=row.body, attempts=attempts)


def _delivery(row: Delivery) -> dict[str, Any]:
    plain = ("id", "message", "type", "state", "tries", "created_at", "ended_at")
    due = row.due_at if row.state == Delivery.State.WAITING else None
    return {name: getattr(row, name) for name in plain} | {"due_at": due}


def _attempt(item: Attempt) -> AttemptAnswer:
    return AttemptAnswer(at=item.at, milliseconds=item.milliseconds, status=item.status, error=item.error)
