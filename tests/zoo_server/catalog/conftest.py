"""Rows and shortcuts for the tests of the catalogue."""

from collections.abc import Callable
from hashlib import sha256
from itertools import count

import pytest

from zoo_sdk.vocabulary import RepositoryKind, Visibility
from zoo_server.accounts.models import Team
from zoo_server.artifacts.models import Blob, Holding
from zoo_server.catalog import services
from zoo_server.catalog.models import Repository, Version
from zoo_server.rest.principals import SYSTEM, Principal

_NUMBERS = count(1)
MakeModel = Callable[..., Repository]
MakeVersion = Callable[..., Version]
IDX = {"format": "idx", "classes": ("a", "b"), "splits": {"train": {"images": "images", "labels": "labels"}}}


def make_blob(
    content: bytes | None = None, *, identified: str = "safetensors", findings: list[dict[str, str]] | None = None
) -> Blob:
    """A blob's row; its bytes are in no store."""
    content = content if content is not None else f"content {next(_NUMBERS)}".encode()
    digest = f"sha256:{sha256(content).hexdigest()}"
    defaults = {"size": len(content), "format": identified, "findings": findings or []}
    return Blob.objects.get_or_create(sha256=digest, defaults=defaults)[0]


def hold(team: Team, blob: Blob) -> Blob:
    """Let the team possess the blob."""
    Holding.objects.get_or_create(team=team, blob=blob)
    return blob


def make_repository(
    team: Team,
    name: str | None = None,
    *,
    kind: RepositoryKind = RepositoryKind.MODEL,
    principal: Principal = SYSTEM,
    **fields: object,
) -> Repository:
    return services.create_repository(
        principal=principal, team=team, kind=kind, name=name or f"model-{next(_NUMBERS)}", **fields
    )


def make_draft(repository: Repository, *paths: str, principal: Principal = SYSTEM) -> Version:
    """A draft with one file for each path (default: one safetensors file)."""
    version = services.create_version(principal=principal, repository=repository)
    for path in paths or ("model.safetensors",):
        services.add_file(principal=principal, version=version, path=path, blob=make_blob())
    return version


def make_sealed(repository: Repository, *paths: str, principal: Principal = SYSTEM) -> Version:
    return services.seal_version(principal=principal, version=make_draft(repository, *paths, principal=principal))


@pytest.fixture
def model(team: Team) -> Repository:
    """An internal model of ``team``."""
    return make_repository(team, "resnet50")


@pytest.fixture
def private_model(team: Team) -> Repository:
    return make_repository(team, "secret", visibility=Visibility.PRIVATE)


@pytest.fixture
def dataset(team: Team) -> Repository:
    return make_repository(team, "pictures", kind=RepositoryKind.DATASET)


@pytest.fixture
def draft(model: Repository) -> Version:
    """A draft of ``model`` with one file."""
    return make_draft(model)


@pytest.fixture
def sealed(model: Repository) -> Version:
    """A candidate of ``model`` with one file."""
    return make_sealed(model)
