"""Downloads of single files: parallel ranges into a part file, resumable by any process, digest checked, atomic."""

import errno
import fcntl
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from zoo_client.api import wait_seconds
from zoo_client.errors import NoRoom, ServerFault, Unreachable
from zoo_client.transfer.body import write_body
from zoo_client.transfer.coverage import Coverage, RangeJournal
from zoo_client.transfer.digests import Progress, digest_of_file, ignore_progress
from zoo_client.transfer.follower import digest_while_arriving
from zoo_client.transfer.wire import Broken, Exchange, Wire
from zoo_sdk.errors import Conflict, IntegrityError, Unavailable, ZooError

SEGMENT_BYTES = 64 * 1024 * 1024
"""What one request asks for.  Segments are taken in file order, so that hashing can follow close behind."""
NOTE_BYTES = 4 * 1024 * 1024
"""After how many bytes the journal and the hashing thread hear of them."""
CONNECTIONS = 2
"""Enough to keep a local link busy while hashing; more pays where each connection is slow (`--connections`)."""
FRUITLESS_TRIES = 6
_CONTENT_RANGE = re.compile(r"^bytes (\d+)-(\d+)/(\d+)$")


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch: its URL, and what its bytes must be."""

    address: str
    sha256: str
    size: int


def download_file(
    wire: Wire,
    remote: RemoteFile,
    destination: Path,
    *,
    connections: int = CONNECTIONS,
    progress: Progress = ignore_progress,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Fetch a file; True if bytes were fetched, False if ``destination`` held the right bytes already.

    The bytes gather in ``.<digest>.part`` beside ``destination``, with a journal of the ranges done; both outlive
    a kill and are used by the next call.  The name ``destination`` appears only when the digest is right.  Nothing is
    fsynced, as by other download tools: the registry has the bytes, so a file that loses them with the machine's power
    is not worth the wait for the disk; the next call finds out by the digest and fetches it again.

    Raises:
        IntegrityError: the server's bytes are not what the digest says; nothing is left behind.
        Gone, NotFound, PermissionDenied: the registry's answer.
        Unreachable: the connection broke again and again without any byte in between.
        Conflict: another process is fetching the same file into the same folder.
        NoRoom: the disk is full.

    """
    if holds(destination, remote):
        progress(remote.size)
        return False
    part = destination.with_name(f".{remote.sha256.removeprefix('sha256:')[:32]}.part")
    try:
        with _locked(part, destination) as descriptor:
            _fetch(_Fetch(wire, remote, descriptor, max(1, connections), progress, sleep), part)
            part.replace(destination)
    except IntegrityError:
        part.unlink(missing_ok=True)
        part.with_suffix(".ranges").unlink(missing_ok=True)
        raise
    except OSError as error:
        raise _disk_error(error, destination) from error
    return True


