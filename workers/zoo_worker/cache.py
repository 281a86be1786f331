"""The worker's inputs by digest: fetched once, checked while written, evicted by last use within a size limit."""

import hashlib
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import httpx

from zoo_sdk.artifacts import FileEntry
from zoo_sdk.errors import IntegrityError, Unavailable

logger = logging.getLogger(__name__)

SEALED_NS = 946_684_800 * 10**9
"""Modification time of every checked file (2000-01-01).  Whoever writes into one changes it, and is found out."""
MAX_BREAKS = 20

Fetch = Callable[[str, int], AbstractContextManager[httpx.Response]]
"""``fetch(sha256, offset)`` gives the answer with the bytes from ``offset`` on (206) or all of them (200)."""


class InputCache:
    """Files named by their sha256 below ``folder``, at most ``limit_bytes`` together; those in use stay."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._used: Counter[str] = Counter()
        folder.mkdir(parents=True, exist_ok=True)
        for partial in folder.glob("*.partial"):
            partial.unlink()

    @contextmanager
    def holding(self, files: Iterable[FileEntry]) -> Iterator[None]:
        """Protect these files from eviction.

        Raises:
            Unavailable: together they are larger than the cache may be.

        """
        names = {_file_name(entry.sha256): entry.size for entry in files}
        if sum(names.values()) > self._limit:
            raise Unavailable(
                f"The inputs are {sum(names.values()) / 2**30:.2f} GiB together; this worker's cache may hold "
                f"{self._limit / 2**30:.2f} GiB.",
                hint="Raise ZOO_WORKER_CACHE_GIB on the worker.",
            )
        with self._lock:
            self._used.update(names.keys())
        try:
            yield
        finally:
            with self._lock:
                self._used.subtract(names.keys())
                self._used += Counter()

    def materialise(self, entry: FileEntry, target: Path, fetch: Fetch, check: Callable[[], None]) -> None:
        """Have ``entry`` at ``target``, read-only, fetching it if it is not here; ``check`` may raise to stop.

        Raises:
            IntegrityError: the registry's bytes are not what their digest says.
            Unavailable: the connection broke too often.

        """
        path = self._folder / _file_name(entry.sha256)
        if not self._has(path, entry.size):
            self._make_room(entry.size)
            self._download(entry, path, fetch, check)
        os.utime(path, ns=(time.time_ns(), SEALED_NS))
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target)
        except OSError:  # another file system
            target.symlink_to(path)

    def size_bytes(self) -> int:
        """The size of all files together."""
        return sum(path.stat().st_size for path in self._files())

    def _files(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if path.suffix != ".partial"]

    def _has(self, path: Path, size: int) -> bool:
        try:
            status = path.stat()
        except FileNotFoundError:
            return False
        if status.st_size == size and status.st_mtime_ns == SEALED_NS:
            return True
        logger.warning("%s was changed since it was checked; it is fetched again", path)
        path.unlink()
        return False

    def _make_room(self, size: int) -> None:
        with self._lock:
            files = sorted(((path.stat(), path) for path in self._files()), key=lambda item: item[0].st_atime_ns)
            total = sum(status.st_size for status, _ in files)
            for status, path in files:
                if total + size <= self._limit:
                    return
                if not self._used[path.name]:
                    path.unlink()
                    total -= status.st_size
                    logger.info("evicted %s (%d bytes) from the input cache", path.name, status.st_size)

    def _download(self, entry: FileEntry, path: Path, fetch: Fetch, check: Callable[[], None]) -> None:
        partial = path.with_name(f"{path.name}.partial")
        try:
            with partial.open("wb") as file:
                received = _Receiver(file.fileno(), entry)
                breaks = 0
                while True:
                    check()
                    before = received.size
                    try:
                        with fetch(entry.sha256, received.size) as response:
                            received.take(response, check)
                        break
                    except Unavailable as error:
                        breaks = 1 if received.size > before else breaks + 1
                        if breaks > MAX_BREAKS:
                            raise
                        logger.warning("the download of %s broke off at byte %d: %s", entry.path, received.size, error)
                        _pause(min(0.25 * 2**breaks, 10.0), check)
                received.verify()
                os.fsync(file.fileno())
            partial.chmod(0o444)
            os.utime(partial, ns=(time.time_ns(), SEALED_NS))
            partial.replace(path)
        finally:
            with suppress(FileNotFoundError):
                partial.unlink()


class _Receiver:
    """Writes an answer's bytes and hashes them on the way."""

    def __init__(self, descriptor: int, entry: FileEntry) -> None:
        self._descriptor = descriptor
        self._entry = entry
        self._start_again()

    def _start_again(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._sha256 = hashlib.sha256()
        self.size = 0

    def take(self, response: httpx.Response, check: Callable[[], None]) -> None:
        """Write the answer's bytes after those that are here."""
        if response.status_code != 206 and self.size:
            self._start_again()
        for part in response.iter_raw():
            check()
            if self.size + len(part) > self._entry.size:
                raise IntegrityError(f"The registry sent more than the {self._entry.size} bytes of {self._entry.path}.")
            view = memoryview(part)
            while view:
                view = view[os.write(self._descriptor, view) :]
            self._sha256.update(part)
            self.size += len(part)
        if self.size < self._entry.size:
            raise Unavailable(f"The registry sent {self.size} of the {self._entry.size} bytes of {self._entry.path}.")

    def verify(self) -> None:
        found = f"sha256:{self._sha256.hexdigest()}"
        if found != self._entry.sha256:
            raise IntegrityError(
                f"The registry sent bytes for {self._entry.path} with the digest {found}, not {self._entry.sha256}.",
                hint="Check the registry's blob store.",
                facts={"expected": self._entry.sha256, "found": found},
            )


def evict_oldest(folder: Path, limit_bytes: int) -> None:
    """Remove the files that were not used for longest (by modification time) until the rest fits in the limit.

    A running child keeps what it has open; a half-written file is the newest, and goes only if nothing else is left.
    """
    found = []
    for below, _folders, names in os.walk(folder):
        for path in (Path(below, name) for name in names):
            with suppress(FileNotFoundError):
                status = path.lstat()
                found.append((status.st_mtime_ns, status.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit_bytes:
            return
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s cannot be evicted: %s", path, error)
        else:
            total -= size
            logger.info("evicted %s (%d bytes) from %s", path.name, size, folder)


def _file_name(sha256: str) -> str:
    return sha256.removeprefix("sha256:")


def _pause(seconds: float, check: Callable[[], None]) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        check()
        time.sleep(0.1)
