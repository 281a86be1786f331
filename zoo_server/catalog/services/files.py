"""Putting files into a draft, and saying what they are."""

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.errors import Conflict, InvalidInput, NotFound
from zoo_sdk.formats import find_format
from zoo_sdk.names import checked_path
from zoo_sdk.vocabulary import RepositoryKind
from zoo_server.artifacts.collection import use_blob
from zoo_server.artifacts.models import Blob, Upload
from zoo_server.artifacts.selectors import held_blob, upload_for
from zoo_server.audit.services import record_event
from zoo_server.catalog.addresses import checked_address
from zoo_server.catalog.facts import completed
from zoo_server.catalog.fitting import check_fits
from zoo_server.catalog.models import Artifact, Version, VersionFile
from zoo_server.catalog.services.authorisation import locked_draft, require_for_draft
from zoo_server.rest.principals import Principal

MAX_FILES = 100_000
"""Files of one version (ImageNet's validation pictures are 50,000)."""
MAX_ARTIFACTS = 1000


@dataclass(frozen=True)
class RemoteDeclaration:
    """What is said of bytes that are elsewhere: the format's usual name there; digest and size where they are known."""

    label: str
    sha256: str | None = None
    size: int | None = None


def add_file(*, principal: Principal, version: Version, path: str, blob: Blob) -> VersionFile:
    """Put a blob into a draft under a safe relative path.

    The caller has made sure that the team may use the blob (see :func:`add_uploaded_file`, :func:`add_held_file`).

    Raises:
        InvalidInput: the path is not safe, or is a folder of another file's path (or the other way round).
        Conflict: the path is taken, or the version is sealed.

    """
    checked_path(path)
    with transaction.atomic():
        draft = locked_draft(principal=principal, version=version)
        _check_room(draft, path)
        use_blob(blob.pk)
        file = VersionFile.objects.create(version=draft, path=path, blob=blob)
        _record(principal, "file.added", draft, {"path": path, "sha256": blob.pk, "size": blob.size})
    return file


def add_uploaded_file(*, principal: Principal, version: Version, path: str, upload_id: UUID) -> VersionFile:
    """Put the bytes of a completed upload of the version's team into a draft."""
    require_for_draft(principal=principal, version=version)
    team = version.repository.team
    upload = upload_for(principal=principal, upload_id=upload_id)
    if upload.team_id != team.pk:
        raise NotFound(f"The team {team.name!r} has no upload {upload_id}.", facts={"field": "upload"})
    if upload.state != Upload.State.COMPLETE or upload.blob is None:
        raise Conflict(
            f"The upload {upload_id} is {upload.state}.",
            hint="Send the rest of its bytes and complete it first.",
            facts={"state": upload.state},
        )
    return add_file(principal=principal, version=version, path=path, blob=upload.blob)


def add_held_file(*, principal: Principal, version: Version, path: str, sha256: str) -> VersionFile:
    """Put bytes that the version's team has proved to possess into a draft.  Knowing a digest is not possession."""
    require_for_draft(principal=principal, version=version)
    blob = held_blob(team=version.repository.team, sha256=sha256)
    return add_file(principal=principal, version=version, path=path, blob=blob)


def add_remote_file(
    *, principal: Principal, version: Version, path: str, address: str, declared: RemoteDeclaration
) -> VersionFile:
    """Put a reference into a draft: the bytes stay at ``address`` until somebody has them mirrored.

    Raises:
        InvalidInput: the path is not safe, or the address is none that could ever be fetched.
        Conflict: the path is taken, or the version is sealed.

    """
    checked_path(path)
    checked_address(address)
    with transaction.atomic():
        draft = locked_draft(principal=principal, version=version)
        _check_room(draft, path)
        file = VersionFile.objects.create(
            version=draft,
            path=path,
            address=address,
            label=declared.label,
            declared_sha256=declared.sha256 or "",
            declared_size=declared.size,
        )
        _record(principal, "file.referenced", draft, {"path": path, "address": address})
    return file


