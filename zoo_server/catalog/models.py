"""Models and data sets, their versions, files, lineage, strategy, metrics and aliases.

``Version.state`` moves by compare-and-set in :mod:`zoo_server.catalog.services` only, along :data:`ARROWS`::

    draft -> candidate                                    sealed: immutable from here on
    candidate -> approved -> deprecated -> withdrawn
    deprecated -> approved                                approved again
    candidate | approved -> withdrawn                     in an emergency

Triggers (migration 0002) hold the same arrows, and refuse any other change to a sealed version, its files, artifacts,
strategy and lineage.  ``created_by`` and its like are None where the server itself acted.
"""

from collections.abc import Mapping
from types import MappingProxyType

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import Q

from zoo_sdk.vocabulary import (
    LineageRole,
    MetricSource,
    Precision,
    RepositoryKind,
    StrategyKind,
    VersionState,
    Visibility,
)
from zoo_server.accounts.models import Team
from zoo_server.artifacts.models import Blob, Upload
from zoo_server.catalog.absence import absence
from zoo_server.catalog.keeping_models import Deletion, Pin, RetentionPolicy
from zoo_server.rest.choices import choices_of
from zoo_server.rest.identifiers import new_id

__all__ = [
    "ARROWS", "Alias", "AliasMove", "Artifact", "CatalogueEntry", "Deletion", "LineageEdge", "Metric", "Mirror", "Pin",
    "Report", "Repository", "RetentionPolicy", "StateChange", "StrategyStep", "Version", "VersionFile",
]  # fmt: skip

ARROWS: Mapping[VersionState, tuple[VersionState, ...]] = MappingProxyType(
    {
        VersionState.DRAFT: (VersionState.CANDIDATE,),
        VersionState.CANDIDATE: (VersionState.APPROVED, VersionState.WITHDRAWN),
        VersionState.APPROVED: (VersionState.DEPRECATED, VersionState.WITHDRAWN),
        VersionState.DEPRECATED: (VersionState.APPROVED, VersionState.WITHDRAWN),
        VersionState.WITHDRAWN: (),
    }
)
"""From which state a version may go to which."""


class Repository(models.Model):
    """A named line of versions: a model or a data set, owned by a team."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="repositories")
    kind = models.CharField(max_length=10, choices=choices_of(RepositoryKind))
    name = models.CharField(max_length=96)
    title = models.CharField(max_length=200, blank=True)
    task = models.CharField(max_length=60, blank=True)
    architecture = models.CharField(max_length=100, blank=True)
    licence = models.CharField(max_length=100, blank=True)
    tags = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    visibility = models.CharField(max_length=10, choices=choices_of(Visibility), default=Visibility.INTERNAL)
    card = models.TextField(blank=True)
    card_metadata = models.JSONField(default=dict, blank=True)
    last_number = models.PositiveIntegerField(default=0, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    search = SearchVectorField(null=True, editable=False)

    class Meta:
        verbose_name_plural = "repositories"
        constraints = [models.UniqueConstraint(fields=["team", "kind", "name"], name="one_repository_per_name")]
        indexes = [
            GinIndex(fields=["search"], name="repository_search"),
            GinIndex(fields=["tags"], name="repository_tags"),
            models.Index(fields=["kind", "-id"], name="repository_newest"),
            models.Index(fields=["task"], name="repository_task"),
        ]

    def __str__(self) -> str:
        return f"{self.team.name}/{self.name}"


class Version(models.Model):
    """One version: its files, how it was made and how good it is.  Immutable once sealed."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    repository = models.ForeignKey(Repository, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=12, choices=choices_of(VersionState), default=VersionState.DRAFT)
    digest = models.CharField(max_length=71, blank=True)
    size = models.BigIntegerField(default=0)
    notes = models.TextField(blank=True)
    dataset = models.JSONField(null=True, blank=True)
    job_id = models.UUIDField(null=True, blank=True, unique=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    sealed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["repository", "number"], name="one_version_per_number")]
        indexes = [models.Index(fields=["state", "-id"], name="version_by_state")]

    def __str__(self) -> str:
        return f"{self.repository}@{self.number}"


