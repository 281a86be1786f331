"""What the routes of the catalogue take: bodies as pydantic models, query strings as serializers."""

import math
from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from rest_framework import serializers

from zoo_sdk.artifacts import DatasetDescription
from zoo_sdk.errors import InvalidInput
from zoo_sdk.names import Digest, Name
from zoo_sdk.vocabulary import LineageRole, StrategyKind, VersionState, Visibility
from zoo_server.catalog.descriptions import MAX_STEPS, UNSTORABLE, RepositoryDescription
from zoo_server.catalog.selectors.lineage import DEFAULT_DEPTH, MAX_DEPTH
from zoo_server.rest.choices import choices_of
from zoo_server.rest.pagination import DEFAULT_LIMIT, MAX_LIMIT
from zoo_server.rest.serializers import PageQuery, StrictSerializer

BodyT = TypeVar("BodyT", bound=BaseModel)
MAX_NESTING = 50


def parsed(model: type[BodyT], data: Any) -> BodyT:
    """The body as ``model``.

    What PostgreSQL cannot hold is refused wherever it stands: NUL and lone surrogates in text, and numbers beyond the
    range of a double (``1e999``, which Python reads as infinity).
    """
    _check_storable(data, 0)
    return model.model_validate(data)


def _check_storable(value: Any, depth: int) -> None:
    if depth > MAX_NESTING:
        raise InvalidInput(f"The body is nested deeper than {MAX_NESTING} levels.")
    if isinstance(value, str):
        if UNSTORABLE.search(value):
            raise InvalidInput(f"The text {value[:80]!r} holds a NUL or half a character.")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInput("The body holds a number that is beyond the range of a double.")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _check_storable(key, depth + 1)
            _check_storable(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check_storable(inner, depth + 1)


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RepositoryCreation(RepositoryDescription):
    """A new repository of ``team``."""

    team: Name
    name: Name


class RepositoryChange(RepositoryDescription):
    """The fields of a repository that change.  (drf-spectacular marks the class of a PATCH body, so it has its own.)"""


class VersionDescription(_Body):
    """What is said about a draft as a whole; ``dataset``: data sets only."""

    notes: str = ""
    dataset: DatasetDescription | None = None


class VersionChange(VersionDescription):
    """What changes in a draft."""


class FileAddition(_Body):
    """A file: the bytes of a completed ``upload``, or bytes with this ``sha256`` that the team holds already."""

    path: str
    upload: UUID | None = None
    sha256: Digest | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "FileAddition":
        if (self.upload is None) == (self.sha256 is None):
            raise ValueError("name either upload or sha256")
        return self


class ParentAddition(_Body):
    """A parent: ``team/name@3`` (or an alias, which is resolved now), or the URI of one that is not held here."""

    role: LineageRole
    parent: str | None = Field(None, max_length=300)
    external_uri: str | None = Field(None, max_length=500)
    weight: float | None = None


class ReportedStep(_Body):
    """One step of a strategy that somebody reports."""

    kind: StrategyKind
    method: str = Field(min_length=1, max_length=100)
    parameters: dict[str, Any] = Field(default_factory=dict)


class StrategyReport(_Body):
    """The whole strategy of a draft, first step first; replaces what was there."""

    steps: list[ReportedStep] = Field(max_length=MAX_STEPS)


class MetricReport(_Body):
    """A number that somebody reports.

    ``dataset``: ``team/name@1`` of one that is held here, or any other as text.  ``artifact``: the path of one of its
    files.
    """

    name: str
    value: float
    dataset: str = Field("", max_length=300)
    split: str = Field("", max_length=60)
    artifact: str | None = None
    runtime: str = Field("", max_length=40)
    device: str = Field("", max_length=100)
    details: dict[str, Any] = Field(default_factory=dict)


class StateComment(_Body):
    """Why the state changes."""

    comment: str = ""


class Reason(_Body):
    """Why it is deleted, or kept."""

    reason: str = ""


class AliasTarget(_Body):
    """The number of the version that an alias shall point to."""

    version: int = Field(ge=1, le=2**31 - 1)


class RepositoryQuery(PageQuery):
    """Filters and order of a list of repositories."""

    team = serializers.CharField(required=False)
    task = serializers.CharField(required=False)
    tag = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Repeatable: all must be there."
    )
    licence = serializers.CharField(required=False)
    architecture = serializers.CharField(required=False)
    search = serializers.CharField(
        required=False, max_length=200, help_text="Beginnings of words in name, title, tags, architecture, task, card."
    )
    visibility = serializers.ChoiceField(choices_of(Visibility), required=False)
    state = serializers.ChoiceField(choices_of(VersionState), required=False)
    alias = serializers.CharField(required=False)
    format = serializers.CharField(required=False)
    deleted = serializers.BooleanField(required=False, help_text="The deleted ones instead of the others.")
    sort = serializers.CharField(
        required=False,
        help_text="-created_at (default), created_at, name, -name, metric:NAME, -metric:NAME, relevance (with search).",
    )


class VersionQuery(PageQuery):
    """Filters of a list of versions."""

    state = serializers.ChoiceField(choices_of(VersionState), required=False)
    deleted = serializers.BooleanField(required=False, help_text="The deleted ones instead of the others.")


class MetricQuery(PageQuery):
    """Filters of a list of metrics."""

    name = serializers.CharField(required=False)


class FactTableQuery(StrictSerializer):
    """A page of a table; the cursor is the number of its first row."""

    limit = serializers.IntegerField(
        min_value=1, max_value=MAX_LIMIT, default=DEFAULT_LIMIT, help_text="Rows of a page."
    )
    cursor = serializers.IntegerField(
        min_value=0, max_value=10**6, default=None, allow_null=True, help_text="The `next` of the former page."
    )


class HolderQuery(PageQuery):
    """Which bytes are looked for."""

    sha256 = serializers.RegexField(r"^sha256:[0-9a-f]{64}\Z", help_text="`sha256:` and 64 hexadecimal digits.")


class LineageQuery(StrictSerializer):
    """How far the family is followed."""

    depth = serializers.IntegerField(min_value=1, max_value=MAX_DEPTH, default=DEFAULT_DEPTH)