def remove_file(*, principal: Principal, version: Version, path: str) -> None:
    """Take a file out of a draft, and with it the artifact that it is part of."""
    with transaction.atomic():
        draft = locked_draft(principal=principal, version=version)
        file = draft.files.filter(path=path).first()
        if file is None:
            raise NotFound(f"{draft} has no file {path[:120]!r}.")
        if file.artifact_id:
            draft.files.filter(artifact=file.artifact_id).update(artifact=None, position=0)
            draft.artifacts.filter(pk=file.artifact_id).delete()
        file.delete()
        _record(principal, "file.removed", draft, {"path": path})


def add_artifact(*, principal: Principal, version: Version, description: ArtifactDescription) -> Artifact:
    """Say what some files of a draft are.

    The runtime defaults to the format's; signature and precision to what the main file says of itself, if it is here.

    Raises:
        InvalidInput: a file is missing, or its bytes are not of the declared format.
        Conflict: a file is part of another artifact already, or the version is sealed.

    """
    with transaction.atomic():
        draft = locked_draft(principal=principal, version=version)
        files = _files_of(draft, description)
        check_fits(description, [file.blob for file in files])  # a remote file is checked when it is mirrored
        position = draft.artifacts.count()
        if position >= MAX_ARTIFACTS:
            raise InvalidInput(f"{draft} has {position} artifacts, which is the most.")
        if files[0].blob is not None:
            description = completed(description, files[0].blob.facts)
        fields = description.model_dump(mode="json", exclude={"files"})
        fields["runtime"] = description.runtime or find_format(description.format).runtime
        artifact = Artifact.objects.create(version=draft, position=position, **fields)
        for index, file in enumerate(files):
            file.artifact, file.position = artifact, index
        VersionFile.objects.bulk_update(files, ["artifact", "position"], batch_size=1000)
        _record(principal, "artifact.added", draft, {"name": artifact.name, "format": artifact.format})
    return artifact


def _check_room(draft: Version, path: str) -> None:
    """No file may lie where another needs a folder: the version could not be written to a disk."""
    if draft.files.filter(path=path).exists():
        raise Conflict(f"{draft} already has a file {path!r}.", hint="Delete it first.", facts={"field": "path"})
    segments = path.split("/")
    folders = ["/".join(segments[:count]) for count in range(1, len(segments))]
    other = draft.files.filter(path__in=folders).first() or draft.files.filter(path__startswith=f"{path}/").first()
    if other is not None:
        raise InvalidInput(
            f"{path!r} and {other.path!r} cannot both be files: one is a folder of the other.", facts={"field": "path"}
        )
    if draft.files.count() >= MAX_FILES:
        raise InvalidInput(f"{draft} has {MAX_FILES} files, which is the most.", hint="Pack them into archives.")


def _files_of(draft: Version, description: ArtifactDescription) -> list[VersionFile]:
    if draft.repository.kind == RepositoryKind.DATASET and description.preprocessing is not None:
        raise InvalidInput("A data set's files have no preprocessing.", facts={"field": "preprocessing"})
    if len(set(description.files)) != len(description.files):
        raise InvalidInput("A file is named twice.", facts={"field": "files"})
    found = {file.path: file for file in draft.files.select_related("blob").filter(path__in=description.files)}
    missing = [path for path in description.files if path not in found]
    if missing:
        raise InvalidInput(
            f"{draft} has no file {missing[0]!r}.",
            hint="Add the files first: POST .../files.",
            facts={"field": "files", "missing": missing[:10]},
        )
    files = [found[path] for path in description.files]
    taken = next((file for file in files if file.artifact_id), None)
    if taken:
        raise Conflict(f"{taken.path!r} is part of another artifact of {draft}.", facts={"field": "files"})
    return files


def _record(principal: Principal, action: str, draft: Version, details: dict[str, object]) -> None:
    record_event(actor=principal, action=action, subject=draft, team=draft.repository.team.name, details=details)
