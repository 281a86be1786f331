"""Reading a bundle's documents from wherever its blobs are: an archive, or a registry's store."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError

from zoo_sdk.bundles import layout
from zoo_sdk.bundles.layout import Descriptor, FileRecord, Index, Manifest, Record, ReportRecord
from zoo_sdk.errors import IntegrityError, InvalidInput
from zoo_sdk.names import checked_path

ReadBlob = Callable[[str], bytes]
"""The bytes of a document by digest; raises :class:`IntegrityError` if it is not there, or too large for a document."""
ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True)
class Entry:
    """One version of a bundle.  ``held``: the digests of the files that the bundle has."""

    manifest: str
    is_root: bool
    record: Record
    raw: dict[str, Any]
    files: list[FileRecord]
    held: frozenset[str]
    documents: dict[str, list[Descriptor]]

    @property
    def id(self) -> UUID:
        """Its id where it comes from."""
        return self.record.id

    @property
    def reference(self) -> str:
        """Its name where it comes from."""
        return self.record.reference

    def document(self, media_type: str) -> str | None:
        """The digest of its only document of that type."""
        found = self.documents.get(media_type, [])
        return found[0].digest if found else None


@dataclass(frozen=True)
class Bundle:
    """The versions of a bundle, parents before their children.  ``ignored``: layers of a type not known here."""

    index: Index
    format: str
    entries: list[Entry]
    ignored: int = 0
    sizes: dict[str, int] = field(default_factory=dict)

    def documents(self) -> Iterator[str]:
        """The digests of everything but files: manifests, records and what is said about versions."""
        for entry in self.entries:
            yield entry.manifest
            yield from (item.digest for items in entry.documents.values() for item in items)


def read_bundle(index: bytes, read: ReadBlob) -> Bundle:
    """Read the documents of a bundle and check that they fit together; signatures are :mod:`.checking`'s business.

    Raises:
        NewerFormat: a later Zoo wrote it.
        IntegrityError: a document is missing, wrong, or contradicts another; the message names it.

    """
    listed = _document(Index, index, "index.json")
    version = layout.check_format(listed)
    entries: list[Entry] = []
    sizes: dict[str, int] = {}
    ignored = 0
    for item in listed.manifests:
        if item.mediaType != layout.MANIFEST_TYPE:
            ignored += 1
            continue
        manifest = _document(Manifest, _read(read, item, sizes), f"The manifest {item.digest}")
        if manifest.artifactType != layout.VERSION_TYPE:
            ignored += 1
            continue
        entry, unknown = _entry(item, manifest, read, sizes)
        entries.append(entry)
        ignored += unknown
    _check_each_once(entries)
    return Bundle(listed, version, _parents_first(entries), ignored, sizes)


def read_reports(entry: Entry, read: ReadBlob) -> list[ReportRecord]:
    """The reports about a version."""
    return [
        _document(ReportRecord, read(item.digest), f"A report of {entry.reference}")
        for item in entry.documents.get(layout.REPORT_TYPE, [])
    ]


def _entry(item: Descriptor, manifest: Manifest, read: ReadBlob, sizes: dict[str, int]) -> tuple[Entry, int]:
    if manifest.config.mediaType != layout.RECORD_TYPE:
        raise IntegrityError(f"The manifest {item.digest} has a config that is no record of a version.")
    content = _read(read, manifest.config, sizes)
    raw = layout.read_document(content, f"The record {manifest.config.digest}")
    record = _model(Record, raw, f"The record {manifest.config.digest}")
    documents: dict[str, list[Descriptor]] = {layout.RECORD_TYPE: [manifest.config]}
    held: dict[str, str] = {}
    unknown = 0
    for layer in manifest.layers:
        _note_size(layer, sizes)
        if layer.mediaType == layout.FILE_TYPE:
            held[layer.annotations.get(layout.PATH_NOTE, "")] = layer.digest
        elif layer.mediaType in _DOCUMENTS:
            if layer.size > layout.MAX_DOCUMENT_BYTES:
                raise IntegrityError(f"A document of {record.reference} has {layer.size} bytes: too many.")
            documents.setdefault(layer.mediaType, []).append(layer)
        else:
            unknown += 1
    for media_type, items in documents.items():
        if len(items) > 1 and media_type != layout.REPORT_TYPE:
            raise IntegrityError(f"{record.reference} has {len(items)} documents of the type {media_type}.")
    files = _files(record)
    digests = {file.path: file.sha256 for file in files}
    for path, digest in held.items():
        if path not in digests or digests[path] not in {None, digest}:
            raise IntegrityError(f"{record.reference} has no file {path[:120]!r} with the digest {digest}.")
    files = [file.model_copy(update={"sha256": held.get(file.path, file.sha256)}) for file in files]
    is_root = item.annotations.get(layout.PART_NOTE, layout.ROOT) == layout.ROOT
    return Entry(item.digest, is_root, record, raw, files, frozenset(held.values()), documents), unknown


_DOCUMENTS = frozenset(
    {
        layout.PROVENANCE_TYPE,
        layout.SIGNATURE_TYPE,
        layout.CYCLONEDX_TYPE,
        layout.SPDX_TYPE,
        layout.CARD_TYPE,
        layout.REPORT_TYPE,
    }
)


def _files(record: Record) -> list[FileRecord]:
    """The version's files, each under a safe path of its own, none where another needs a folder."""
    try:
        files = record.files
        paths = {checked_path(file.path) for file in files}
    except (ValidationError, InvalidInput, TypeError) as error:
        raise IntegrityError(f"{record.reference} lists a file wrongly: {str(error)[:300]}") from error
    if len(paths) != len(files):
        raise IntegrityError(f"{record.reference} lists a path twice.")
    for path in paths:
        segments = path.split("/")
        folder = next((part for n in range(1, len(segments)) if (part := "/".join(segments[:n])) in paths), None)
        if folder:
            raise IntegrityError(f"{record.reference} lists {folder!r} as a file and as the folder of {path!r}.")
    return files


