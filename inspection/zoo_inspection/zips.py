"""Zip archives: the table of contents, checked, and members read in bounds.  Nothing is unpacked to a disk."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from typing import NamedTuple

from zoo_inspection.findings import Report
from zoo_inspection.limits import LimitReached, Malformed
from zoo_inspection.reading import PAGE, Flow, Section

MAX_DIRECTORY = 8 * 2**20
"""Largest table of contents that is read, in bytes."""
MAX_MEMBERS = 60_000
MAX_INFLATED = 16 * 2**20
"""A packed member up to this size is unpacked into memory where its format needs jumping about."""
BOMB_RATIO = 200
BOMB_SIZE = 64 * 2**20
"""A member that grows more than this many times, to more than this size, is called a bomb."""
END, END64, LOCATOR64, ENTRY, LOCAL = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x01\x02", b"PK\x03\x04"
STORED, DEFLATED = 0, 8
SYMLINK = 0o120000


class Member(NamedTuple):
    """An entry of the table of contents.  Sizes in bytes."""

    name: str
    method: int
    packed: int
    size: int
    position: int
    encrypted: bool
    link: bool


@dataclass(frozen=True)
class Archive:
    """The files of an archive by name; folders are left out."""

    section: Section
    members: dict[str, Member]
    entries: int

    def data(self, name: str) -> Section:
        """A member for reading at any position; raises :class:`LimitReached` if it is packed and too large."""
        member = self.members[name]
        packed = self._packed(member)
        if member.method == STORED:
            return packed
        if member.size > MAX_INFLATED:
            raise LimitReached(f"{name[:200]!r} is packed and {member.size} bytes long")
        flow = Inflating(packed)
        data = b"".join(flow.rest(MAX_INFLATED))
        return memory_section(data, self.section)

    def flow(self, name: str) -> Flow:
        """A member from front to back, of any size."""
        member = self.members[name]
        packed = self._packed(member)
        return Flow(packed) if member.method == STORED else Inflating(packed)

    def read(self, name: str, most: int) -> bytes:
        """The first bytes of a member, at most ``most``."""
        flow = self.flow(name)
        pieces, left = [], most
        while left and not flow.at_end():
            piece = flow.take(min(left, flow.held()))
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def _packed(self, member: Member) -> Section:
        if member.encrypted or member.method not in {STORED, DEFLATED}:
            raise Malformed(f"{member.name[:200]!r} is encrypted or packed in an unknown way")
        header = self.section.at(member.position, 30)
        if header[:4] != LOCAL:
            raise Malformed(f"{member.name[:200]!r} is not where the table of contents says")
        name_length, extra_length = struct.unpack_from("<HH", header, 26)
        local = self.section.at(member.position + 30, name_length).decode("utf-8", "replace")
        if local != member.name:
            raise Malformed(f"{member.name[:100]!r} is called {local[:100]!r} elsewhere in the archive")
        return self.section.part(member.position + 30 + name_length + extra_length, member.packed)


def memory_section(data: bytes, like: Section) -> Section:
    """Bytes as a section with the budget of another."""
    return Section(BytesIO(data), start=0, size=len(data), budget=like.budget)


class Inflating(Flow):
    """A packed member, unpacked on the way, a piece at a time."""

    def __init__(self, section: Section) -> None:
        super().__init__(section)
        self._packer = zlib.decompressobj(wbits=-15)
        self._source = Flow(section)
        self._waiting = b""

    def _more(self) -> bytes:
        while True:
            if not self._waiting and not self._packer.eof and not self._source.at_end():
                self._waiting = self._source.take(self._source.held())
            if self._packer.eof or not self._waiting:
                return b""
            try:
                piece = self._packer.decompress(self._waiting, PAGE)
            except zlib.error as error:
                raise Malformed(f"its packed bytes are damaged ({error})") from error
            self._waiting = self._packer.unconsumed_tail
            self.section.budget.spend(len(piece))
            if piece:
                self.position += len(piece)
                return piece

    def _skip_source(self, size: int) -> None:
        while size > 0:
            piece = self._more()
            if not piece:
                raise Malformed("it ends too early")
            if len(piece) > size:
                self.put_back(piece[size:])
            size -= len(piece)


def open_zip(section: Section, report: Report) -> Archive:
    """Read the table of contents, and report what is wrong with it.

    Raises:
        Malformed: there is none, or it does not fit the file.
        LimitReached: it is too long.

    """
    count, size, start = _directory(section)
    if size > MAX_DIRECTORY or count > MAX_MEMBERS:
        raise LimitReached(f"its table of contents has {count} entries in {size} bytes")
    members: dict[str, Member] = {}
    spans: list[tuple[int, int, str]] = []
    entries = 0
    for member in _entries(section.part(start, size), start):
        entries += 1
        spans.append((member.position, member.position + 30 + member.packed, member.name))
        if not _is_fine(member, report):
            continue
        if member.name in members:
            report.dangerous(f"The archive holds {member.name[:200]!r} twice: readers disagree on which one counts.")
        members.setdefault(member.name, member)
    if entries != count:
        raise Malformed(f"its table of contents has {entries} entries and claims {count}")
    _check_overlaps(spans, report)
    return Archive(section, members, entries)


def _directory(section: Section) -> tuple[int, int, int]:
    """Entries, bytes and position of the table of contents."""
    tail_size = min(section.size, 22 + 0xFFFF)
    tail = section.at(section.size - tail_size, tail_size)
    end = tail.rfind(END)
    if end < 0 or len(tail) < end + 22:
        raise Malformed("it has no table of contents; it may be cut")
    count, size, start, comment = struct.unpack_from("<HIIH", tail, end + 10)
    if end + 22 + comment != len(tail):
        raise Malformed("its end record is not at its end")
    position = section.size - tail_size + end
    if position >= 20 and section.at(position - 20, 4) == LOCATOR64:
        (record_at,) = struct.unpack("<Q", section.at(position - 12, 8))
        record = section.at(record_at, 56)
        if record[:4] != END64:
            raise Malformed("its end record for large archives is missing")
        wide = struct.unpack_from("<QQQ", record, 32)
        narrow = (count, 0xFFFF), (size, 0xFFFFFFFF), (start, 0xFFFFFFFF)
        if any(value not in {most, large} for (value, most), large in zip(narrow, wide, strict=True)):
            raise Malformed("its two end records contradict each other")
        (count, size, start), position = wide, record_at
    if start + size != position:
        raise Malformed("bytes lie before the archive or between its parts")
    return count, size, start


def _entries(table: Section, end: int) -> Iterator[Member]:
    position = 0
    while position < table.size:
        table.budget.step()
        header = table.at(position, 46)
        if header[:4] != ENTRY:
            raise Malformed("its table of contents is damaged")
        flags, method = struct.unpack_from("<HH", header, 8)
        packed, size, name_length, extra_length, comment_length = struct.unpack_from("<IIHHH", header, 20)
        attributes, offset = struct.unpack_from("<II", header, 38)
        raw = table.at(position + 46, name_length + extra_length)
        name = raw[:name_length].decode("utf-8", "replace")
        size, packed, offset = _large(raw[name_length:], size, packed, offset)
        if offset + 30 + packed > end:
            raise Malformed(f"{name[:200]!r} is beyond the end; the archive may be cut")
        link = (attributes >> 16) & 0o170000 == SYMLINK
        yield Member(name, method, packed, size, offset, bool(flags & 1), link)
        position += 46 + name_length + extra_length + comment_length


def _large(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """The 64-bit values, where the 32-bit ones say that they are elsewhere."""
    values = [size, packed, offset]
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if kind == 1:
            wide = extra[position + 4 : position + 4 + length]
            for index, value in enumerate(values):
                if value == 0xFFFFFFFF and len(wide) >= 8:
                    values[index], wide = int.from_bytes(wide[:8], "little"), wide[8:]
        position += 4 + length
    return values[0], values[1], values[2]


def _is_fine(member: Member, report: Report) -> bool:
    """Report on the entry's name and kind; False for what is no file to look into."""
    shown = repr(member.name[:200])
    parts = member.name.replace("\\", "/").split("/")
    if member.name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in member.name:
        report.dangerous(f"The archive's entry {shown} would be unpacked outside its folder.")
        return False
    if member.link:
        report.dangerous(f"The archive's entry {shown} is a symbolic link.")
        return False
    if member.encrypted:
        report.suspicious(f"The archive's entry {shown} is encrypted: not looked at.")
    if member.size > BOMB_SIZE and member.size > BOMB_RATIO * member.packed:
        report.suspicious(f"The archive's entry {shown} grows from {member.packed} to {member.size} bytes (a bomb?).")
    return not member.name.endswith("/")


def _check_overlaps(spans: list[tuple[int, int, str]], report: Report) -> None:
    spans.sort()
    for (_, stop, name), (start, _, other) in pairwise(spans):
        if stop > start:
            reason = f"The archive's entries {name[:100]!r} and {other[:100]!r} share bytes (a bomb)."
            report.dangerous(reason)
            return
    if spans and spans[0][0] != 0:
        report.suspicious("Bytes lie before the first entry of the archive.")
