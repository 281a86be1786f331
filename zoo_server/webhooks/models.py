"""Webhooks of teams, what they are told, and every try.

The audit log is the outbox: its events are written in the transaction of what they tell of.  A chore follows the chain
(``Cursor``) and makes a :class:`Delivery` for each webhook that wants an event, so nothing is lost and nothing that was
rolled back is told.
"""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from zoo_server.accounts.models import Team
from zoo_server.rest.identifiers import new_id


class Webhook(models.Model):
    """An address that a team has told what happens.

    ``secret`` and ``former_secret`` are encrypted; both sign until ``former_until``.  ``closed_reason``: why the
    registry itself made it inactive.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="webhooks")
    url = models.CharField(max_length=1000)
    events = ArrayField(models.CharField(max_length=80))
    description = models.CharField(max_length=200, blank=True)
    active = models.BooleanField(default=True)
    closed_reason = models.CharField(max_length=300, blank=True)
    secret = models.TextField()
    former_secret = models.TextField(blank=True)
    former_until = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["team", "-id"], name="webhook_by_team")]

    def __str__(self) -> str:
        return f"webhook {self.id} of {self.team.name}"


class Delivery(models.Model):
    """One message to one webhook: ``waiting -> delivered | failed``; ``delivered | failed -> waiting`` (redelivery).

    ``message`` is the ``webhook-id``: the same however often it is sent.  ``body``: what is sent, to the byte.
    """

    class State(models.TextChoices):
        """Where it is."""

        WAITING = "waiting"
        DELIVERED = "delivered"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    message = models.CharField(max_length=60)
    type = models.CharField(max_length=80)
    body = models.TextField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    tries = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [models.UniqueConstraint(fields=["webhook", "message"], name="one_delivery_per_message")]
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(state="waiting"), name="delivery_due"),
            models.Index(fields=["webhook", "-id"], name="delivery_by_webhook"),
            models.Index(fields=["created_at"], name="delivery_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.message}"


class Attempt(models.Model):
    """One try: ``status`` is None where no answer came; ``error`` says why it did not count."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    at = models.DateTimeField()
    milliseconds = models.PositiveIntegerField()
    status = models.PositiveIntegerField(null=True, blank=True)
    error = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return f"{self.status or 'no answer'}"


class Cursor(models.Model):
    """The one row that says how far the audit log was read."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    sequence = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"up to {self.sequence}"
