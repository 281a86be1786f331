"""Signing keys (their public halves), attestations of versions, and the versions that still wait for theirs;
keys of other registries that this one believes, and what is known of versions that came from elsewhere.

A private key is a file beside the server and never in the database.  Of the keys without ``retired_at`` and
``revoked_at`` the newest one signs.  A retired key's signatures stay good; what a revoked key signed is signed anew.
Attestations are never changed or deleted (a trigger refuses both).
"""

from django.conf import settings
from django.db import models

from zoo_server.accounts.models import Team
from zoo_server.catalog.models import Version
from zoo_server.provenance.kinds import AttestationKind, Voucher
from zoo_server.rest.choices import choices_of
from zoo_server.rest.identifiers import new_id


class SigningKey(models.Model):
    """The public half of a key.  ``id``: sha256 of its PEM text.

    ``endorsement``: a DSSE envelope by which the key before it vouches for it; None for the first one.
    """

    id = models.CharField(primary_key=True, max_length=64)
    algorithm = models.CharField(max_length=40)
    public_key = models.TextField()
    endorsement = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revocation_reason = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return self.id[:16]


class Attestation(models.Model):
    """A signed statement about a version.

    ``payload``: the signed bytes, an in-toto statement.  ``complete``: the digest of every file was known; a version
    with files that are not mirrored yet gets a second one when they are.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="attestations")
    kind = models.CharField(max_length=20, choices=choices_of(AttestationKind))
    key = models.ForeignKey(SigningKey, on_delete=models.PROTECT, related_name="attestations")
    complete = models.BooleanField(default=True)
    payload = models.BinaryField()
    signature = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["version", "kind", "key", "complete"], name="one_attestation_per_key")
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.version}"


class PendingAttestation(models.Model):
    """The outbox: written with the sealing, deleted once the version has its attestations.

    ``tries`` and ``error`` tell why one is still here.
    """

    version = models.OneToOneField(Version, on_delete=models.CASCADE, primary_key=True, related_name="+")
    due_at = models.DateTimeField()
    tries = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)

    class Meta:
        indexes = [models.Index(fields=["due_at"], name="pending_attestation_due")]

    def __str__(self) -> str:
        return f"attestation of {self.version_id}"


class TrustedKey(models.Model):
    """The public key of another registry, whose word about the versions in a bundle is believed here."""

    id = models.CharField(primary_key=True, max_length=64)
    name = models.CharField(max_length=200)
    public_key = models.TextField()
    added_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.id[:16]})"


class ImportedVersion(models.Model):
    """Where a version comes from that a bundle brought: its names and ids there, and by whose word.

    ``record``: what the bundle told, without the list of files (the version has it).  ``key``: the foreign key that
    signed ``provenance`` (a DSSE envelope, kept as it came); empty without one.  Never changed (a trigger refuses it).
    """

    version = models.OneToOneField(Version, on_delete=models.CASCADE, primary_key=True, related_name="imported")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="+")
    registry = models.CharField(max_length=300)
    foreign_id = models.UUIDField()
    foreign_repository = models.UUIDField()
    foreign_reference = models.CharField(max_length=300)
    foreign_digest = models.CharField(max_length=71)
    key = models.CharField(max_length=64, blank=True)
    public_key = models.TextField(blank=True)
    vouched_by = models.CharField(max_length=10, choices=choices_of(Voucher))
    record = models.JSONField()
    provenance = models.BinaryField(null=True)
    signature = models.BinaryField(null=True)
    imported_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    imported_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "foreign_id"], name="one_import_per_team")]
        indexes = [
            models.Index(fields=["foreign_id"], name="import_by_foreign_id"),
            models.Index(fields=["team", "foreign_repository"], name="import_by_repository"),
        ]

    def __str__(self) -> str:
        return f"{self.foreign_reference} of {self.registry}"