class StateChange(models.Model):
    """A version's step from one state to another: who, when and why."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="state_changes")
    before = models.CharField(max_length=12, choices=choices_of(VersionState))
    after = models.CharField(max_length=12, choices=choices_of(VersionState))
    comment = models.TextField(blank=True)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    changed_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.before} -> {self.after}"


class Artifact(models.Model):
    """One file (or one directory format) of a version, and how to use it; fields as in ``zoo_sdk.artifacts``."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="artifacts")
    position = models.PositiveIntegerField()
    name = models.CharField(max_length=100)
    format = models.CharField(max_length=40)
    precision = models.CharField(max_length=10, choices=choices_of(Precision), null=True, blank=True)  # noqa: DJ001  None = unknown
    runtime = models.CharField(max_length=40, null=True, blank=True)  # noqa: DJ001  None = unknown
    signature = models.JSONField(null=True, blank=True)
    preprocessing = models.JSONField(null=True, blank=True)
    details = models.JSONField(default=dict, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "position"], name="one_artifact_per_position")]
        ordering = ["position"]

    def __str__(self) -> str:
        return f"{self.version}#{self.name}"


class VersionFile(models.Model):
    """A file of a version under a safe relative path; ``artifact`` is the one that it is part of, if any.

    A file of a catalogue is a remote reference: it has an ``address``, and no ``blob`` until it is mirrored.  Its blob
    may then be set once, also when the version is sealed (trigger in migration 0004); it never changes afterwards.
    A file of a tombstone (see :class:`Deletion`) has lost its blob, and keeps digest and size as declared ones.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="files")
    artifact = models.ForeignKey(Artifact, on_delete=models.CASCADE, null=True, blank=True, related_name="files")
    position = models.PositiveIntegerField(default=0)
    path = models.CharField(
        max_length=400, db_collation="C"
    )  # bytewise order, and its index finds what lies in a folder
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="files", null=True, blank=True)
    address = models.CharField(max_length=1000, blank=True)
    label = models.CharField(max_length=40, blank=True, help_text="What its catalogue calls the format, such as h5.")
    declared_sha256 = models.CharField(max_length=71, blank=True)
    declared_size = models.BigIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["version", "path"], name="one_file_per_path"),
            models.CheckConstraint(
                condition=Q(blob__isnull=False) | ~Q(address="") | ~Q(declared_sha256=""),
                name="file_is_known",
            ),
        ]
        indexes = [models.Index(fields=["address"], condition=~Q(address=""), name="file_by_address")]
        ordering = ["position", "path"]

    def __str__(self) -> str:
        return self.path

    def held(self) -> Blob:
        """Its bytes; raises :class:`NotMirrored` while they are only at its address, :class:`Gone` from a tombstone."""
        if self.blob is None:
            raise absence(self.path, self.address, self.declared_sha256)
        return self.blob


class Mirror(models.Model):
    """Fetching of one remote file: ``queued -> fetching -> done | failed``, ``fetching | failed -> queued``.

    ``upload`` holds what has arrived; ``validator`` is the ETag or Last-Modified by which the server is asked whether
    its file is still the same.  ``requested_by`` is on whose behalf it is fetched, with the ``scopes`` of then.
    """

    class State(models.TextChoices):
        """Where the fetching is."""

        QUEUED = "queued"
        FETCHING = "fetching"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    file = models.OneToOneField(VersionFile, on_delete=models.CASCADE, related_name="mirror")
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    scopes = ArrayField(models.CharField(max_length=20), default=list)
    upload = models.ForeignKey(Upload, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    validator = models.CharField(max_length=300, blank=True)
    tries = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField()
    error_code = models.CharField(max_length=60, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes = [models.Index(fields=["state", "due_at"], name="mirror_by_due_time")]

    def __str__(self) -> str:
        return f"{self.file.address}: {self.state}"


class CatalogueEntry(models.Model):
    """What an import made of one row of a catalogue, so that importing it again makes nothing twice.

    ``digest`` is that of the row's description; when it changes, the row gets a new version.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="catalogue_entries")
    catalogue = models.CharField(max_length=96)
    key = models.CharField(max_length=200)
    digest = models.CharField(max_length=71)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="catalogue_entries")
    imported_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "catalogue entries"
        constraints = [models.UniqueConstraint(fields=["team", "catalogue", "key"], name="one_entry_per_row")]

    def __str__(self) -> str:
        return f"{self.catalogue}: {self.key}"


