"""Groups, data sets and attributes of an HDF5 file.  Bodies of data sets are not read."""

from collections.abc import Iterator
from dataclasses import dataclass

from zoo_inspection.hdf5 import kinds
from zoo_inspection.hdf5.headers import Message, Sizes, messages, superblock
from zoo_inspection.limits import LimitReached, Malformed
from zoo_inspection.reading import Section

DATASPACE, LINK_INFO, DATATYPE, LINK, EXTERNAL_FILES, LAYOUT = 0x01, 0x02, 0x03, 0x06, 0x07, 0x08
FILTERS, ATTRIBUTE, SYMBOL_TABLE, ATTRIBUTE_INFO = 0x0B, 0x0C, 0x11, 0x15
MAX_OBJECTS = 100_000
MAX_HEAPS = 4
"""Heaps of texts that are remembered at a time."""
MAX_PATH = 300
MAX_TEXTS = 65_536
MAX_TEXT_BYTES = 8 * 2**20
MAX_LEVELS = 32
SOFT_LINK = 2


@dataclass(frozen=True)
class Link:
    """A name in a group: ``hard`` to an object's ``address``, ``soft`` or ``external`` to ``target``."""

    name: str
    kind: str
    address: int = 0
    target: str = ""


@dataclass(frozen=True)
class Dataset:
    """What a data set holds and where its bytes are (see :func:`zoo_inspection.hdf5.kinds.layout_class`)."""

    dtype: str
    item_size: int
    shape: tuple[int, ...] | None
    layout: str
    unknown_filters: tuple[int, ...]
    external: bool
    position: int | None
    stored: int | None


class Node:
    """An object of the file: a group or a data set, with attributes."""

    def __init__(self, file: "File", position: int) -> None:
        self.file = file
        self.position = position
        self.messages: list[Message] = messages(file.section, position, file.sizes)

    def _of(self, kind: int) -> list[Message]:
        return [message for message in self.messages if message.kind == kind]

    @property
    def is_dataset(self) -> bool:
        return bool(self._of(LAYOUT))

    @property
    def is_dense(self) -> bool:
        """Whether links or attributes are kept in a heap, which is not looked into."""
        return any(self._heap(kind) for kind in (LINK_INFO, ATTRIBUTE_INFO))

    def _heap(self, kind: int) -> bool:
        width = self.file.sizes.offset
        for message in self._of(kind):
            flags = message.data[1] if len(message.data) > 1 else 0
            start = 2 + ((8 if kind == LINK_INFO else 2) if flags & 1 else 0)
            if message.data[start : start + width] not in {b"\xff" * width, b""}:
                return True
        return False

    def attributes(self) -> dict[str, kinds.Attribute]:
        """The attributes by name, without their values."""
        width = self.file.sizes.length
        found = [kinds.attribute(message.data, width) for message in self._of(ATTRIBUTE) if not message.shared]
        return {item.name: item for item in found}

    def dataset(self) -> Dataset:
        """The description of a data set."""
        shape, kind = None, None
        for message in self._of(DATASPACE):
            shape = kinds.dataspace(message.data, self.file.sizes.length)
        for message in self._of(DATATYPE):
            if message.shared:
                raise Malformed("a data set shares its datatype with another, which is not looked at")
            kind = kinds.datatype(message.data)
        if kind is None:
            raise Malformed("a data set has no datatype")
        layout = self._of(LAYOUT)[0].data
        where = kinds.layout_class(layout)
        position, stored = self._contiguous(layout) if where == "contiguous" else (None, None)
        filters = tuple(number for message in self._of(FILTERS) for number in kinds.unknown_filters(message.data))
        return Dataset(kind.name, kind.size, shape, where, filters, bool(self._of(EXTERNAL_FILES)), position, stored)

    def _contiguous(self, layout: bytes) -> tuple[int | None, int | None]:
        """Address and bytes; None for what was never written or is told in an old way."""
        sizes = self.file.sizes
        if layout[0] < 3:
            return None, None
        position = int.from_bytes(layout[2 : 2 + sizes.offset], "little")
        stored = int.from_bytes(layout[2 + sizes.offset :][: sizes.length], "little")
        return (None, None) if position == 2 ** (8 * sizes.offset) - 1 else (position, stored)

    def links(self) -> Iterator[Link]:
        """The names of a group."""
        for message in self._of(SYMBOL_TABLE):
            yield from self.file.symbols(message.data)
        for message in self._of(LINK):
            yield _link(message.data, self.file.sizes)


