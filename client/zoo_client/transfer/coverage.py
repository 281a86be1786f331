"""Which bytes of a file have arrived, in memory and in a journal that outlives the process."""

import json
import os
import threading
from bisect import bisect_right
from pathlib import Path
from types import TracebackType
from typing import Self

MAX_JOURNAL_BYTES = 16 * 1024 * 1024


class Coverage:
    """Disjoint ranges ``[start, end)`` that are done; ``wait_beyond`` lets one thread follow the others."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._changed = threading.Condition()
        self._stopped = False

    def add(self, start: int, end: int) -> None:
        """Mark ``[start, end)`` as done."""
        if end <= start:
            return
        with self._changed:
            first = bisect_right(self._starts, start)
            if first and self._ends[first - 1] >= start:
                first -= 1
                start = self._starts[first]
            last = first
            while last < len(self._starts) and self._starts[last] <= end:
                end = max(end, self._ends[last])
                last += 1
            self._starts[first:last] = [start]
            self._ends[first:last] = [end]
            self._changed.notify_all()

    def stop(self) -> None:
        """No more will come: wake the thread that waits."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def wait_beyond(self, position: int) -> int | None:
        """The end of the done bytes that begin at ``position``, as soon as there are any; None after :meth:`stop`."""
        with self._changed:
            while True:
                index = bisect_right(self._starts, position) - 1
                if index >= 0 and self._ends[index] > position:
                    return self._ends[index]
                if self._stopped:
                    return None
                self._changed.wait()

    def missing(self, size: int) -> list[tuple[int, int]]:
        """What is not done of ``[0, size)``, in order."""
        with self._changed:
            edges = [0, *(edge for pair in zip(self._starts, self._ends, strict=True) for edge in pair), size]
        return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if start < end]


class RangeJournal:
    """A text file beside a part file: JSON that says of which file, then a line ``start end`` for each done range.

    Lines are appended after the bytes were written; a torn last line is ignored.  The journal may claim bytes that a
    power failure lost, for the part file is not synchronised before each line: the digest of the whole finds that out.
    """

    def __init__(self, path: Path, *, sha256: str, size: int) -> None:
        self._path = path
        self._header = json.dumps({"sha256": sha256, "size": size}) + "\n"
        self._size = size
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def load(self) -> Coverage:
        """What an earlier process brought; nothing if the journal is of another file."""
        coverage = Coverage()
        for start, end in self._read():
            coverage.add(start, end)
        return coverage

    def start(self, *, fresh: bool) -> None:
        """Open for appending; ``fresh``: begin anew."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | (os.O_TRUNC if fresh else 0)
        self._descriptor = os.open(self._path, flags, 0o666)
        if fresh:
            os.write(self._descriptor, self._header.encode())
        else:
            os.write(self._descriptor, b"\n")  # ends a torn line, so that the next one is whole

    def add(self, start: int, end: int) -> None:
        """Note a range; one ``write`` with O_APPEND, so that threads need no lock."""
        if self._descriptor is not None:
            os.write(self._descriptor, f"{start} {end}\n".encode())

    def remove(self) -> None:
        """The file is complete."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> list[tuple[int, int]]:
        if self._path.is_symlink() or not self._path.is_file() or self._path.stat().st_size > MAX_JOURNAL_BYTES:
            return []
        text = self._path.read_text("ascii", errors="replace")
        if not text.startswith(self._header):
            return []
        found = []
        for line in text[len(self._header) :].split("\n")[:-1]:
            words = line.split(" ")
            if len(words) == 2 and all(word.isdigit() and word.isascii() for word in words):
                start, end = int(words[0]), int(words[1])
                if 0 <= start < end <= self._size:
                    found.append((start, end))
        return found
