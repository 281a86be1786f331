"""Bytes by digest, and the sessions that bring them."""

from django.conf import settings
from django.db import models
from django.db.models import F
from django.utils import timezone

from zoo_server.accounts.models import Team
from zoo_server.rest.identifiers import new_id


class Blob(models.Model):
    """Bytes that the store holds under their digest; made only after they were hashed here and made durable.

    ``format``, ``facts`` and ``findings`` come from looking at the bytes without executing them (see
    ``zoo_inspection``), by the rules of the version ``inspector``; 0: from before rules had versions.
    """

    class State(models.TextChoices):
        """Whether it stays: see :mod:`zoo_server.artifacts.collection` for the arrows."""

        NONE = "none"
        DELETE = "delete"
        DELETING = "deleting"
        QUARANTINED = "quarantined"

    sha256 = models.CharField(max_length=71, primary_key=True)
    size = models.BigIntegerField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.NONE)
    version = models.PositiveIntegerField(default=0)
    touched_at = models.DateTimeField(default=timezone.now)
    verified_at = models.DateTimeField(null=True, blank=True)
    format = models.CharField(max_length=40)
    facts = models.JSONField(default=dict)
    findings = models.JSONField(default=list)
    inspector = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            models.Index(fields=["inspector", "sha256"], name="blob_by_inspector"),
            models.Index(fields=["state", "touched_at"], name="blob_by_state"),
            models.Index(F("verified_at").asc(nulls_first=True), "created_at", name="blob_by_verification"),
        ]

    def __str__(self) -> str:
        return self.sha256


class Holding(models.Model):
    """A team has proved that it possesses these bytes; only then does "have it" answer without an upload."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="holdings")
    blob = models.ForeignKey(Blob, on_delete=models.CASCADE, related_name="holdings")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "blob"], name="one_holding_per_team_and_blob")]

    def __str__(self) -> str:
        return f"{self.team} holds {self.blob_id}"


class Upload(models.Model):
    """A resumable upload: ``open -> complete | aborted``.

    ``multipart`` is the bucket's name for the parts of a direct upload (see :mod:`zoo_server.artifacts.direct`).
    ``offset`` counts the bytes that are durable in the session's temporary file.  ``job_id``/``attempt`` bind the
    upload to an attempt when a worker makes it (plain values, not a foreign key: this app lies below ``jobs``).
    """

    class State(models.TextChoices):
        """Where the session is."""

        OPEN = "open"
        COMPLETE = "complete"
        ABORTED = "aborted"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="uploads")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    job_id = models.UUIDField(null=True)
    attempt = models.PositiveIntegerField(null=True)
    filename = models.CharField(max_length=400, blank=True)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=71, blank=True)
    offset = models.BigIntegerField(default=0)
    multipart = models.CharField(max_length=1024, blank=True, editable=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, null=True, related_name="uploads")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["state", "expires_at"], name="upload_by_expiry")]

    def __str__(self) -> str:
        return f"{self.filename or self.id}: {self.offset}/{self.size}"


class TeamStorage(models.Model):
    """How much room a team takes and may take, in bytes; see :mod:`zoo_server.artifacts.quotas`.

    ``held`` (blobs that the team possesses) and ``reserved`` (sizes of its open uploads) are written by triggers only.
    """

    team = models.OneToOneField(Team, on_delete=models.CASCADE, primary_key=True, related_name="storage")
    held = models.BigIntegerField(default=0, db_default=0, editable=False)
    reserved = models.BigIntegerField(default=0, db_default=0, editable=False)
    physical_quota = models.BigIntegerField(null=True, blank=True, help_text="Bytes; empty: no limit.")
    logical_quota = models.BigIntegerField(null=True, blank=True, help_text="Bytes; empty: no limit.")

    class Meta:
        verbose_name = "storage use of a team"
        verbose_name_plural = "storage use of teams"

    def __str__(self) -> str:
        return f"storage of {self.team}"
