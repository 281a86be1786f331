"""The bodies that the provenance routes take and answer with."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from rest_framework import serializers

from zoo_server.rest.serializers import StrictSerializer


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SigningKeyAnswer(_Answer):
    """The public half of a key.  ``endorsement``: the DSSE envelope by which the key before it vouches for it."""

    id: str
    algorithm: str
    public_key: str
    state: Literal["current", "retired", "revoked"]
    endorsement: dict[str, Any] | None
    created_at: datetime
    retired_at: datetime | None
    revoked_at: datetime | None
    revocation_reason: str


class SigningKeysAnswer(_Answer):
    """Every key that this registry ever signed with, newest first."""

    results: list[SigningKeyAnswer]


class AncestorAnswer(_Answer):
    """The provenance of a version that the asked one comes from."""

    reference: str
    envelope: dict[str, Any]


class AttestationsAnswer(_Answer):
    """What proves a version.  ``signature``: a Sigstore bundle; ``provenance``: a DSSE envelope."""

    reference: str
    digest: str
    provenance: dict[str, Any] | None
    signature: dict[str, Any] | None
    ancestors: list[AncestorAnswer]
    left_out: int
    keys: list[SigningKeyAnswer]


class BomQuery(StrictSerializer):
    """Which document is asked for."""

    format = serializers.ChoiceField(
        ("cyclonedx", "spdx"), default="cyclonedx", help_text="CycloneDX 1.6 ML-BOM, or SPDX 3.0.1 with the AI profile."
    )


class AttestationQuery(StrictSerializer):
    """How much is asked for."""

    chain = serializers.BooleanField(default=False, help_text="Also the provenance of every ancestor.")


class CheckpointAnswer(_Answer):
    """A signed statement about the audit log: the sequence and the hash of its newest link, as a DSSE envelope."""

    sequence: int
    hash: str
    envelope: dict[str, Any]


class DecisionAnswer(_Answer):
    """What somebody decided about a version, and when."""

    what: str
    by: str
    at: datetime
    comment: str


class StoryJobAnswer(_Answer):
    """The job that made a version; of a job that the caller may not see, only the id is told."""

    id: UUID
    operation: str | None = None
    operation_version: int | None = None
    params: dict[str, Any] | None = None
    seed: int | None = None
    by: str | None = None
    worker: str | None = None
    attempt: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cached_from: UUID | None = None
    recipe: str | None = None
    step: str | None = None


class StoryStepAnswer(_Answer):
    """A step of the version's strategy."""

    kind: str
    method: str
    operation: str | None


class StoryMetricAnswer(_Answer):
    """The newest value of a metric."""

    name: str
    value: float
    source: str
    split: str


class StoryOriginAnswer(_Answer):
    """Where an imported version comes from.  ``key``: the foreign key that signed for it, empty without one."""

    registry: str
    reference: str
    id: UUID
    digest: str
    key: str
    vouched_by: str


class StoryVersionAnswer(_Answer):
    """A version of the story."""

    id: UUID
    reference: str
    kind: str
    state: str
    digest: str
    created_by: str
    created_at: datetime
    sealed_at: datetime | None
    step: StoryStepAnswer | None
    job: StoryJobAnswer | None
    metrics: list[StoryMetricAnswer]
    decisions: list[DecisionAnswer]
    attested_by: str | None
    attested_at: datetime | None
    origin: StoryOriginAnswer | None


class StoryEdgeAnswer(_Answer):
    """``child`` was made from ``parent``: a version's id, or the URI of something kept elsewhere.

    ``reference`` is "(hidden)" for a parent that the caller may not see.
    """

    child: UUID
    parent: str
    reference: str | None
    role: str
    weight: float | None


class ProvenanceAnswer(_Answer):
    """The whole story of a version: itself, then its ancestors, the nearest first."""

    root: UUID
    versions: list[StoryVersionAnswer]
    edges: list[StoryEdgeAnswer]
    truncated: bool
