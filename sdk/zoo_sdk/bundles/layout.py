"""How a bundle is laid out: media types, annotations, and the documents in it.

An OCI image layout (https://github.com/opencontainers/image-spec, 1.1): ``index.json`` lists one image manifest for
each version; its config is the version's *record*, its layers are the files and the documents about it.
``docs/bundles.md`` has the whole, and the rules by which registries of different age understand each other.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from zoo_sdk.errors import IntegrityError, InvalidInput
from zoo_sdk.names import Digest, Name
from zoo_sdk.vocabulary import RepositoryKind

FORMAT = "1.0"
"""Of the bundles that this code writes.  Another first number means that older readers must not guess."""

OCI_LAYOUT = "1.0.0"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
BUNDLE_TYPE = "application/vnd.zoo.bundle.v1"
VERSION_TYPE = "application/vnd.zoo.version.v1"
RECORD_TYPE = "application/vnd.zoo.version.record.v1+json"
FILE_TYPE = "application/octet-stream"
PROVENANCE_TYPE = "application/vnd.dsse.envelope.v1+json"
SIGNATURE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
CYCLONEDX_TYPE = "application/vnd.cyclonedx+json"
SPDX_TYPE = "application/spdx+json"
CARD_TYPE = "text/markdown"
REPORT_TYPE = "application/vnd.zoo.report.v1+json"

FORMAT_NOTE = "zoo.bundle.format"
REGISTRY_NOTE = "zoo.bundle.registry"
ID_NOTE = "zoo.version.id"
PART_NOTE = "zoo.version.part"
PATH_NOTE = "org.opencontainers.image.title"
REFERENCE_NOTE = "org.opencontainers.image.ref.name"
ROOT, ANCESTOR = "root", "ancestor"
"""Whether a version was asked for, or came along because another was made from it."""

MAX_VERSIONS = 2000
MAX_LAYERS = 110_000
MAX_DOCUMENT_BYTES = 64 * 2**20
"""Of index, manifest, record and every other document; files have no limit but the archive's own size."""
MAX_DEPTH = 64
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_FORMAT = re.compile(r"^(\d{1,4})\.(\d{1,4})$")
Text = Annotated[str, StringConstraints(max_length=1000)]


class NewerFormat(InvalidInput):
    """The bundle was written by a later Zoo, in a way that cannot be read here."""

    code = "newer-format"


class _Document(BaseModel):
    """What is not known is not looked at; the bytes as they came are what is kept."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Descriptor(_Document):
    """A blob: its type, digest and size in bytes."""

    mediaType: Text  # noqa: N815  the name in the standard
    digest: Digest
    size: int = Field(ge=0, le=2**53)
    annotations: dict[str, str] = Field(default_factory=dict)


class Manifest(_Document):
    """One version: its record (``config``), its documents and files."""

    schemaVersion: Literal[2]  # noqa: N815
    artifactType: Text = ""  # noqa: N815
    config: Descriptor
    layers: tuple[Descriptor, ...] = Field(max_length=MAX_LAYERS)


class Index(_Document):
    """The versions in the bundle."""

    schemaVersion: Literal[2]  # noqa: N815
    manifests: tuple[Descriptor, ...] = Field(min_length=1, max_length=MAX_VERSIONS)
    annotations: dict[str, str] = Field(default_factory=dict)

    @property
    def registry(self) -> str:
        """The address of the registry that the bundle was written from."""
        return self.annotations.get(REGISTRY_NOTE, "")[:300]


class ParentRecord(_Document):
    """A parent: a version by id (``reference`` None: whoever wrote the bundle could not see it), or an external URI."""

    role: Text
    weight: float | None = None
    id: UUID | None = None
    reference: Text | None = None
    digest: Digest | None = None
    external_uri: Annotated[str, StringConstraints(max_length=500)] = ""


class RepositoryRecord(_Document):
    """The model or data set that the version is of."""

    id: UUID
    kind: RepositoryKind
    team: Name
    name: Name
    title: str = ""
    task: str = ""
    architecture: str = ""
    licence: str = ""
    tags: list[str] = Field(default_factory=list)
    visibility: Text = ""


class MetricRecord(_Document):
    """A number about the version as its registry knows it."""

    id: UUID
    name: Text
    value: float
    source: Text
    dataset: Text = ""
    dataset_id: UUID | None = None
    split: Text = ""
    artifact: Text | None = None
    runtime: Text = ""
    device: Text = ""
    details: dict[str, Any] = Field(default_factory=dict)
    job: UUID | None = None
    created_by: Text = ""
    created_at: Text = ""


class ReportRecord(_Document):
    """What a job found that is more than a number; a layer of its own."""

    id: UUID
    kind: Annotated[str, StringConstraints(max_length=40)]
    content: dict[str, Any]
    dataset: Text | None = None
    split: Text | None = None
    artifact: Text | None = None
    runtime: Text | None = None
    device: Text | None = None
    job: UUID


class FileRecord(_Document):
    """A file of the version.  One with an ``address`` was elsewhere; without ``sha256`` its bytes are not known."""

    path: Text
    sha256: Digest | None = None
    size: int | None = Field(None, ge=0)
    address: Text = ""
    label: Text = ""


class Record(_Document):
    """Everything that its registry knows of a version.

    ``manifest``: the very document whose digest is the version's.  ``whole``: it is complete, so that its digest can be
    computed again; not so if a parent was hidden from whoever wrote the bundle.
    """

    id: UUID
    registry: Text
    reference: Text
    digest: Digest
    state: Text
    created_by: Text = ""
    created_at: Text = ""
    sealed_at: Text = ""
    notes: str = ""
    whole: bool
    manifest: dict[str, Any]
    parents: tuple[ParentRecord, ...] = Field((), max_length=10_000)
    repository: RepositoryRecord
    metrics: tuple[MetricRecord, ...] = Field((), max_length=100_000)

    @property
    def files(self) -> list[FileRecord]:
        """The version's files, as its manifest lists them."""
        return [FileRecord.model_validate(file) for file in self.manifest.get("files", [])]


