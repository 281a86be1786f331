"""The tar file of a bundle: written in one go with the same bytes for the same content, read without unpacking it.

Only what an OCI image layout needs is read: plain files called ``oci-layout``, ``index.json`` and
``blobs/sha256/<digest>``, and the folders above them.  Links, devices, sparse files and other names are refused by
their headers, before anything behind them is looked at.
"""

import os
import re
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from zoo_client.transfer.digests import Progress, ignore_progress
from zoo_sdk.bundles import layout
from zoo_sdk.errors import IntegrityError, InvalidInput

BLOCK = tarfile.BLOCKSIZE
PIECE_BYTES = 2**20
LAYOUT_NAME, INDEX_NAME = "oci-layout", "index.json"
LAYOUT_TEXT = b'{"imageLayoutVersion":"' + layout.OCI_LAYOUT.encode() + b'"}'
MAX_ENTRIES = 1_000_000
MAX_HEADER_BYTES = 64 * 2**10
"""Of an extended header: ours say the size of a file of more than 8 GiB, and nothing else."""
_BLOB = re.compile(r"^blobs/sha256/([0-9a-f]{64})$")
_FOLDERS = frozenset({"", ".", "blobs", "blobs/sha256"})
_PLAIN, _FOLDER, _EXTENDED = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE}), tarfile.DIRTYPE, tarfile.XHDTYPE


class ArchiveWriter:
    """Writes the entries of a bundle one after the other; each blob once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._written: set[str] = set()

    def add(self, name: str, content: bytes) -> None:
        """A small file."""
        self._head(name, len(content))
        self._file.write(content)
        self._pad(len(content))

    def add_document(self, content: bytes) -> tuple[str, int]:
        """A document under its digest; answers digest and size."""
        digest = f"sha256:{sha256(content).hexdigest()}"
        if digest not in self._written:
            self._written.add(digest)
            self.add(blob_name(digest), content)
        return digest, len(content)

    def add_blob(self, digest: str, size: int, fill: Callable[[Callable[[bytes | memoryview], object]], None]) -> None:
        """A file: ``fill(write)`` brings its bytes; :class:`IntegrityError` unless they are what was promised."""
        if digest in self._written:
            return
        self._written.add(digest)
        self._head(blob_name(digest), size)
        state, count = sha256(), 0

        def write(piece: bytes | memoryview) -> None:
            nonlocal count
            count += len(piece)
            if count > size:
                raise IntegrityError(f"The registry sends more bytes for {digest} than the {size} that it said.")
            state.update(piece)
            self._file.write(piece)

        fill(write)
        if (count, f"sha256:{state.hexdigest()}") != (size, digest):
            raise IntegrityError(f"The registry sent {count} bytes that are not {digest}.", hint="Run it again.")
        self._pad(size)

    def close(self) -> None:
        """The two empty blocks at the end."""
        self._file.write(bytes(2 * BLOCK))

    def _head(self, name: str, size: int) -> None:
        info = tarfile.TarInfo(name)
        info.size = size
        self._file.write(info.tobuf(tarfile.PAX_FORMAT))

    def _pad(self, size: int) -> None:
        self._file.write(bytes(-size % BLOCK))


def blob_name(digest: str) -> str:
    """The name of a blob in the layout."""
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


@dataclass
class Archive:
    """An opened bundle.  ``blobs``: where each blob begins, and its size.  Nothing is believed yet but the headers."""

    path: Path
    file: BinaryIO
    names: dict[str, tuple[int, int]] = field(default_factory=dict)
    blobs: dict[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read all headers.

        Raises:
            InvalidInput: the file cannot be read.
            IntegrityError: it is no bundle, or holds something that a bundle never does; says which entry.

        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            file = os.fdopen(descriptor, "rb")
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error.strerror or error}.") from error
        archive = cls(path, file)
        try:
            archive._read_headers(_length_of(file, path))
        except BaseException:
            file.close()
            raise
        return archive

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.file.close()

    def index(self) -> bytes:
        """``index.json``, once the layout's version is one that is known."""
        if LAYOUT_NAME not in self.names or INDEX_NAME not in self.names:
            raise IntegrityError(f"{self.path} holds no {LAYOUT_NAME} and {INDEX_NAME}: it is no bundle.")
        layout_document = layout.read_document(self._small(LAYOUT_NAME, *self.names[LAYOUT_NAME]), LAYOUT_NAME)
        version = layout_document.get("imageLayoutVersion") if isinstance(layout_document, dict) else None
        if version != layout.OCI_LAYOUT:
            raise IntegrityError(f"{LAYOUT_NAME} says version {str(version)[:20]!r}, not {layout.OCI_LAYOUT}.")
        return self._small(INDEX_NAME, *self.names[INDEX_NAME])

    def read(self, digest: str) -> bytes:
        """A document; its digest is the reader's business."""
        if digest not in self.blobs:
            raise IntegrityError(f"The bundle lacks {digest}, which it refers to.")
        return self._small(digest, *self.blobs[digest])

    def check_blobs(self, progress: Progress = ignore_progress) -> None:
        """Every blob has the digest that it is called by; raises :class:`IntegrityError` that names the first."""
        buffer = memoryview(bytearray(PIECE_BYTES))
        for digest, (start, size) in sorted(self.blobs.items(), key=lambda item: item[1]):
            self.file.seek(start)
            state, left = sha256(), size
            while left:
                count = self.file.readinto(buffer[: min(left, PIECE_BYTES)])  # type: ignore[attr-defined]
                if not count:
                    raise IntegrityError(f"{self.path} became shorter while it was read.")
                state.update(buffer[:count])
                progress(count)
                left -= count
            if f"sha256:{state.hexdigest()}" != digest:
                raise IntegrityError(
                    f"The blob {digest} has other bytes: their digest is sha256:{state.hexdigest()}.",
                    hint="The bundle was damaged or changed on its way; get it again.",
                    facts={"sha256": digest},
                )

    def _small(self, what: str, start: int, size: int) -> bytes:
        if size > layout.MAX_DOCUMENT_BYTES:
            raise IntegrityError(f"{what} has {size} bytes, more than {layout.MAX_DOCUMENT_BYTES} of a document.")
        self.file.seek(start)
        return self.file.read(size)

    def _read_headers(self, length: int) -> None:
        for name, start, size in _entries(self.file, length):
            match = _BLOB.match(name)
            if match is None and name not in {LAYOUT_NAME, INDEX_NAME}:
                raise IntegrityError(
                    f"{self.path} holds {name[:120]!r}, which is no part of an OCI image layout.",
                    hint="Nothing was unpacked or sent. Do not trust where it comes from.",
                )
            where, key = (self.blobs, f"sha256:{match[1]}") if match else (self.names, name)
            if key in where:
                raise IntegrityError(f"{self.path} holds {name!r} twice.")
            if len(self.blobs) >= MAX_ENTRIES:
                raise IntegrityError(f"{self.path} has more than {MAX_ENTRIES} entries.")
            where[key] = (start, size)


