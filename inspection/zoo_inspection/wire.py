"""Protocol buffers as they lie in a file: fields by number, without a schema and without reading the bodies."""

from collections.abc import Iterator
from typing import NamedTuple

from zoo_inspection.limits import Malformed
from zoo_inspection.reading import Section

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """A field: its number and wire type; ``value`` of a number, or where its bytes lie (``start``, ``size``)."""

    number: int
    kind: int
    value: int
    start: int
    size: int


def fields(section: Section, start: int = 0, size: int | None = None) -> Iterator[Field]:
    """The fields of the message at ``start``; raises :class:`Malformed` when they do not end where it does."""
    position = start
    end = section.size if size is None else start + size
    step = section.budget.step
    while position < end:
        step()
        key, position = varint(section, position)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise Malformed("a field has the number 0")
        if kind == VARINT:
            value, position = varint(section, position)
            yield Field(number, kind, value, position, 0)
        elif kind == BYTES:
            length, position = varint(section, position)
            if position + length > end:
                raise Malformed(f"a field of {length} bytes is longer than what holds it; it may be cut")
            yield Field(number, kind, 0, position, length)
            position += length
        elif kind in {FIXED64, FIXED32}:
            length = 8 if kind == FIXED64 else 4
            if position + length > end:
                raise Malformed("a number is cut")
            yield Field(number, kind, 0, position, length)
            position += length
        else:
            raise Malformed(f"a field is of the unknown kind {kind}")
    if position != end:
        raise Malformed("its fields end too late")


def varint(section: Section, position: int) -> tuple[int, int]:
    """A number of 1 to 10 bytes, and where the next thing begins."""
    value = 0
    for shift in range(0, 70, 7):
        byte = section.at(position, 1)[0]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
    raise Malformed("a number is longer than 10 bytes")


def signed(value: int) -> int:
    """An int64 that was written as a varint."""
    return value - 2**64 if value >= 2**63 else value


def text_of(section: Section, field: Field, most: int = 200) -> str:
    """The first bytes of a field as text."""
    return section.at(field.start, min(field.size, most)).decode("utf-8", "replace") if field.kind == BYTES else ""


def numbers_of(section: Section, field: Field, most: int = 64) -> list[int]:
    """The numbers of a repeated field, packed or single; at most ``most`` of them."""
    if field.kind == VARINT:
        return [signed(field.value)]
    found: list[int] = []
    position = field.start
    while position < field.start + field.size and len(found) < most:
        value, position = varint(section, position)
        found.append(signed(value))
    return found
