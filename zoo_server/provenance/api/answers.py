"""The bodies that the provenance routes take and answer with."""

from datetime import datetime
from typing import Any, Literal

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
