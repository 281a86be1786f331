"""Where bytes live: blobs by digest, and the growing files of upload sessions.

:class:`BlobStore` is the seam; :class:`zoo_server.artifacts.s3_store.S3Store` keeps blobs in a bucket, and
:class:`LocalStore` files in a folder::

    <root>/sessions/<uuid>       one file per upload session
    <root>/blobs/aa/bb/<hex>     one file per blob, named by its sha256, never changed once there
    <root>/quarantine/<hex>      bytes that were found to be others than their name says

A blob appears by a hard link to a file that was flushed to the disk before, and the folder is flushed after: after a
crash at any moment a blob is there whole, or not at all.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol
from uuid import UUID

from zoo_sdk.errors import Conflict, Unavailable
from zoo_server.rest.problems import InsufficientStorage

PIECE = 2**20
"""Bytes that are read and written at a time."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SessionBusy(Conflict):
    """Another request is writing to the upload session."""

    code = "session-busy"


class SessionFile(Protocol):
    """The file of one upload session, held by one request at a time."""

    @property
    def path(self) -> Path:
        """A local file with the bytes, for inspection."""

    def size(self) -> int:
        """Bytes that the file holds."""

    def truncate(self, size: int) -> None:
        """Forget what lies beyond ``size``."""

    def write(self, piece: bytes) -> None:
        """Append; raises :class:`InsufficientStorage` when the disk or quota is full."""

    def flush(self) -> None:
        """Make everything durable."""

    def pieces(self) -> Iterator[bytes]:
        """The content from the start, a MiB at a time."""

    def keep_as(self, sha256: str) -> None:
        """Make the content the blob of that digest, durably.  The caller has checked the digest."""


class BlobStore(Protocol):
    """What the services need of a store; every method may raise :class:`InsufficientStorage`."""

    def session(self, upload_id: UUID) -> AbstractContextManager[SessionFile]:
        """A context manager for the session's file; raises :class:`SessionBusy` while another holds it."""

    def discard_session(self, upload_id: UUID) -> None:
        """Remove the session's file, if there is one."""

    def session_ids(self) -> Iterator[UUID]:
        """The sessions that have a file."""

    def free_bytes(self) -> int:
        """Bytes that can still be written."""

    def size_of(self, sha256: str) -> int | None:
        """Bytes of the blob as the store has it; None: it has none."""

    def remove(self, sha256: str) -> None:
        """Remove the blob's bytes, if there are any; who reads them now reads to the end where the store can."""

    def quarantine(self, sha256: str) -> None:
        """Move the blob's bytes aside, so that nobody gets them and somebody may look at them."""

    def open(self, sha256: str) -> BinaryIO:
        """The blob, opened unbuffered for reading; raises :class:`Unavailable` if it is gone."""

    def download_url(self, sha256: str, *, filename: str, content_type: str) -> str | None:
        """Where a client may fetch the blob itself for a while; None: the server sends it."""

    def discard_stale(self, *, before: datetime) -> int:
        """Remove what broken transfers to the store left before then; answers how many."""


class LocalSessionFile:
    """See :class:`SessionFile`; holds an exclusive lock on the file while it is open."""

    def __init__(self, descriptor: int, path: Path, store: "LocalStore") -> None:
        self._descriptor = descriptor
        self._path = path
        self._store = store

    @property
    def path(self) -> Path:
        return self._path

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        os.lseek(self._descriptor, size, os.SEEK_SET)

    def write(self, piece: bytes) -> None:
        view = memoryview(piece)
        with storage_errors():
            while view:
                view = view[os.write(self._descriptor, view) :]

    def flush(self) -> None:
        with storage_errors():
            os.fsync(self._descriptor)

    def pieces(self) -> Iterator[bytes]:
        with self._path.open("rb", buffering=0) as file:
            while piece := file.read(PIECE):
                yield piece

    def keep_as(self, sha256: str) -> None:
        self.flush()
        target = self._store.blob_path(sha256)
        with storage_errors():
            make_folders(target.parent)
            try:
                os.link(self._path, target)
            except FileExistsError:
                if target.stat().st_size != self.size():  # damaged from outside: the checked bytes replace it
                    spare = target.with_name(f"{target.name}.{self._path.name}")
                    os.link(self._path, spare)
                    spare.replace(target)
            flush_folder(target.parent)


class LocalStore:
    """See :class:`BlobStore`: a folder on this machine, or on a file system shared by all web servers."""

    def __init__(self, root: Path, *, sessions: str = "sessions") -> None:
        self.root = root
        self._sessions = root / sessions

    def blob_path(self, sha256: str) -> Path:
        """Where the blob of that digest lies."""
        digits = sha256.removeprefix("sha256:")
        return self.root / "blobs" / digits[:2] / digits[2:4] / digits

    @contextmanager
    def session(self, upload_id: UUID) -> Iterator[SessionFile]:
        make_folders(self._sessions)
        path = self._sessions / str(upload_id)
        with storage_errors():
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor, upload_id)
            yield LocalSessionFile(descriptor, path, self)
        finally:
            os.close(descriptor)

    def discard_session(self, upload_id: UUID) -> None:
        (self._sessions / str(upload_id)).unlink(missing_ok=True)

    def session_ids(self) -> Iterator[UUID]:
        if self._sessions.is_dir():
            for path in self._sessions.iterdir():
                with suppress(ValueError):
                    yield UUID(path.name)

    def free_bytes(self) -> int:
        make_folders(self.root)
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize

    def size_of(self, sha256: str) -> int | None:
        try:
            return self.blob_path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def remove(self, sha256: str) -> None:
        path = self.blob_path(sha256)
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            flush_folder(path.parent)

    def quarantine(self, sha256: str) -> None:
        path = self.blob_path(sha256)
        make_folders(self.root / "quarantine")
        with suppress(FileNotFoundError):
            path.replace(self.root / "quarantine" / path.name)

    def download_url(self, sha256: str, *, filename: str, content_type: str) -> str | None:
        return None

    def discard_stale(self, *, before: datetime) -> int:
        return 0

    def open(self, sha256: str) -> BinaryIO:
        try:
            return self.blob_path(sha256).open("rb", buffering=0)
        except FileNotFoundError as error:
            raise Unavailable(
                f"The bytes of {sha256} are missing from the store.", hint="Tell the operators to restore the store."
            ) from error


def _lock(descriptor: int, upload_id: UUID) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SessionBusy(
            f"Another request is writing to the upload {upload_id}.",
            hint="Wait for it to end, then ask for the offset with HEAD.",
        ) from error


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn "no space left" and "quota exceeded" of the file system into :class:`InsufficientStorage`."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise InsufficientStorage(
                f"The store is full: {error.strerror}.",
                hint="Free some space, or ask the operators for more; then resume the upload.",
            ) from error
        raise


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, each durably."""
    if folder.is_dir():
        return
    make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    flush_folder(folder.parent)


def flush_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
