"""Writing a bundle: what belongs to the versions is collected first, then everything is streamed into one file."""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

from zoo_client.api import wait_seconds
from zoo_client.bundles.archive import INDEX_NAME, LAYOUT_NAME, LAYOUT_TEXT, ArchiveWriter
from zoo_client.client import Client
from zoo_client.errors import Gone, ServerFault, Unreachable
from zoo_client.pulling import held_files
from zoo_client.records import FileRecord, Kind, Version
from zoo_client.repositories import ATTESTING_SECONDS
from zoo_client.transfer.digests import Progress, digest_of_bytes, ignore_progress
from zoo_client.transfer.wire import Broken
from zoo_sdk.attestations import canonical
from zoo_sdk.bundles import layout
from zoo_sdk.errors import Conflict, InvalidInput

PIECE_BYTES = 2**20
FRUITLESS_TRIES = 6
Write = Callable[[bytes | memoryview], object]


@dataclass
class Packed:
    """A version to be written: its documents by digest, its manifest, and the files that come along."""

    version: Version
    kind: Kind
    is_root: bool
    registry: str = ""
    manifest: bytes = b""
    documents: list[bytes] = field(default_factory=list)
    files: list[FileRecord] = field(default_factory=list)
    parents: list[tuple[str, Kind]] = field(default_factory=list)


@dataclass(frozen=True)
class Exported:
    """The outcome: ``roots`` and ``ancestors`` are references; ``records``: those that came without their files."""

    path: Path
    digest: str
    roots: list[str]
    ancestors: list[str]
    records: list[str]
    unsigned: list[str]
    size: int


def export_bundle(
    client: Client,
    references: Sequence[str],
    path: Path,
    *,
    kind: Kind | None = None,
    ancestor_files: bool = True,
    on_size: Callable[[int], Progress] = lambda _: ignore_progress,
) -> Exported:
    """Write versions with all their ancestors into one file.

    Args:
        client: the registry.
        references: the versions; their ancestors come along as far as the caller may see them.
        path: the file; it appears when everything is in it.
        kind: models or data sets, where a name is both.
        ancestor_files: with the files of ancestors; else only what is known of them.
        on_size: told the bytes of all files once they are known; answers whom to tell of those that are done.

    Raises:
        Gone: a version was withdrawn or its files are gone.
        NotMirrored: a file is only at its remote address.
        Conflict: a version is a draft, or there are too many of them.
        IntegrityError: the registry sent other bytes than it promised.

    """
    packed = _collect(client, references, kind, ancestor_files=ancestor_files)
    blobs = {file["sha256"]: (item, file) for item in packed for file in item.files}
    total = sum(file["size"] for _, file in blobs.values())
    progress = on_size(total)
    index = canonical(layout.index_document(packed[0].registry, [_listed(item) for item in packed]))
    partial = path.with_name(f".{path.name}.part")
    try:
        with partial.open("wb") as file:
            writer = ArchiveWriter(file)
            writer.add(LAYOUT_NAME, LAYOUT_TEXT)
            writer.add(INDEX_NAME, index)
            documents = {digest_of_bytes(text): text for item in packed for text in [item.manifest, *item.documents]}
            for _, text in sorted(documents.items()):
                writer.add_document(text)
            for digest, (item, found) in sorted(blobs.items()):
                writer.add_blob(digest, found["size"], _filler(client, item, found, progress))
            writer.close()
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)
    names = [(item.version["reference"], item) for item in packed]
    return Exported(
        path,
        digest_of_bytes(index),
        [name for name, item in names if item.is_root],
        [name for name, item in names if not item.is_root],
        [name for name, item in names if item.version["files"] and not item.files],
        [name for name, item in names if not _has(item, layout.PROVENANCE_TYPE)],
        path.stat().st_size,
    )


def _collect(client: Client, references: Sequence[str], kind: Kind | None, *, ancestor_files: bool) -> list[Packed]:
    """The versions asked for, then their ancestors, sorted by their ids: the same content in the same order."""
    roots: dict[str, Packed] = {}
    for reference in references:
        versions, version = client.find(reference, kind)
        roots[version["id"]] = Packed(version, versions.kind, is_root=True)
    found: dict[str, Packed] = {}
    waiting = list(roots.values())
    while waiting:
        item = waiting.pop()
        if item.version["id"] in found:
            continue
        if len(found) >= layout.MAX_VERSIONS:
            raise Conflict(f"More than {layout.MAX_VERSIONS} versions belong to the bundle.", hint="Export fewer.")
        found[item.version["id"]] = item
        _pack(client, item, with_files=item.is_root or ancestor_files)
        for reference, parent_kind in item.parents:
            version = client.repositories(parent_kind).versions.show(reference)
            waiting.append(roots.get(version["id"]) or Packed(version, parent_kind, is_root=False))
    return [found[key] for key in sorted(found)]


