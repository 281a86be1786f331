"""Fetches a version's files into a folder, with a manifest by which the folder can be verified without the registry."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from zoo_client.errors import Gone, NotMirrored
from zoo_client.folders import MANIFEST_NAME, check_names, destination_below
from zoo_client.records import FileRecord, Version
from zoo_client.transfer.digests import Progress, digest_of_file, ignore_progress
from zoo_client.transfer.downloads import CONNECTIONS, SEGMENT_BYTES, RemoteFile, download_file
from zoo_client.transfer.wire import Wire
from zoo_sdk.artifacts import FileEntry
from zoo_sdk.errors import IntegrityError, InvalidInput, NotFound
from zoo_sdk.names import Reference

MAX_MANIFEST_BYTES = 64 * 1024 * 1024
FILES_AT_ONCE = 4


class PullManifest(BaseModel):
    """``zoo-manifest.json``: what was pulled, from where, and the digest of each file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: int = 1
    registry: str
    reference: str
    digest: str
    files: tuple[FileEntry, ...]
    version: dict[str, Any]


@dataclass(frozen=True)
class Pulled:
    """The outcome of a pull."""

    folder: Path
    manifest: PullManifest
    fetched: int
    """Files whose bytes were fetched; the others were there already."""
    fetched_bytes: int


@dataclass(frozen=True)
class Fault:
    """A file that is not what the manifest says."""

    path: str
    reason: str


def pull_version(
    wire: Wire,
    version: Version,
    folder: Path,
    *,
    address_of: Callable[[str], str],
    only: str | None = None,
    connections: int = CONNECTIONS,
    progress: Progress = ignore_progress,
) -> Pulled:
    """Fetch the files of ``version`` into ``folder`` and write the manifest last.

    Args:
        wire: connections.
        version: the version's record.
        folder: made if it does not exist; files there that have the right digest are not fetched again.
        address_of: the URL of a file's route.
        only: the path of one file, to fetch only the artifact that begins with it.
        connections: at most so many ranges of one file at once.
        progress: hears the bytes that are done.

    Raises:
        Gone: the version was withdrawn or deleted.
        NotMirrored: a file is only at its remote address.
        IntegrityError: the server sent other bytes than it promised.
        InvalidInput: the server lists a name that does not stay below ``folder``.

    """
    if version["state"] == "withdrawn":
        raise Gone(
            f"{version['reference']} was withdrawn.", hint=f"`zoo versions show {version['reference']}` tells why."
        )
    if version.get("deletion"):
        raise Gone(
            f"{version['reference']} was deleted.",
            hint=f"`zoo versions show {version['reference']}` tells why, `zoo restore` takes it back in time.",
        )
    files = held_files(version["reference"], _chosen(version, only))
    check_names(file["path"] for file in files)
    folder.mkdir(parents=True, exist_ok=True)

    def fetch(file: FileRecord) -> int:
        remote = RemoteFile(address_of(file["path"]), file["sha256"], file["size"])
        place = destination_below(folder, file["path"])
        fetched = download_file(wire, remote, place, connections=connections, progress=progress)
        return file["size"] if fetched else -1

    # Large files have several connections of their own, so they go one after the other.
    small = [file for file in files if file["size"] <= SEGMENT_BYTES]
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        sizes = list(pool.map(fetch, small))
    sizes += [fetch(file) for file in files if file["size"] > SEGMENT_BYTES]
    manifest = PullManifest(
        registry=wire.url,
        reference=version["reference"],
        digest=version["digest"],
        files=tuple(FileEntry(path=file["path"], sha256=file["sha256"], size=file["size"]) for file in files),
        version=dict(version),
    )
    _write_manifest(folder, manifest)
    got = [size for size in sizes if size >= 0]
    return Pulled(folder, manifest, len(got), sum(got))


def held_files(reference: str, files: list[FileRecord]) -> list[FileRecord]:
    """``files`` if the registry has the bytes of all of them; raises :class:`NotMirrored` otherwise."""
    away = [file for file in files if not file.get("mirrored", True)]
    if away:
        raise NotMirrored(
            f"{reference} is not mirrored: {away[0]['path']!r} is only at {away[0].get('address')}.",
            hint=f"`zoo catalog fetch {reference.partition('@')[0]}` brings it to the registry.",
            facts={"reference": reference, "addresses": [file.get("address") for file in away]},
        )
    return files


def _chosen(version: Version, only: str | None) -> list[FileRecord]:
    if only is None:
        return version["files"]
    wanted = {only}
    for artifact in version["artifacts"]:
        if artifact["files"] and artifact["files"][0] == only:
            wanted |= set(artifact["files"])
    found = [file for file in version["files"] if file["path"] in wanted]
    if not found:
        names = ", ".join(file["path"] for file in version["files"][:10])
        raise NotFound(f"{version['reference']} has no file {only!r}.", hint=f"It has {names or 'none'}.")
    return found


def _write_manifest(folder: Path, manifest: PullManifest) -> None:
    partial = folder / f".{MANIFEST_NAME}.part"
    partial.unlink(missing_ok=True)
    partial.write_text(manifest.model_dump_json(indent=1) + "\n", "utf-8")
    partial.replace(folder / MANIFEST_NAME)


def read_manifest(folder: Path) -> PullManifest:
    """The manifest of a pulled folder."""
    path = folder / MANIFEST_NAME
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise InvalidInput(f"{path} is larger than {MAX_MANIFEST_BYTES} bytes.")
        content = json.loads(path.read_text("utf-8"))
        return PullManifest.model_validate(content)
    except FileNotFoundError as error:
        raise NotFound(
            f"{folder} has no {MANIFEST_NAME}.", hint="Only a folder made by `zoo pull` can be verified."
        ) from error
    except (OSError, ValueError, ValidationError) as error:
        raise IntegrityError(f"{path} cannot be read: {str(error)[:300]}", hint="Pull the version again.") from error


def verify_folder(folder: Path, *, progress: Progress = ignore_progress) -> tuple[PullManifest, list[Fault]]:
    """Compare a pulled folder with its manifest, without the registry; answer the manifest and what is wrong."""
    manifest = read_manifest(folder)
    check_names(file.path for file in manifest.files)
    faults = []
    for file in manifest.files:
        reason = _fault_of(folder, file, progress)
        if reason:
            faults.append(Fault(file.path, reason))
    return manifest, faults


def _fault_of(folder: Path, file: FileEntry, progress: Progress) -> str | None:
    path = folder / file.path
    links = [part for part in (path, *path.parents) if part != folder and folder in part.parents and part.is_symlink()]
    if links:
        return "is or lies below a symbolic link"
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size != file.size:
        return f"has {size} bytes, not {file.size}"
    found = digest_of_file(path, progress)
    return None if found == file.sha256 else f"has the digest {found}, not {file.sha256}"


def default_folder(reference: str, version: Mapping[str, Any]) -> Path:
    """``<name>-<number>``: where a pull goes when no folder is named."""
    return Path(f"{Reference.parse(reference).name}-{int(version['number'])}")
