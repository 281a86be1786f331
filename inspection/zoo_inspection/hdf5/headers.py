"""Superblocks and object headers of HDF5: the messages that say what an object is."""

from collections.abc import Iterator
from typing import NamedTuple

from zoo_inspection.limits import LimitReached, Malformed
from zoo_inspection.reading import Section

SIGNATURE = b"\x89HDF\r\n\x1a\n"
CONTINUATION = 0x10
SHARED = 2
MAX_MESSAGES = 20_000
MAX_BLOCKS = 1000
MAX_BYTES = 8 * 2**20


class Sizes(NamedTuple):
    """How many bytes an address and a length take."""

    offset: int
    length: int


class Message(NamedTuple):
    """A message of an object header."""

    kind: int
    shared: bool
    data: bytes


def superblock(section: Section) -> tuple[int, Sizes, int]:
    """The version, the sizes, and the address of the root group's object header."""
    version = section.u8(8)
    if version in {0, 1}:
        sizes = _sizes(section.u8(13), section.u8(14))
        start = (24 if version == 0 else 28) + 4 * sizes.offset
        base, root = address(section, start - 4 * sizes.offset, sizes), address(section, start + sizes.offset, sizes)
    elif version in {2, 3}:
        sizes = _sizes(section.u8(9), section.u8(10))
        base, root = address(section, 12, sizes), address(section, 12 + 3 * sizes.offset, sizes)
    else:
        raise Malformed(f"its superblock is of the unknown version {version}")
    if base != 0:
        raise Malformed("its addresses do not count from its beginning")
    return version, sizes, root


def _sizes(offset: int, length: int) -> Sizes:
    if offset not in {4, 8} or length not in {4, 8}:
        raise Malformed(f"its addresses take {offset} and its lengths {length} bytes")
    return Sizes(offset, length)


def address(section: Section, position: int, sizes: Sizes) -> int:
    """An address in the file.  The undefined one is beyond any end, and fails when it is read."""
    return int.from_bytes(section.at(position, sizes.offset), "little")


def messages(section: Section, position: int, sizes: Sizes) -> list[Message]:
    """All messages of the object header at a position, those of its continuations included."""
    blocks: list[tuple[int, int]] = []
    if section.at(position, 4) == b"OHDR":
        flags, body, size = _start_of_v2(section, position)
        parse, blocks = _v2_messages, [(body, size)]
        skip = 4
    elif section.u8(position) == 1:
        flags, parse, skip = 0, _v1_messages, 0
        blocks = [(position + 16, section.u32(position + 8))]
    else:
        raise Malformed(f"there is no object at {position}")
    found: list[Message] = []
    seen: set[int] = set()
    held = 0
    while blocks:
        start, size = blocks.pop(0)
        if start in seen:
            raise Malformed("an object's header leads back to itself")
        seen.add(start)
        if len(seen) > MAX_BLOCKS or len(found) > MAX_MESSAGES:
            raise LimitReached("an object has too many messages")
        held += size
        if held > MAX_BYTES:
            raise LimitReached(f"the header of an object is longer than {MAX_BYTES} bytes")
        for message in parse(section.part(start, size), flags):
            if message.kind == CONTINUATION and len(message.data) >= sizes.offset + sizes.length:
                there = int.from_bytes(message.data[: sizes.offset], "little")
                length = int.from_bytes(message.data[sizes.offset :][: sizes.length], "little")
                if skip and section.at(there, 4) != b"OCHK":
                    raise Malformed("a continuation of an object's header is missing")
                blocks.append((there + skip, length - 2 * skip))
            else:
                found.append(message)
    return found


def _start_of_v2(section: Section, position: int) -> tuple[int, int, int]:
    if section.u8(position + 4) != 2:
        raise Malformed("an object's header is of an unknown version")
    flags = section.u8(position + 5)
    at = position + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    return flags, at + width, int.from_bytes(section.at(at, width), "little")


def _v1_messages(block: Section, _flags: int, /) -> Iterator[Message]:
    position = 0
    while position + 8 <= block.size:
        block.budget.step()
        head = block.at(position, 8)
        size = int.from_bytes(head[2:4], "little")
        kind = int.from_bytes(head[:2], "little")
        yield Message(kind, bool(head[4] & SHARED), block.at(position + 8, size))
        position += 8 + size


def _v2_messages(block: Section, flags: int, /) -> Iterator[Message]:
    position, extra = 0, 2 if flags & 4 else 0
    while position + 4 + extra <= block.size:
        block.budget.step()
        head = block.at(position, 4)
        size = int.from_bytes(head[1:3], "little")
        yield Message(head[0], bool(head[3] & SHARED), block.at(position + 4 + extra, size))
        position += 4 + extra + size