class StrategyStep(models.Model):
    """One typed step by which the version was made; the steps of its base come first."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="strategy")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=20, choices=choices_of(StrategyKind))
    method = models.CharField(max_length=100)
    parameters = models.JSONField(default=dict, blank=True)
    operation = models.CharField(max_length=120, blank=True)
    job_id = models.UUIDField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "position"], name="one_step_per_position")]
        ordering = ["position"]

    def __str__(self) -> str:
        return f"{self.kind}: {self.method}"


class LineageEdge(models.Model):
    """Child version -> parent with a role.  The parent is a version held here, or an external URI.  Acyclic."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    child = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="parent_edges")
    parent = models.ForeignKey(Version, on_delete=models.PROTECT, null=True, blank=True, related_name="child_edges")
    external_uri = models.CharField(max_length=500, blank=True)
    role = models.CharField(max_length=20, choices=choices_of(LineageRole))
    weight = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=(Q(parent__isnull=False) & Q(external_uri=""))
                | (Q(parent__isnull=True) & ~Q(external_uri="")),
                name="parent_is_here_or_external",
            ),
            models.UniqueConstraint(fields=["child", "parent", "role"], name="one_edge_per_role"),
            models.UniqueConstraint(
                fields=["child", "external_uri", "role"],
                condition=Q(parent__isnull=True),
                name="one_external_edge_per_role",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.child} {self.role} {self.parent or self.external_uri}"


class Metric(models.Model):
    """A number about a version: reported by somebody, or measured by a job of ours.  May be added after sealing."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="metrics")
    name = models.CharField(max_length=60)
    value = models.FloatField()
    source = models.CharField(max_length=10, choices=choices_of(MetricSource))
    dataset = models.ForeignKey(Version, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    dataset_name = models.CharField(max_length=300, blank=True)
    split = models.CharField(max_length=60, blank=True)
    artifact = models.ForeignKey(Artifact, on_delete=models.CASCADE, null=True, blank=True, related_name="metrics")
    runtime = models.CharField(max_length=40, blank=True)
    device = models.CharField(max_length=100, blank=True)
    details = models.JSONField(default=dict, blank=True)
    job_id = models.UUIDField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            models.Index(fields=["version", "name"], name="metric_by_version"),
            models.Index(fields=["name", "value"], name="metric_by_value"),
        ]

    def __str__(self) -> str:
        return f"{self.name} = {self.value:g}"


class Report(models.Model):
    """What a job of ours found about a version that is more than a number: bounded JSON, of a shape by ``kind``."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="reports")
    kind = models.CharField(max_length=40)
    content = models.JSONField()
    size = models.PositiveIntegerField(help_text="Bytes of the content as JSON.")
    dataset = models.ForeignKey(Version, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    split = models.CharField(max_length=60, blank=True)
    artifact = models.ForeignKey(Artifact, on_delete=models.CASCADE, null=True, blank=True, related_name="reports")
    runtime = models.CharField(max_length=40, blank=True)
    device = models.CharField(max_length=100, blank=True)
    job_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["version", "kind", "-id"], name="report_by_version")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.version}"


class Alias(models.Model):
    """A moving pointer to a version of its repository."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="aliases")
    name = models.CharField(max_length=96)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="aliases")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "aliases"
        constraints = [models.UniqueConstraint(fields=["repository", "name"], name="one_alias_per_name")]

    def __str__(self) -> str:
        return f"{self.repository}@{self.name}"


class AliasMove(models.Model):
    """One step of an alias's history; ``after`` None means that the alias was removed."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="alias_moves")
    name = models.CharField(max_length=96)
    before = models.ForeignKey(Version, on_delete=models.PROTECT, null=True, related_name="+")
    after = models.ForeignKey(Version, on_delete=models.PROTECT, null=True, related_name="+")
    moved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    moved_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["repository", "name", "-id"], name="alias_history")]

    def __str__(self) -> str:
        return f"@{self.name}: {self.before} -> {self.after}"
