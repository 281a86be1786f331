"""The bodies of the routes of bundles."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from zoo_sdk.names import Digest, Name

MAX_KEYS = 20
PemText = Annotated[str, StringConstraints(min_length=1, max_length=10_000)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BundleImport(_Body):
    """A bundle whose blobs the team has uploaded: ``index`` is the digest of its ``index.json``.

    ``name``: what the model or data set that it was made for is called here.  ``keys``: public keys (PEM) that the
    caller vouches for.  ``unsigned``: versions without an attestation are taken.  ``dry_run``: check and plan only.
    """

    team: Name
    index: Digest
    name: Name | None = None
    keys: list[PemText] = Field(default_factory=list, max_length=MAX_KEYS)
    unsigned: bool = False
    dry_run: bool = False


class BundleRow(_Body):
    """What became (or would become) of a version; ``reference``: its name here, null before it is made.

    ``model``: the repository here; ``key``: the foreign key that signed for it, null if none did.
    """

    id: UUID
    origin: str
    reference: str | None
    model: str
    outcome: Literal["created", "completed", "unchanged"]
    key: str | None


class BundleReport(_Body):
    """What an import did, or would do.  ``missing``: digests of files to upload first (``dry_run`` only).

    ``ignored``: parts of the bundle of a kind that is not known here.
    """

    team: str
    registry: str
    format: str
    ignored: int
    missing: list[str]
    versions: list[BundleRow]


class RecordAnswer(_Body):
    """Everything that is known of a version, and its model's card: what a bundle holds besides files and proof."""

    record: dict[str, Any]
    card: str


class OriginAnswer(_Body):
    """Where an imported version comes from; ``origin``: where it had been imported from there.

    ``key``: the foreign key that signed for it; ``vouched_by``: who believed that key (``registry`` or ``importer``),
    or ``nobody``: it was not signed.  ``state``: its state there when the bundle was written.
    """

    registry: str
    reference: str
    id: UUID
    digest: str
    key: str
    vouched_by: Literal["registry", "importer", "nobody"]
    imported_by: str
    imported_at: datetime
    state: str
    sealed_at: str
    created_by: str
    origin: dict[str, Any] | None


class OriginReport(_Body):
    """``origin`` is null for a version that was made here."""

    reference: str
    origin: OriginAnswer | None


class TrustedKeyAnswer(_Body):
    """A key that is believed here about versions in bundles; ``name``: "here" for this registry's own."""

    id: str
    name: str
    public_key: str


class TrustedKeysAnswer(_Body):
    """All of them."""

    results: list[TrustedKeyAnswer]