def holds(path: Path, remote: RemoteFile) -> bool:
    """Whether ``path`` is a regular file (no link) with the right size and digest."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == remote.size and digest_of_file(path) == remote.sha256


@contextmanager
def _locked(part: Path, destination: Path) -> Iterator[int]:
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"Another process is fetching {destination.name} into {destination.parent}.",
                hint="Wait until it has ended.",
            ) from None
        if not part.exists() or os.fstat(descriptor).st_ino != part.lstat().st_ino:
            raise Conflict(f"Another process has just fetched {destination.name}.", hint="Run it again.")
        yield descriptor
    finally:
        os.close(descriptor)


@dataclass
class _Fetch:
    """One download under way."""

    wire: Wire
    remote: RemoteFile
    descriptor: int
    connections: int
    progress: Progress
    sleep: Callable[[float], None]
    coverage: Coverage = field(default_factory=Coverage)
    stopped: threading.Event = field(default_factory=threading.Event)
    errors: list[BaseException] = field(default_factory=list)

    def stop(self, error: BaseException | None = None) -> None:
        """End all threads; the first error is the one to tell."""
        if error is not None:
            self.errors.append(error)
        self.stopped.set()
        self.coverage.stop()
        self.wire.interrupt()


def _fetch(fetch: _Fetch, part: Path) -> None:
    """Fill the part file.  Wrong bytes of an earlier process are fetched once more, others are refused."""
    remote = fetch.remote
    with RangeJournal(part.with_suffix(".ranges"), sha256=remote.sha256, size=remote.size) as journal:
        fetch.coverage = journal.load()
        missing = fetch.coverage.missing(remote.size)
        resumed = os.fstat(fetch.descriptor).st_size == remote.size and missing != [(0, remote.size)]
        if resumed:
            journal.start(fresh=False)
            fetch.progress(remote.size - sum(end - start for start, end in missing))
            if _fill(fetch, journal) == remote.sha256:
                journal.remove()
                return
            fetch.progress(-remote.size)
        fetch.coverage = Coverage()
        os.ftruncate(fetch.descriptor, 0)
        os.ftruncate(fetch.descriptor, remote.size)
        journal.start(fresh=True)
        found = _fill(fetch, journal)
        journal.remove()
        if found != remote.sha256:
            raise IntegrityError(
                f"The bytes from {remote.address} are {found}, not {remote.sha256}.",
                hint="They were thrown away. Try again; if it happens again, tell the registry's administrator.",
                facts={"expected": remote.sha256, "found": found},
            )


def _fill(fetch: _Fetch, journal: RangeJournal) -> str:
    """Fetch what is missing with a thread for each connection, hash in this one what has come; answer the digest."""
    segments: SimpleQueue[tuple[int, int]] = SimpleQueue()
    for start, end in fetch.coverage.missing(fetch.remote.size):
        for begin in range(start, end, SEGMENT_BYTES):
            segments.put((begin, min(end, begin + SEGMENT_BYTES)))
    count = min(fetch.connections, segments.qsize())
    threads = [threading.Thread(target=_work, args=(fetch, journal, segments), daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        found = digest_while_arriving(fetch.descriptor, fetch.remote.size, fetch.coverage)
    except BaseException:
        fetch.stop()
        raise
    finally:
        for thread in threads:
            thread.join()
    if fetch.errors:
        raise fetch.errors[0]
    return found or ""


def _work(fetch: _Fetch, journal: RangeJournal, segments: SimpleQueue[tuple[int, int]]) -> None:
    try:
        while not fetch.stopped.is_set():
            try:
                start, end = segments.get_nowait()
            except Empty:
                return
            _fetch_segment(fetch, journal, start, end)
    except BaseException as error:  # noqa: BLE001  handed to the thread that waits for us
        fetch.stop(error)


def _fetch_segment(fetch: _Fetch, journal: RangeJournal, start: int, end: int) -> None:
    """Fetch ``[start, end)``, beginning again after each break where the last byte was written."""
    note = _Note(fetch, journal, start)
    fruitless = 0
    while note.position < end:
        before = note.position
        wait: str | None = None
        try:
            _request_range(fetch, note, end)
        except Broken as error:
            reason: ZooError = Unreachable(
                f"The download broke off: {error}.", hint="Run it again: it goes on where it was."
            )
        except Unavailable as error:
            reason, wait = error, error.facts.get("retry_after")
        else:
            continue
        finally:
            note.flush()
        if fetch.stopped.is_set():
            return
        fruitless = fruitless + 1 if note.position == before else 1
        if fruitless >= FRUITLESS_TRIES:
            raise reason
        fetch.sleep(wait_seconds(fruitless, wait))


@dataclass
class _Note:
    """How far a segment is, told to the journal and the hashing thread every few MiB."""

    fetch: _Fetch
    journal: RangeJournal
    position: int
    noted: int = -1

    def __post_init__(self) -> None:
        self.noted = self.position

    def __call__(self, count: int) -> None:
        self.position += count
        self.fetch.progress(count)
        if self.position - self.noted >= NOTE_BYTES:
            self.flush()
        if self.fetch.stopped.is_set():
            raise Broken("stopped")

    def flush(self) -> None:
        """Tell what is not told yet."""
        if self.position > self.noted:
            self.fetch.coverage.add(self.noted, self.position)
            self.journal.add(self.noted, self.position)
            self.noted = self.position


def _request_range(fetch: _Fetch, note: _Note, end: int) -> None:
    start = note.position
    headers = {"Range": f"bytes={start}-{end - 1}"}
    with fetch.wire.get(fetch.remote.address, headers) as exchange:
        _check_answer(exchange, fetch.remote, start, end)
        write_body(exchange, fetch.descriptor, start, end - start, timeout=fetch.wire.timeout, written=note)


def _check_answer(exchange: Exchange, remote: RemoteFile, start: int, end: int) -> None:
    """Refuse an answer that is not the asked range of the expected file, before a byte of it is written."""
    response = exchange.response
    etag = response.headers.get("ETag", "").strip('"')
    if etag.startswith("sha256:") and etag != remote.sha256:
        raise IntegrityError(f"The server holds {etag} under {remote.address}, not {remote.sha256}.")
    if response.status == 206:
        found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if found and tuple(map(int, found.groups())) == (start, end - 1, remote.size):
            return
    elif response.status == 200 and start == 0 and response.length == remote.size:
        return
    raise ServerFault(
        f"{remote.address} answered bytes {start}-{end - 1} of {remote.size} with status {response.status} "
        f"and the range {response.headers.get('Content-Range', 'none')!r}.",
        hint="Something between here and the registry changes its answers, or the file is not the announced one.",
    )


def _disk_error(error: OSError, destination: Path) -> Exception:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return NoRoom(
            f"No space left in {destination.parent} for {destination.name}.",
            hint="Free some space and run it again: it goes on where it was.",
        )
    return error