def _link(data: bytes, sizes: Sizes) -> Link:
    if len(data) < 4 or data[0] != 1:
        raise Malformed("a link is of an unknown version")
    flags, position = data[1], 2
    kind = data[position] if flags & 8 else 0
    position += (1 if flags & 8 else 0) + (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
    width = 1 << (flags & 3)
    length = int.from_bytes(data[position : position + width], "little")
    position += width
    name = data[position : position + length].decode("utf-8", "replace")
    rest = data[position + length :]
    if kind == 0:
        return Link(name, "hard", int.from_bytes(rest[: sizes.offset], "little"))
    target = rest[2:202].decode("utf-8", "replace")
    return Link(name, "soft" if kind == 1 else "external", target=target)


class File:
    """An HDF5 file; raises :class:`Malformed` or :class:`LimitReached` for what does not fit."""

    def __init__(self, section: Section) -> None:
        self.section = section
        self.version, self.sizes, root = superblock(section)
        self.objects = 0
        self.root = self.node(root)

    def node(self, position: int) -> Node:
        """The object at an address."""
        self.objects += 1
        if self.objects > MAX_OBJECTS:
            raise LimitReached(f"it holds more than {MAX_OBJECTS} objects")
        return Node(self, position)

    def symbols(self, table: bytes) -> Iterator[Link]:
        """The names of an old-style group: a B-tree of symbol nodes, with the names in a heap."""
        offset = self.sizes.offset
        tree, heap = (int.from_bytes(table[at : at + offset], "little") for at in (0, offset))
        names = self._heap_data(heap)
        waiting, seen = [(tree, 0)], set()
        while waiting:
            position, level = waiting.pop()
            if position in seen or level > MAX_LEVELS:
                raise Malformed("a group's tree leads back to itself")
            seen.add(position)
            if self.section.at(position, 4) == b"SNOD":
                yield from self._symbol_node(position, names)
            else:
                children = self._children(position)
                waiting += [(child, level + 1) for child in reversed(children)]

    def _children(self, position: int) -> list[int]:
        if self.section.at(position, 5) != b"TREE\0":
            raise Malformed("a group's tree is damaged")
        offset, length = self.sizes
        count = self.section.u16(position + 6)
        self.section.budget.step(count)
        start = position + 8 + 2 * offset + length
        raw = self.section.at(start, count * (offset + length))
        return [
            int.from_bytes(raw[at : at + offset], "little")
            for at in range(0, count * (offset + length), offset + length)
        ]

    def _symbol_node(self, position: int, names: Section) -> Iterator[Link]:
        offset = self.sizes.offset
        size = 2 * offset + 24
        for index in range(self.section.u16(position + 6)):
            self.section.budget.step()
            entry = self.section.at(position + 8 + index * size, size)
            name = _text_at(names, int.from_bytes(entry[:offset], "little"))
            there = int.from_bytes(entry[offset : 2 * offset], "little")
            if int.from_bytes(entry[2 * offset : 2 * offset + 4], "little") == SOFT_LINK:
                target = _text_at(names, int.from_bytes(entry[2 * offset + 8 :][:4], "little"))
                yield Link(name, "soft", target=target)
            else:
                yield Link(name, "hard", there)

    def _heap_data(self, position: int) -> Section:
        if self.section.at(position, 4) != b"HEAP":
            raise Malformed("a group's heap of names is missing")
        offset, length = self.sizes
        size = int.from_bytes(self.section.at(position + 8, length), "little")
        start = int.from_bytes(self.section.at(position + 8 + 2 * length, offset), "little")
        return self.section.part(start, size)

    def texts(self, item: kinds.Attribute) -> list[str]:
        """The texts of an attribute; raises :class:`Malformed` if it holds none."""
        count = 1
        for length in () if item.shape is None else item.shape:
            count *= length
        count = 0 if item.shape is None else count
        if count > MAX_TEXTS or count * item.kind.size > len(item.raw):
            raise Malformed(f"the attribute {item.name[:100]!r} is longer than what it holds")
        parts = [item.raw[at * item.kind.size : (at + 1) * item.kind.size] for at in range(count)]
        if item.kind.name == "string":
            return [part.rstrip(b"\0").decode("utf-8", "replace") for part in parts]
        if item.kind.name == "vlen-string":
            return [part.decode("utf-8", "replace") for part in self._from_heap(parts)]
        raise Malformed(f"the attribute {item.name[:100]!r} holds no text")

    def text(self, attributes: dict[str, kinds.Attribute], name: str) -> str | None:
        """The first text of an attribute; None if there is no such attribute."""
        found = self.texts(attributes[name]) if name in attributes else []
        return found[0] if found else None

    def _from_heap(self, references: list[bytes]) -> Iterator[bytes]:
        """Texts of any length lie in a heap: length (4 bytes), address, index (4 bytes)."""
        offset, left = self.sizes.offset, MAX_TEXT_BYTES
        heaps: dict[int, dict[int, tuple[int, int]]] = {}
        for reference in references:
            length = int.from_bytes(reference[:4], "little")
            there = int.from_bytes(reference[4 : 4 + offset], "little")
            index = int.from_bytes(reference[4 + offset : 8 + offset], "little")
            left -= length
            if left < 0:
                raise LimitReached(f"an attribute's texts are longer than {MAX_TEXT_BYTES} bytes")
            if length == 0:
                yield b""
                continue
            if there not in heaps:
                if len(heaps) >= MAX_HEAPS:
                    heaps.clear()
                heaps[there] = self._global_heap(there)
            if index not in heaps[there] or heaps[there][index][1] < length:
                raise Malformed("an attribute's text is not where it should be")
            yield self.section.at(heaps[there][index][0], length)

    def _global_heap(self, position: int) -> dict[int, tuple[int, int]]:
        if self.section.at(position, 4) != b"GCOL":
            raise Malformed("a heap of texts is missing")
        length = self.sizes.length
        size = int.from_bytes(self.section.at(position + 8, length), "little")
        heap = self.section.part(position, size)
        found, at, head = {}, 8 + length, 8 + length
        while at + head <= heap.size:
            heap.budget.step()
            index = heap.u16(at)
            if index == 0:
                break
            object_size = int.from_bytes(heap.at(at + 8, length), "little")
            found[index] = (position + at + head, object_size)
            at += head + (object_size + 7) // 8 * 8
        return found


def walk(file: File, start: Node, path: str = "") -> Iterator[tuple[str, Node | None, Link | None]]:
    """Every object below a group with its path; of soft and external links the link instead of the object."""
    waiting = [(path, start.position)]
    seen = {start.position}
    while waiting:
        here, position = waiting.pop()
        groups = []
        for link in file.node(position).links():
            full = f"{here}/{link.name}"[:MAX_PATH]
            if link.kind != "hard":
                yield full, None, link
            elif link.address not in seen:
                seen.add(link.address)
                child = file.node(link.address)
                yield full, child, None
                if not child.is_dataset:
                    groups.append((full, child.position))
        waiting += reversed(groups)


def _text_at(names: Section, position: int) -> str:
    piece = names.at(position, min(1024, max(names.size - position, 0)))
    end = piece.find(b"\0")
    if end < 0:
        raise Malformed("a name is longer than 1024 bytes")
    return piece[:end].decode("utf-8", "replace")