def _length_of(file: BinaryIO, path: Path) -> int:
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        raise InvalidInput(f"{path} is no plain file.", hint="Write `zoo import FILE`.")
    return found.st_size


def _entries(file: BinaryIO, length: int) -> Iterator[tuple[str, int, int]]:
    """Name, place and size of every plain file; an entry never reaches beyond the archive's end."""
    position, said = 0, None
    while position + BLOCK <= length:
        file.seek(position)
        block = file.read(BLOCK)
        if not block.strip(b"\0"):
            return
        name, kind, size = _header(block, position)
        position += BLOCK
        if kind == _EXTENDED:
            if size > MAX_HEADER_BYTES or position + size > length:
                raise IntegrityError(f"The extended header at byte {position} is said to have {size} bytes.")
            said = _size_in(file.read(size), position)
            position += size + -size % BLOCK
            continue
        size, said = (size if said is None else said), None
        if kind == _FOLDER and name.rstrip("/") in _FOLDERS and size == 0:
            continue
        if kind not in _PLAIN:
            raise IntegrityError(f"The entry {name[:120]!r} is no plain file (type {kind!r}).")
        if position + size > length:
            raise IntegrityError(
                f"The entry {name[:120]!r} is said to have {size} bytes; the archive has {length - position} left."
            )
        yield name, position, size
        position += size + -size % BLOCK
    raise IntegrityError("The archive ends without an end: it was cut off, or is no tar file.")


def _header(block: bytes, position: int) -> tuple[str, bytes, int]:
    checksum = _number(block[148:156], position)
    if checksum not in {sum(block[:148]) + 256 + sum(block[156:]), _signed_sum(block)}:
        raise IntegrityError(f"The header at byte {position} is damaged, or this is no tar file.")
    prefix = block[345:500].split(b"\0", 1)[0] if block[257:263] == b"ustar\0" else b""
    name = block[:100].split(b"\0", 1)[0]
    whole = (prefix + b"/" + name if prefix else name).decode("utf-8", "replace").removeprefix("./")
    return whole, block[156:157], _number(block[124:136], position)


def _signed_sum(block: bytes) -> int:
    """As some old programs computed the checksum: over signed bytes."""
    return 256 + sum(byte - 256 if byte > 127 else byte for byte in block[:148] + block[156:])


def _number(text: bytes, position: int) -> int:
    """Octal digits, or (GNU, for large files) a number in binary."""
    try:
        if text[:1] == b"\x80":
            return int.from_bytes(text[1:], "big")
        return int(text.rstrip(b"\0 ").lstrip() or b"0", 8)
    except ValueError as error:
        raise IntegrityError(f"The header at byte {position} is damaged, or this is no tar file.") from error


def _size_in(content: bytes, position: int) -> int | None:
    """The size that an extended header says; other facts about a file (times, owners) are of no interest."""
    size, rest = None, content
    while rest:
        length, _, _ = rest.partition(b" ")
        count = int(length) if length.isdigit() and len(length) < 8 else 0
        key, separator, value = rest[len(length) + 1 : count].partition(b"=")
        if not 0 < count <= len(rest) or not separator or not value.endswith(b"\n"):
            raise IntegrityError(f"The extended header at byte {position} cannot be read.")
        if key in {b"path", b"linkpath"} or key.startswith(b"GNU.sparse"):
            raise IntegrityError(f"The extended header at byte {position} sets {key.decode('ascii', 'replace')}.")
        if key == b"size":
            if not value[:-1].isdigit() or len(value) > 20:
                raise IntegrityError(f"The extended header at byte {position} says the size {value[:20]!r}.")
            size = int(value)
        rest = rest[count:]
    return size