def _pack(client: Client, item: Packed, *, with_files: bool) -> None:
    """Fetch every document about the version, and make its manifest."""
    version, versions = item.version, client.repositories(item.kind).versions
    reference = version["reference"]
    answer = client.api.get(versions.route(reference, "record"))
    record = canonical(answer["record"])
    item.registry = answer["record"]["registry"]
    item.parents = [
        (str(parent["reference"]), cast("Kind", f"{parent['kind']}s"))
        for parent in answer["record"]["parents"]
        if parent["reference"] and parent["digest"]
    ]
    item.files = _files_of(version, is_root=item.is_root) if with_files else []
    proof = client.api.get(versions.route(reference, "attestations"), patience=ATTESTING_SECONDS)
    documents = [
        (layout.PROVENANCE_TYPE, _json(proof["provenance"])),
        (layout.SIGNATURE_TYPE, _json(proof["signature"])),
        (layout.CYCLONEDX_TYPE, _json(versions.bom(reference, "cyclonedx"))),
        (layout.SPDX_TYPE, _json(versions.bom(reference, "spdx"))),
        (layout.CARD_TYPE, answer["card"].encode() or None),
        *((layout.REPORT_TYPE, report) for report in _reports(client, item)),
    ]
    layers = [_described(media_type, text) for media_type, text in documents if text]
    files = [
        layout.descriptor(layout.FILE_TYPE, file["sha256"], file["size"], {layout.PATH_NOTE: file["path"]})
        for file in sorted(item.files, key=lambda file: file["path"])
    ]
    item.documents = [record, *(text for _, text in documents if text)]
    item.manifest = canonical(layout.manifest_document(_described(layout.RECORD_TYPE, record), [*layers, *files]))


def _files_of(version: Version, *, is_root: bool) -> list[FileRecord]:
    """The files whose bytes come along: of an ancestor that was withdrawn, deleted or is not mirrored, none."""
    if version["state"] == "withdrawn" or version.get("deletion"):
        if is_root:
            raise Gone(f"{version['reference']} was withdrawn or deleted: its files are not given out.")
        return []
    if is_root:
        return held_files(version["reference"], version["files"])
    return version["files"] if all(file.get("mirrored", True) for file in version["files"]) else []


def _reports(client: Client, item: Packed) -> list[bytes]:
    versions, reference = client.repositories(item.kind).versions, item.version["reference"]
    ids = sorted(report["id"] for report in versions.iterate_reports(reference))
    return [canonical(versions.report(reference, report)) for report in ids]


def _listed(item: Packed) -> dict[str, Any]:
    notes = {
        layout.ID_NOTE: str(item.version["id"]),
        layout.PART_NOTE: layout.ROOT if item.is_root else layout.ANCESTOR,
        layout.REFERENCE_NOTE: item.version["reference"],
    }
    return layout.descriptor(layout.MANIFEST_TYPE, digest_of_bytes(item.manifest), len(item.manifest), notes) | {
        "artifactType": layout.VERSION_TYPE
    }


def _described(media_type: str, text: bytes) -> dict[str, Any]:
    return layout.descriptor(media_type, digest_of_bytes(text), len(text))


def _has(item: Packed, media_type: str) -> bool:
    return any(layer["mediaType"] == media_type for layer in json.loads(item.manifest)["layers"])


def _json(document: Any) -> bytes | None:
    return canonical(document) if document else None


def _filler(client: Client, item: Packed, file: FileRecord, progress: Progress) -> Callable[[Write], None]:
    route = client.repositories(item.kind).versions.route(item.version["reference"], "files", file["path"])
    address = client.wire.address_of(route)
    return lambda write: _stream(client, address, file["size"], write, progress)


def _stream(
    client: Client,
    address: str,
    size: int,
    write: Write,
    progress: Progress,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """The file's bytes in order; after a break the rest is asked for."""
    done, fruitless = 0, 0
    buffer = memoryview(bytearray(PIECE_BYTES))
    while done < size:
        before, reason = done, f"it ended after {done} of {size} bytes"
        try:
            with client.wire.get(address, {"Range": f"bytes={done}-"} if done else {}) as exchange:
                if done and exchange.response.status != HTTPStatus.PARTIAL_CONTENT:
                    raise ServerFault(f"{address} does not answer with the rest of the file.")
                while count := exchange.response.readinto(buffer):
                    write(buffer[:count])
                    progress(count)
                    done += count
        except Broken as error:
            reason = str(error)
        if done < size:
            fruitless = 0 if done > before else fruitless + 1
            if fruitless >= FRUITLESS_TRIES:
                raise Unreachable(f"The download broke off: {reason}.", hint="Run it again.")
            sleep(wait_seconds(fruitless + 1))
