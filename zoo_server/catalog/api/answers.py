"""What the routes of the catalogue answer, as pydantic models; the OpenAPI document is made from them as well."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, create_model

from zoo_sdk.artifacts import ArtifactDescription, DatasetDescription


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DeletionAnswer(_Answer):
    """Who deleted it, when and why; it can be restored until then, unless it is a ``tombstone``: its files are gone."""

    by: str
    at: datetime
    reason: str
    restorable_until: datetime
    tombstone: bool


class PinAnswer(_Answer):
    """Who wants it kept, since when and why."""

    by: str
    at: datetime
    reason: str


class RepositoryAnswer(_Answer):
    """A model or data set.  ``latest``: the number of its newest usable version."""

    id: UUID
    kind: str
    team: str
    name: str
    full_name: str
    title: str
    task: str
    architecture: str
    licence: str
    tags: list[str]
    visibility: str
    card: str
    card_metadata: dict[str, Any]
    created_by: str
    created_at: datetime
    updated_at: datetime
    latest: int | None
    aliases: dict[str, int]
    deletion: DeletionAnswer | None


class MirrorAnswer(_Answer):
    """How far the fetching of a remote file is; ``done`` and ``total`` in bytes, ``error`` of the last try."""

    state: str
    done: int
    total: int | None
    error: str | None


class FileAnswer(_Answer):
    """A file; ``format``, ``facts`` and ``findings`` come from looking at its bytes.

    ``facts`` are in short (without the rows of tables; see the file's ``inspection`` and ``tables``), and null beyond
    the first 32 files of a version that have any.
    One of a catalogue has an ``address``, and ``mirrored`` is false while its bytes are only there: then ``format`` is
    null, ``sha256`` and ``size`` are what its catalogue declares.
    """

    path: str
    sha256: str | None
    size: int | None
    format: str | None
    facts: dict[str, Any] | None
    findings: list[dict[str, Any]]
    mirrored: bool
    address: str | None
    label: str | None
    mirror: MirrorAnswer | None


class InspectionAnswer(_Answer):
    """What was found in a file's bytes, by the rules of the version ``inspector`` (0: from before they had versions).

    ``severity``: of its worst finding.  ``facts``: without the rows of tables.  ``artifact``: the name of the one that
    it is part of; ``contradictions``: where that is declared otherwise than this file, its main file, says.
    """

    path: str
    sha256: str
    size: int
    format: str
    inspector: int
    severity: str | None
    findings: list[dict[str, Any]]
    facts: dict[str, Any]
    artifact: str | None
    contradictions: list[str]


class FactTableAnswer(_Answer):
    """Rows of a table of a file's facts: ``count`` that the file has, of which the first ``kept`` are told."""

    name: str
    count: int
    kept: int
    columns: list[str]
    results: list[list[Any]]
    next: str | None


class ArtifactAnswer(ArtifactDescription):
    """An artifact; ``size``: bytes of all its files as far as it is known; ``mirrored``: all of them are here.

    ``contradictions``: sentences about what is declared otherwise than the main file's bytes say.
    """

    size: int
    mirrored: bool
    contradictions: list[str]


class StepAnswer(_Answer):
    """A step of the strategy; ``operation`` and ``job`` are null for reported ones."""

    kind: str
    method: str
    parameters: dict[str, Any]
    operation: str | None
    job: UUID | None


class ParentAnswer(_Answer):
    """An edge to a parent.  ``reference`` is ``(hidden)`` for a parent that the caller may not see."""

    role: str
    weight: float | None
    reference: str | None
    external_uri: str | None


class MetricAnswer(_Answer):
    """A number with its unit and direction, and under which circumstances it was found."""

    id: UUID
    name: str
    value: float
    unit: str
    direction: str
    source: str
    dataset: str | None
    split: str | None
    artifact: str | None
    runtime: str | None
    device: str | None
    details: dict[str, Any]
    job: UUID | None
    created_by: str
    created_at: datetime


class StateChangeAnswer(_Answer):
    """A step in a version's life."""

    before: str
    after: str
    comment: str
    changed_by: str
    changed_at: datetime


class VersionAnswer(_Answer):
    """A version with all that belongs to it; ``mirrored``: all its files are here."""

    id: UUID
    reference: str
    team: str
    name: str
    kind: str
    number: int
    state: str
    digest: str
    size: int
    mirrored: bool
    notes: str
    dataset: DatasetDescription | None
    created_by: str
    created_at: datetime
    sealed_at: datetime | None
    job: UUID | None
    files: list[FileAnswer]
    artifacts: list[ArtifactAnswer]
    strategy: list[StepAnswer]
    parents: list[ParentAnswer]
    metrics: list[MetricAnswer]
    aliases: list[str]
    state_changes: list[StateChangeAnswer]
    pin: PinAnswer | None
    deletion: DeletionAnswer | None


class HolderAnswer(_Answer):
    """A version that holds the bytes asked for, under ``paths``."""

    id: UUID
    reference: str
    kind: str
    number: int
    state: str
    digest: str
    paths: list[str]


class NodeAnswer(_Answer):
    """A version of the family, an external parent (``external_uri``) or one that the caller may not see.

    ``deleted``: ``restorable`` or ``tombstone``.
    """

    id: str
    reference: str | None
    kind: str | None
    state: str | None
    operation: str | None
    deleted: str | None = None
    external_uri: str | None = None


class EdgeAnswer(_Answer):
    """Child and parent are ids of nodes."""

    child: str
    parent: str
    role: str
    weight: float | None


class LineageAnswer(_Answer):
    """Ancestors and descendants of ``root``, nearest first; ``truncated``: there are more."""

    root: str
    nodes: list[NodeAnswer]
    edges: list[EdgeAnswer]
    truncated: bool


class StrategyAnswer(_Answer):
    """The strategy of a version."""

    steps: list[StepAnswer]


class AliasAnswer(_Answer):
    """An alias and where it points."""

    name: str
    version: int
    reference: str
    updated_at: datetime


class AliasMoveAnswer(_Answer):
    """A move of an alias; ``after`` null: it was removed."""

    name: str
    before: int | None
    after: int | None
    moved_by: str
    moved_at: datetime


class MeasureAnswer(_Answer):
    """A metric's definition."""

    name: str
    unit: str
    direction: Literal["higher", "lower", "none"]
    title: str


class MeasuresAnswer(_Answer):
    """All metrics."""

    results: list[MeasureAnswer]
    next: None = None


def page_of(answer: type[BaseModel]) -> type[BaseModel]:
    """The schema of a list route's answer."""
    name = f"{answer.__name__.removesuffix('Answer')}Page"
    return create_model(name, __base__=_Answer, results=(list[answer], ...), next=(str | None, ...))  # type: ignore[valid-type]
