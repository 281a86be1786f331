"""The shape of a catalogue, version 1; docs/catalogues.md explains every key.  Unknown keys are errors everywhere."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.formats import find_format
from zoo_sdk.measures import find_measure
from zoo_sdk.names import Digest, Name, checked_path
from zoo_sdk.vocabulary import LineageRole, Precision, StrategyKind
from zoo_server.catalog.addresses import checked_address
from zoo_server.catalog.descriptions import MAX_STEPS, UNSTORABLE, Tag

MAX_MODELS = 1000
MAX_ROWS = 1000
"""Versions of one catalogue: an import is one transaction."""
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._+-]{0,94}[A-Za-z0-9])?$")]
RowKey = Annotated[str, StringConstraints(pattern=r"^[^/\s]{1,96}/[^/\s]{1,96}$")]
Line = Annotated[str, StringConstraints(max_length=300, strip_whitespace=True, min_length=1)]
Prose = Annotated[str, StringConstraints(max_length=8000, strip_whitespace=True)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        if isinstance(value, str) and UNSTORABLE.search(value):
            raise ValueError("holds a NUL or half a character")
        return value


class Source(_Part):
    """Where something was read; ``uri`` where there is one."""

    title: Line
    uri: Annotated[str, StringConstraints(max_length=500)] | None = None


class External(_Part):
    """A model or data set that the catalogue refers to without describing it: it becomes an external reference."""

    title: Line
    uri: Annotated[str, StringConstraints(max_length=500, min_length=1)]
    notes: Prose = ""


class RemoteFile(_Part):
    """One file: where it is, and what its zoo calls the format.  ``path``: its name here (default: as there)."""

    address: str
    label: Annotated[str, StringConstraints(max_length=40)] = ""
    path: str | None = None
    sha256: Digest | None = None
    size: int | None = Field(None, ge=0)

    @field_validator("address")
    @classmethod
    def _an_address(cls, value: str) -> str:
        try:
            checked_address(value)
        except Exception as error:
            raise ValueError(str(error)) from error
        return value

    @property
    def local_path(self) -> str:
        """The path in the version."""
        return checked_path(self.path or self.address.partition("?")[0].rsplit("/", 1)[-1])


class Artifact(_Part):
    """Files that are one artifact, main file first."""

    name: Annotated[str, StringConstraints(max_length=100, min_length=1)] = "model"
    format: str
    files: tuple[RemoteFile, ...] = Field(min_length=1, max_length=100)
    precision: Precision | None = None
    preprocessing: Preprocessing | None = None
    details: dict[str, Any] = Field(default_factory=dict)

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        try:
            return find_format(value).name
        except Exception as error:
            raise ValueError(str(error)) from error


class Step(_Part):
    """One step of how the version was made."""

    kind: StrategyKind
    method: Annotated[str, StringConstraints(max_length=100, min_length=1)]
    parameters: dict[str, Any] = Field(default_factory=dict)


class Figure(_Part):
    """A reported number: ``source`` is a key of ``sources``, ``dataset`` one of ``datasets``.

    ``artifact`` is the name of one of the row's artifacts.
    """

    name: str
    value: float
    source: Key
    dataset: Key | None = None
    split: Annotated[str, StringConstraints(max_length=60)] = ""
    artifact: str | None = None
    runtime: Annotated[str, StringConstraints(max_length=40)] = ""
    device: Annotated[str, StringConstraints(max_length=100)] = ""
    notes: Prose = ""

    @field_validator("name")
    @classmethod
    def _known_measure(cls, value: str) -> str:
        try:
            return find_measure(value).name
        except Exception as error:
            raise ValueError(str(error)) from error


class Parent(_Part):
    """An edge to a ``row`` of the catalogue (``model/key``), to an ``external`` model or to a ``dataset``."""

    role: LineageRole
    row: RowKey | None = None
    external: Key | None = None
    dataset: Key | None = None
    weight: float | None = Field(None, gt=0)


class Row(_Part):
    """One version.  Without ``artifacts`` only its figures are known.

    ``uncertain``: what the source leaves open or contradicts, one sentence each; shown wherever the version is.
    """

    key: Key
    title: Line | None = None
    introduction: Prose = ""
    strategy: tuple[Step, ...] = Field(default=(), max_length=MAX_STEPS)
    artifacts: tuple[Artifact, ...] = Field(default=(), max_length=20)
    metrics: tuple[Figure, ...] = Field(default=(), max_length=100)
    parents: tuple[Parent, ...] = Field(default=(), max_length=50)
    uncertain: tuple[Prose, ...] = Field(default=(), max_length=20)


class Model(_Part):
    """A model and its versions, oldest first."""

    name: Name
    title: Annotated[str, StringConstraints(max_length=200)] = ""
    task: Annotated[str, StringConstraints(max_length=60)] = ""
    architecture: Annotated[str, StringConstraints(max_length=100)] = ""
    licence: Annotated[str, StringConstraints(max_length=100)] = ""
    tags: tuple[Tag, ...] = Field(default=(), max_length=50)
    notes: Prose = ""
    versions: tuple[Row, ...] = Field(min_length=1, max_length=200)


class Catalogue(_Part):
    """A whole catalogue."""

    catalogue: Literal[1]
    name: Name
    title: Line
    summary: Prose = ""
    sources: dict[Key, Source] = Field(default_factory=dict)
    datasets: dict[Key, External] = Field(default_factory=dict)
    external: dict[Key, External] = Field(default_factory=dict)
    models: tuple[Model, ...] = Field(min_length=1, max_length=MAX_MODELS)

    def rows(self) -> Iterator[tuple[Model, Row]]:
        """Every row with its model, in the order of the text."""
        for model in self.models:
            for row in model.versions:
                yield model, row
