"""What the routes of catalogues take and answer."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from rest_framework import serializers

from zoo_sdk.names import Name
from zoo_server.catalog.models import Mirror
from zoo_server.catalog.selectors.remote_files import AWAY
from zoo_server.rest.serializers import PageQuery


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CatalogueImport(_Body):
    """Which catalogue into which team: one that the server knows by ``name``, or the YAML text of any.

    ``file`` is the name that errors show.  ``prefix`` comes before the names of new models.
    """

    team: Name
    name: Name | None = None
    catalogue: str | None = None
    file: str = Field("catalogue.yaml", max_length=200)
    prefix: str = Field("", pattern=r"^(?:[a-z0-9][a-z0-9._-]{0,30})?$")

    @model_validator(mode="after")
    def _one_source(self) -> "CatalogueImport":
        if (self.name is None) == (self.catalogue is None):
            raise ValueError("give either the name of a catalogue or its text as `catalogue`")
        return self


class KnownCatalogue(_Body):
    """A catalogue that the server has."""

    name: str
    title: str
    summary: str
    models: int
    versions: int


class KnownCatalogues(_Body):
    """All of them."""

    results: list[KnownCatalogue]
    next: None = None


class ImportedRowBody(_Body):
    """What became of a row, and the version that stands for it now."""

    key: str
    outcome: Literal["created", "changed", "unchanged"]
    reference: str


class ImportReport(_Body):
    """What an import did."""

    catalogue: str
    team: str
    created: int
    changed: int
    unchanged: int
    rows: list[ImportedRowBody]


class FetchRequest(_Body):
    """Which remote files are to be mirrored: of these models or versions, else of everything imported by the team.

    ``catalogue`` narrows the latter to one catalogue.
    """

    team: Name
    models: list[str] = Field(default_factory=list, max_length=1000)
    catalogue: Name | None = None


class RemoteFileError(_Body):
    """What went wrong at the last try."""

    code: str
    message: str


class RemoteFileBody(_Body):
    """A remote file: where it is and how far its fetching is; ``state`` is null when nobody asked for it."""

    reference: str
    path: str
    address: str
    mirrored: bool
    state: Literal["queued", "fetching", "done", "failed"] | None
    done: int
    total: int | None
    sha256: str | None
    error: RemoteFileError | None


class FetchReport(_Body):
    """How many files are fetched from now on, and how many were here already."""

    queued: int
    mirrored: int


class RemoteFileQuery(PageQuery):
    """Filters of a list of remote files."""

    team = serializers.CharField(required=False)
    model = serializers.CharField(required=False, help_text="The name of a model, without its team.")
    state = serializers.ChoiceField(
        [*Mirror.State.values, AWAY], required=False, help_text="`away`: nobody has asked for it."
    )
