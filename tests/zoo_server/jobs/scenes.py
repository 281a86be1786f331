"""What most tests of jobs need: models and data sets to work on, and a worker that speaks the worker API."""

import json
import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_user, principal_for
from tests.zoo_server.jobs import manifests
from zoo_sdk.artifacts import ArtifactDescription, DatasetDescription
from zoo_sdk.operations import OperationManifest
from zoo_sdk.vocabulary import RepositoryKind, Scope, StrategyKind, Visibility
from zoo_server.accounts.models import Team, User
from zoo_server.artifacts.models import Blob
from zoo_server.catalog import services as catalog
from zoo_server.catalog.descriptions import StepDescription
from zoo_server.catalog.models import Version
from zoo_server.jobs.models import Job
from zoo_server.rest.principals import Principal

JOBS = "/api/v1/jobs"
WORKER = "/api/v1/worker"


def safetensors(value: float = 1.0, count: int = 2) -> bytes:
    """A well-formed safetensors file of ``count`` equal numbers."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + struct.pack(f"<{count}f", *[value] * count)


def digest_of(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


def make_blob(text: str, identified: str, findings: list[dict[str, str]] | None = None) -> Blob:
    data = text.encode()
    defaults = {"size": len(data), "format": identified, "findings": findings or []}
    return Blob.objects.get_or_create(sha256=digest_of(data), defaults=defaults)[0]


def owner_of(team: Team) -> Principal:
    """Somebody who may do everything in the catalogue, with a user behind it."""
    user = User.objects.filter(username=f"owner-of-{team.name}").first() or make_user(f"owner-of-{team.name}")
    return Principal(name=user.username, user_id=user.pk, scopes=frozenset(Scope), is_superuser=True)


def make_model(
    team: Team,
    name: str,
    *formats: str,
    visibility: Visibility = Visibility.INTERNAL,
    findings: list[dict[str, str]] | None = None,
    sealed: bool = True,
) -> Version:
    """A new version of ``team/name`` with one artifact for each format (default: safetensors) and one training step."""
    owner = owner_of(team)
    repository = team.repositories.filter(name=name, kind="model").first() or catalog.create_repository(
        principal=owner, team=team, kind=RepositoryKind.MODEL, name=name, visibility=visibility, licence="MIT"
    )
    version = catalog.create_version(principal=owner, repository=repository)
    for format_name in formats or ("safetensors",):
        path = f"weights/model.{format_name}"
        blob = make_blob(f"{version} {format_name}", format_name, findings)
        catalog.add_file(principal=owner, version=version, path=path, blob=blob)
        description = ArtifactDescription(name=format_name, format=format_name, files=(path,))
        catalog.add_artifact(principal=owner, version=version, description=description)
    step = StepDescription(kind=StrategyKind.PRETRAINING, method="supervised", parameters={"epochs": 90})
    catalog.set_strategy(principal=owner, version=version, steps=[step])
    return catalog.seal_version(principal=owner, version=version) if sealed else version


def make_dataset(team: Team, name: str = "pictures", visibility: Visibility = Visibility.INTERNAL) -> Version:
    """A sealed version of a data set of two IDX files."""
    owner = owner_of(team)
    repository = catalog.create_repository(
        principal=owner, team=team, kind=RepositoryKind.DATASET, name=name, visibility=visibility
    )
    description = DatasetDescription(
        format="idx", classes=("cat", "dog"), splits={"train": {"images": "images", "labels": "labels"}}
    )
    version = catalog.create_version(principal=owner, repository=repository, dataset=description)
    for path in ("images", "labels"):
        blob = make_blob(f"{team} {name} {path}", "idx")
        catalog.add_file(principal=owner, version=version, path=path, blob=blob)
    return catalog.seal_version(principal=owner, version=version)


@dataclass
class Hands:
    """A worker as it speaks to the registry."""

    client: APIClient
    user: User
    name: str

    @property
    def principal(self) -> Principal:
        return principal_for(self.user, [Scope.WORKER])

    def register(self, *operations: OperationManifest, **changes: Any) -> Any:
        body = {
            "name": self.name,
            "queues": ["toy.cpu"],
            "operations": [item.model_dump(mode="json") for item in operations or manifests.ALL],
        }
        return self.client.post(f"{WORKER}/register", body | changes, format="json")

    def claim(self, job: UUID | str, **changes: Any) -> Any:
        return self.client.post(f"{WORKER}/jobs/{job}/claim", {"worker": self.name} | changes, format="json")

    def post(self, job: UUID | str, attempt: int, action: str, body: Any = None) -> Any:
        return self.client.post(f"{WORKER}/jobs/{job}/attempts/{attempt}/{action}", body, format="json")

    def upload(self, job: UUID | str, attempt: int, data: bytes, filename: str = "model.safetensors") -> str:
        """Bring bytes up as an output of the attempt; answers their digest."""
        opened = self.post(job, attempt, "uploads", {"size": len(data), "filename": filename})
        assert opened.status_code == 201, opened.content
        route = f"/api/v1/uploads/{opened.json()['id']}"
        sent = self.client.generic(
            "PATCH",
            route,
            data,  # type: ignore[arg-type]  # the stubs say text
            content_type="application/offset+octet-stream",
            headers={"Upload-Offset": "0"},
        )
        assert sent.status_code == 204, sent.content
        done = self.client.post(f"{route}/complete", {"sha256": digest_of(data)}, format="json")
        assert done.status_code == 200, done.content
        return digest_of(data)


def make_hands(name: str = "box-1", user: User | None = None) -> Hands:
    """A worker that has not registered yet."""
    user = user or make_user(f"service-{name}", is_service=True)
    return Hands(client_for(user, [Scope.WORKER]), user, name)


def model_report(*digests: str, sizes: int = 0, **changes: Any) -> dict[str, Any]:
    """A finish report with one safetensors artifact on the port ``model``."""
    files = [
        {"path": f"model{index or ''}.safetensors", "sha256": digest, "size": sizes}
        for index, digest in enumerate(digests)
    ]
    artifact = {"name": "model", "format": "safetensors", "files": [file["path"] for file in files]}
    report = {
        "outputs": {"model": {"artifacts": [artifact], "files": files}},
        "measurements": [{"name": "top1", "value": 91.5, "dataset_port": "data", "split": "test", "runtime": "torch"}],
        "environment": {"python": "3.11"},
    }
    return report | changes


def failure(cause: str = "plugin_error", **changes: Any) -> dict[str, Any]:
    """A failure report."""
    return {"cause": cause, "code": "broken", "message": "It broke.", "environment": {"python": "3.11"}} | changes


def job_now(job: UUID | str) -> Job:
    return Job.objects.select_related("operation", "owner").get(pk=job)
