"""Bounded reading at any position of a file or of a part of one."""

import struct
from typing import BinaryIO

from zoo_inspection.limits import Budget, LimitReached, Malformed

PAGE = 64 * 2**10
HEAD = 64 * 2**10


class Section:
    """``size`` bytes of a stream from ``start``; positions count from its beginning.

    Small reads are served from a page, so that walking a structure costs few system calls.
    """

    def __init__(self, stream: BinaryIO, *, start: int, size: int, budget: Budget) -> None:
        self.stream = stream
        self.start = start
        self.size = size
        self.budget = budget
        self._page_at = 0
        self._page = b""

    @classmethod
    def whole(cls, stream: BinaryIO, budget: Budget) -> "Section":
        """All of a seekable stream."""
        return cls(stream, start=0, size=stream.seek(0, 2), budget=budget)

    def part(self, position: int, size: int) -> "Section":
        """A part of it; raises :class:`Malformed` if it is not inside."""
        if position < 0 or size < 0 or position + size > self.size:
            raise Malformed(f"{size} bytes at {position} are beyond the end ({self.size})")
        return Section(self.stream, start=self.start + position, size=size, budget=self.budget)

    def at(self, position: int, size: int) -> bytes:
        """Exactly ``size`` bytes; raises :class:`Malformed` beyond the end and :class:`LimitReached` for too many."""
        offset = position - self._page_at
        if offset >= 0 and offset + size <= len(self._page):
            return self._page[offset : offset + size]
        if position < 0 or size < 0 or position + size > self.size:
            raise Malformed(f"{size} bytes at {position} are beyond the end ({self.size})")
        if size > PAGE // 2:
            return self._read(position, size)
        self._page = self._read(position, min(PAGE, self.size - position))
        self._page_at = position
        return self._page[:size]

    def head(self, size: int = HEAD) -> bytes:
        """The first bytes, as many as there are."""
        return self.at(0, min(size, self.size))

    def _read(self, position: int, size: int) -> bytes:
        self.budget.spend(size)
        self.stream.seek(self.start + position)
        pieces, missing = [], size
        while missing:
            piece = self.stream.read(missing)
            if not piece:
                raise Malformed("the file is shorter than it was")
            pieces.append(piece)
            missing -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def u8(self, position: int) -> int:
        return self.at(position, 1)[0]

    def u16(self, position: int) -> int:
        return int.from_bytes(self.at(position, 2), "little")

    def u32(self, position: int) -> int:
        return int.from_bytes(self.at(position, 4), "little")

    def u64(self, position: int) -> int:
        return int.from_bytes(self.at(position, 8), "little")

    def i32(self, position: int) -> int:
        return int(struct.unpack("<i", self.at(position, 4))[0])


class Flow:
    """Bytes from front to back, out of a section or something that is unpacked on the way."""

    def __init__(self, section: Section) -> None:
        self.section = section
        self.position = 0
        self._buffer = b""
        self._offset = 0

    def _more(self) -> bytes:
        """The next piece, empty at the end."""
        size = min(PAGE, self.section.size - self.position)
        piece = self.section.at(self.position, size) if size else b""
        self.position += size
        return piece

    def _skip_source(self, size: int) -> None:
        """Pass over bytes that are not in the buffer."""
        if size > self.section.size - self.position:
            raise Malformed("it ends too early")
        self.position += size

    @property
    def consumed(self) -> int:
        """How many bytes were taken."""
        return self.position - (len(self._buffer) - self._offset)

    def take(self, size: int) -> bytes:
        """Exactly so many bytes; raises :class:`Malformed` at the end."""
        offset = self._offset
        if offset + size > len(self._buffer):
            self._fill(size)
            offset = self._offset
        self._offset = offset + size
        return self._buffer[offset : offset + size]

    def skip(self, size: int) -> None:
        """Pass over so many bytes, of which only what must be is read."""
        held = len(self._buffer) - self._offset
        if size <= held:
            self._offset += size
            return
        self._buffer, self._offset = b"", 0
        self._skip_source(size - held)

    def line(self, most: int = 4096) -> bytes:
        """Bytes up to a line's end, without it; raises :class:`Malformed` for a longer one."""
        while True:
            end = self._buffer.find(b"\n", self._offset, self._offset + most + 1)
            if end >= 0:
                found = self._buffer[self._offset : end]
                self._offset = end + 1
                return found
            if len(self._buffer) - self._offset > most:
                raise Malformed(f"a line is longer than {most} bytes")
            self._fill(len(self._buffer) - self._offset + 1)

    def at_end(self) -> bool:
        """Whether nothing is left."""
        if self._offset < len(self._buffer):
            return False
        self._buffer, self._offset = self._more(), 0
        return not self._buffer

    def peek(self) -> int:
        """The next byte, which stays."""
        if self.at_end():
            raise Malformed("it ends too early")
        return self._buffer[self._offset]

    def _fill(self, size: int) -> None:
        pieces = [self._buffer[self._offset :]]
        held = len(pieces[0])
        while held < size:
            piece = self._more()
            if not piece:
                raise Malformed("it ends too early")
            pieces.append(piece)
            held += len(piece)
        self._buffer, self._offset = b"".join(pieces), 0

    def held(self) -> int:
        """Bytes that can be taken without reading on."""
        return len(self._buffer) - self._offset

    def put_back(self, data: bytes) -> None:
        """Make ``data`` the next bytes; only after everything held was taken."""
        self._buffer, self._offset = data, 0

    def rest(self, most: int) -> "list[bytes]":
        """Everything that is left, in pieces; raises :class:`LimitReached` above ``most`` bytes."""
        pieces, size = [], 0
        while not self.at_end():
            pieces.append(self.take(self.held()))
            size += len(pieces[-1])
            if size > most:
                raise LimitReached(f"it unpacks to more than {most} bytes")
        return pieces