def _read(read: ReadBlob, item: Descriptor, sizes: dict[str, int]) -> bytes:
    if item.size > layout.MAX_DOCUMENT_BYTES:
        raise IntegrityError(
            f"The document {item.digest} is said to have {item.size} bytes, more than {layout.MAX_DOCUMENT_BYTES}."
        )
    _note_size(item, sizes)
    content = read(item.digest)
    found = f"sha256:{sha256(content).hexdigest()}"
    if (len(content), found) != (item.size, item.digest):
        raise IntegrityError(f"A document has the digest {found} and {len(content)} bytes, not {item.digest}.")
    return content


def _note_size(item: Descriptor, sizes: dict[str, int]) -> None:
    if sizes.setdefault(item.digest, item.size) != item.size:
        raise IntegrityError(f"{item.digest} is said to have {sizes[item.digest]} bytes, and {item.size} elsewhere.")


def _check_each_once(entries: list[Entry]) -> None:
    if not entries:
        raise IntegrityError("The bundle holds no version.", hint="Bundles are written by `zoo export`.")
    ids = [entry.id for entry in entries]
    if len(set(ids)) != len(ids):
        twice = next(entry.reference for entry in entries if ids.count(entry.id) > 1)
        raise IntegrityError(f"The bundle holds {twice} twice.")


def _parents_first(entries: list[Entry]) -> list[Entry]:
    """In an order in which every version comes after its parents; raises :class:`IntegrityError` for a circle."""
    by_id = {entry.id: entry for entry in entries}
    ordered: list[Entry] = []
    state: dict[UUID, str] = {}
    for start in entries:
        stack = [(start, False)]
        while stack:
            entry, ready = stack.pop()
            if ready:
                state[entry.id] = "done"
                ordered.append(entry)
                continue
            if state.get(entry.id) == "done":
                continue
            if state.get(entry.id) == "open":
                raise IntegrityError(f"{entry.reference} is its own ancestor.")
            state[entry.id] = "open"
            stack.append((entry, True))
            parents = (by_id.get(parent.id) for parent in entry.record.parents if parent.id)
            waiting = [parent for parent in parents if parent is not None and state.get(parent.id) != "done"]
            if any(state.get(parent.id) == "open" for parent in waiting):
                raise IntegrityError(f"{entry.reference} is its own ancestor.")
            stack += [(parent, False) for parent in {parent.id: parent for parent in waiting}.values()]
    return ordered


def _document(kind: type[ModelT], content: bytes, what: str) -> ModelT:
    return _model(kind, layout.read_document(content, what), what)


def _model(kind: type[ModelT], document: Any, what: str) -> ModelT:
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise IntegrityError(f"{what} is wrong at {place or 'its top'}: {first['msg'][:200]}.") from error
