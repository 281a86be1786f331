"""Publishes files as a new version: uploads, draft, artifacts, lineage, metrics, seal."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zoo_client.describing import LocalFile
from zoo_client.records import Kind, Version
from zoo_client.transfer.digests import Progress, ignore_progress
from zoo_client.transfer.uploads import upload_file
from zoo_sdk.artifacts import ArtifactDescription, DatasetDescription
from zoo_sdk.errors import ZooError
from zoo_sdk.names import Reference

if TYPE_CHECKING:
    from zoo_client.client import Client

UPLOADS_AT_ONCE = 4


@dataclass(frozen=True)
class Draft:
    """What a new version shall be.

    ``parents`` are bodies of the lineage route (``{"role", "parent" or "external_uri", "weight"?}``), ``metrics`` those
    of the metrics route, ``strategy`` steps ``{"kind", "method", "parameters"}``.
    """

    files: Sequence[LocalFile]
    artifacts: Sequence[ArtifactDescription] = ()
    dataset: DatasetDescription | None = None
    notes: str = ""
    parents: Sequence[Mapping[str, Any]] = ()
    strategy: Sequence[Mapping[str, Any]] = ()
    metrics: Sequence[Mapping[str, Any]] = ()
    seal: bool = False
    repository: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the repository, should it have to be made."""


def publish(
    client: "Client",
    kind: Kind,
    name: str,
    draft: Draft,
    *,
    progress: Progress = ignore_progress,
) -> Version:
    """Bring the bytes, then make the version ``team/name@next``; a draft that cannot be completed is removed again.

    Raises:
        ZooError: the registry's refusal, or the transfer's failure; then no new version exists.

    """
    repositories = client.repositories(kind)
    team = Reference.parse(name).team
    repositories.ensure(name, **draft.repository)
    uploader = client.uploader(team)

    def bring(file: LocalFile) -> str:
        return upload_file(uploader, file.source, name=file.path, progress=progress)["id"]

    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        uploads = list(pool.map(bring, draft.files))
    version = repositories.versions.create(name, notes=draft.notes, dataset=draft.dataset)
    try:
        return _complete(client, kind, version["reference"], draft, uploads)
    except BaseException:
        with suppress(ZooError):  # the first error is the one to tell
            repositories.versions.delete(version["reference"])
        raise


def _complete(client: "Client", kind: Kind, ref: str, draft: Draft, uploads: Sequence[str]) -> Version:
    versions = client.repositories(kind).versions
    for file, upload in zip(draft.files, uploads, strict=True):
        versions.add_file(ref, file.path, upload=upload)
    for artifact in draft.artifacts:
        versions.add_artifact(ref, artifact)
    for parent in draft.parents:
        versions.add_parent(ref, **parent)
    if draft.strategy:
        versions.add_strategy(ref, draft.strategy)
    for metric in draft.metrics:
        versions.report_metric(ref, **metric)
    return versions.seal(ref) if draft.seal else versions.show(ref)
