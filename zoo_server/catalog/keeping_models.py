"""What decides how long a version is kept: deletions that can be undone for a while, and pins.

Kept beside the versions, whose rows never change once they are sealed.  A deletion that was carried out (``buried_at``)
is never undone or changed: a trigger (migration 0006) holds that, and lets go of the bytes of such versions only.
"""

from django.conf import settings
from django.db import models
from django.db.models import Q

from zoo_server.rest.identifiers import new_id


class Deletion(models.Model):
    """Somebody deleted a version, or a repository with all its versions.

    Until ``restorable_until`` it can be taken back: then the row goes.  Afterwards a chore lets go of the files and
    sets ``buried_at``: what is left is a tombstone, that is the version's row with its number, digest, paths and
    digests of files, lineage, strategy and metrics.  ``whole``: the repository's deletion that this one is a part of.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    version = models.OneToOneField(
        "catalog.Version", on_delete=models.CASCADE, null=True, blank=True, related_name="deletion"
    )
    repository = models.OneToOneField(
        "catalog.Repository", on_delete=models.CASCADE, null=True, blank=True, related_name="deletion"
    )
    whole = models.ForeignKey("self", on_delete=models.CASCADE, null=True, blank=True, related_name="parts")
    reason = models.TextField(blank=True)
    deleted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    deleted_at = models.DateTimeField(auto_now_add=True)
    restorable_until = models.DateTimeField()
    buried_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(version__isnull=False, repository__isnull=True)
                | Q(version__isnull=True, repository__isnull=False),
                name="deletion_of_one_thing",
            )
        ]
        indexes = [
            models.Index(fields=["restorable_until"], condition=Q(buried_at__isnull=True), name="deletion_to_bury")
        ]

    def __str__(self) -> str:
        return f"deletion of {self.version or self.repository}"


class RetentionPolicy(models.Model):
    """What a team does not want to keep for ever: YAML text (docs/storage.md), applied every day."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    team = models.OneToOneField("accounts.Team", on_delete=models.CASCADE, related_name="retention")
    text = models.TextField()
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "retention policies"

    def __str__(self) -> str:
        return f"retention of {self.team}"


class Pin(models.Model):
    """Somebody wants a version kept: no policy and no person deletes it while this row is there."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    version = models.OneToOneField("catalog.Version", on_delete=models.CASCADE, related_name="pin")
    reason = models.TextField(blank=True)
    pinned_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    pinned_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.version} is pinned"
