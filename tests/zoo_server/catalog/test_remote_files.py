"""Versions whose files are elsewhere: what is sealed, what is refused, and what everybody is told."""

import pytest
from django.db import InternalError, connection, transaction
from django.db.utils import IntegrityError
from rest_framework.test import APIClient

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.errors import Conflict, InvalidInput
from zoo_sdk.vocabulary import RepositoryKind
from zoo_server.accounts.models import Team
from zoo_server.catalog import services
from zoo_server.catalog.manifest import manifest_digest, manifest_of
from zoo_server.catalog.models import Repository, Version, VersionFile
from zoo_server.catalog.services.files import RemoteDeclaration
from zoo_server.rest.principals import SYSTEM

from .conftest import make_blob

ADDRESS = "https://example.org/models/net.h5"
ROUTE = "/api/v1/models/vision/resnet50/versions/1"


def make_remote(model: Repository, declared: RemoteDeclaration | None = None) -> Version:
    draft = services.create_version(principal=SYSTEM, repository=model)
    services.add_remote_file(
        principal=SYSTEM,
        version=draft,
        path="net.h5",
        address=ADDRESS,
        declared=declared or RemoteDeclaration("h5"),
    )
    description = ArtifactDescription(format="keras-h5", files=("net.h5",))
    services.add_artifact(principal=SYSTEM, version=draft, description=description)
    return services.seal_version(principal=SYSTEM, version=draft)


def test_a_version_of_remote_files_says_so_and_where_they_are(model: Repository, api: APIClient) -> None:
    make_remote(model)
    found = api.get(ROUTE).json()
    assert (found["mirrored"], found["size"], found["state"]) == (False, 0, "candidate")
    assert found["files"] == [
        {
            "path": "net.h5",
            "sha256": None,
            "size": None,
            "format": None,
            "facts": None,
            "findings": [],
            "mirrored": False,
            "address": ADDRESS,
            "label": "h5",
            "mirror": None,
        }
    ]
    assert found["artifacts"][0]["mirrored"] is False


def test_fetching_a_remote_file_answers_where_it_is_and_how_to_mirror_it(model: Repository, api: APIClient) -> None:
    make_remote(model)
    answer = api.get(f"{ROUTE}/files/net.h5")
    assert (answer.status_code, answer.json()["code"]) == (409, "not-mirrored")
    assert answer.json()["facts"]["address"] == ADDRESS
    assert "zoo catalog fetch" in answer.json()["hint"]


def test_a_version_that_is_not_mirrored_cannot_be_approved(model: Repository) -> None:
    with pytest.raises(Conflict) as refused:
        services.approve_version(principal=SYSTEM, version=make_remote(model))
    assert refused.value.code == "not-mirrored"


def test_the_bytes_of_a_sealed_remote_file_are_set_once_and_leave_the_digest_as_it_is(model: Repository) -> None:
    version = make_remote(model)
    files = VersionFile.objects.filter(version=version)
    files.update(blob=make_blob(b"bytes", identified="keras-h5"))
    assert manifest_digest(manifest_of(version)) == version.digest
    with pytest.raises((IntegrityError, InternalError)), transaction.atomic():
        files.update(blob=make_blob(b"other bytes"))


@pytest.mark.parametrize("change", ["path = 'other.h5'", "address = 'https://example.org/other'", "label = 'onnx'"])
def test_nothing_else_of_a_sealed_remote_file_changes_with_its_bytes(model: Repository, change: str) -> None:
    make_remote(model)
    blob = make_blob(b"bytes")
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE catalog_versionfile SET blob_id = %s, {change}", [blob.pk])


def test_bytes_other_than_the_declared_ones_are_refused_by_the_database(model: Repository) -> None:
    version = make_remote(model, RemoteDeclaration("h5", sha256=f"sha256:{'0' * 64}"))
    with pytest.raises(IntegrityError), transaction.atomic():
        VersionFile.objects.filter(version=version).update(blob=make_blob(b"bytes"))


def test_a_file_without_bytes_needs_an_address(model: Repository) -> None:
    draft = services.create_version(principal=SYSTEM, repository=model)
    with pytest.raises(IntegrityError), transaction.atomic():
        VersionFile.objects.create(version=draft, path="nowhere")


@pytest.mark.parametrize(
    "address",
    [
        "ftp://example.org/net.h5",
        "https://user:secret@example.org/net.h5",
        "file:///etc/passwd",
        "https:///net.h5",
        "https://example.org/net.h5#part",
        "https://example.org:99999/net.h5",
        "https://example.org/a b",
    ],
)
def test_what_is_no_address_of_a_file_is_refused(model: Repository, address: str) -> None:
    draft = services.create_version(principal=SYSTEM, repository=model)
    with pytest.raises(InvalidInput, match="not the address"):
        services.add_remote_file(
            principal=SYSTEM, version=draft, path="net.h5", address=address, declared=RemoteDeclaration("h5")
        )


def test_the_digest_of_a_version_covers_the_addresses(team: Team) -> None:
    digests = set()
    for address in (ADDRESS, "https://example.org/models/other.h5"):
        with transaction.atomic():
            model = services.create_repository(principal=SYSTEM, team=team, kind=RepositoryKind.MODEL, name="same")
            draft = services.create_version(principal=SYSTEM, repository=model)
            services.add_remote_file(
                principal=SYSTEM, version=draft, path="net.h5", address=address, declared=RemoteDeclaration("h5")
            )
            digests.add(services.seal_version(principal=SYSTEM, version=draft).digest)
            transaction.set_rollback(True)
    assert len(digests) == 2