def check_format(index: Index) -> str:
    """The bundle's format; raises :class:`NewerFormat` for one that must not be guessed at."""
    text = index.annotations.get(FORMAT_NOTE, "")
    match = _FORMAT.match(text)
    if match is None:
        raise IntegrityError(
            f"index.json says {FORMAT_NOTE}={text[:40]!r}, which is no format of a bundle.",
            hint="Is it an image of something else? Bundles are written by `zoo export`.",
        )
    if int(match[1]) > int(FORMAT.partition(".")[0]):
        raise NewerFormat(
            f"The bundle has the format {text}; this Zoo reads {FORMAT} and what has the same first number.",
            hint="Update this registry and client, or export the bundle with an older client.",
            facts={"format": text, "known": FORMAT},
        )
    return text


def read_document(content: bytes, what: str) -> Any:
    """JSON of strangers: not nested without end, no text that cannot be stored, no numbers that are none.

    Raises:
        IntegrityError: it is not such JSON; ``what`` names it.

    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = "is nested without end" if isinstance(error, RecursionError) else f"is no JSON: {str(error)[:120]}"
        raise IntegrityError(f"{what} {reason}.") from error
    waiting = [(document, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise IntegrityError(f"{what} is nested deeper than {MAX_DEPTH} levels.")
        if isinstance(value, str):
            if _UNSTORABLE.search(value):
                raise IntegrityError(f"{what} holds the text {value[:40]!r}, with a NUL or half a character.")
        elif isinstance(value, float):
            if not math.isfinite(value):
                raise IntegrityError(f"{what} holds a number that is beyond the range of a double.")
        elif isinstance(value, Mapping):
            waiting += [(item, depth + 1) for pair in value.items() for item in pair]
        elif isinstance(value, list):
            waiting += [(item, depth + 1) for item in value]
    return document


def descriptor(media_type: str, digest: str, size: int, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A descriptor as JSON."""
    made: dict[str, Any] = {"mediaType": media_type, "digest": digest, "size": size}
    return made | ({"annotations": dict(annotations)} if annotations else {})


def manifest_document(record: Mapping[str, Any], layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The image manifest of a version; ``record``: the descriptor of its record."""
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": VERSION_TYPE,
        "config": dict(record),
        "layers": list(layers),
    }


def index_document(registry: str, manifests: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """``index.json``."""
    return {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "artifactType": BUNDLE_TYPE,
        "manifests": list(manifests),
        "annotations": {FORMAT_NOTE: FORMAT, REGISTRY_NOTE: registry},
    }
