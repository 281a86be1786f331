"""The audit log: append-only events, each bound into a hash chain when its transaction commits."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models

from zoo_server.rest.identifiers import new_id


class AuditEvent(models.Model):
    """Who did what to which object, when and from where.

    Rows are never changed or deleted (a trigger refuses both).  ``digest`` is the sha256 of the event's canonical JSON,
    computed by the service that wrote it.  The event's place in the chain is its :class:`AuditLink`.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    time = models.DateTimeField()
    actor = models.CharField(max_length=150)
    actor_id = models.UUIDField(null=True)
    token_id = models.UUIDField(null=True)
    address = models.GenericIPAddressField(null=True)
    action = models.CharField(max_length=80)
    team = models.CharField(max_length=96, blank=True)
    object_type = models.CharField(max_length=40)
    object_id = models.CharField(max_length=80)
    object_name = models.CharField(max_length=300, blank=True)
    details = models.JSONField(default=dict)
    digest = models.CharField(max_length=71)

    class Meta:
        indexes = [
            models.Index(fields=["object_type", "object_id", "-id"], name="audit_by_object"),
            models.Index(fields=["team", "-id"], name="audit_by_team"),
            models.Index(fields=["actor", "-id"], name="audit_by_actor"),
            models.Index(fields=["action", "-id"], name="audit_by_action"),
            models.Index(fields=["object_name", "-id"], name="audit_by_object_name"),
            BrinIndex(fields=["time"], name="audit_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.object_name or self.object_id}"


class AuditLink(models.Model):
    """One link of the chain: ``hash = sha256(sequence, previous_hash, event digest)``.

    A deferred constraint trigger writes it at commit, under an advisory lock that is held for that moment only; so
    events are chained in commit order and no service waits for another's transaction.
    """

    sequence = models.BigIntegerField(primary_key=True)
    event = models.OneToOneField(AuditEvent, on_delete=models.PROTECT, related_name="link")
    previous_hash = models.CharField(max_length=71)
    hash = models.CharField(max_length=71)

    def __str__(self) -> str:
        return f"{self.sequence}: {self.hash}"
