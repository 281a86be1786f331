"""Datatypes, shapes, attributes and layouts as HDF5's object headers describe them."""

from dataclasses import dataclass

from zoo_inspection.limits import Malformed
from zoo_inspection.tables import MAX_AXES, elements_of

FIXED, FLOAT, STRING, BITS, COMPOUND, REFERENCE, ENUM, VARIABLE = 0, 1, 3, 4, 6, 7, 8, 9
MANTISSAS = {(2, 10): "float16", (2, 7): "bfloat16", (4, 23): "float32", (8, 52): "float64"}
CONTIGUOUS_CLASSES = {0: "compact", 1: "contiguous", 2: "chunked", 3: "virtual"}
FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}


@dataclass(frozen=True)
class Datatype:
    """``name`` in numpy's words, or ``string`` or ``vlen-string``; bytes of one element."""

    name: str
    size: int


def datatype(data: bytes) -> Datatype:
    """Read a datatype message."""
    if len(data) < 8:
        raise Malformed("a datatype is cut")
    kind, bits, size = data[0] & 15, data[1], int.from_bytes(data[4:8], "little")
    if kind == FIXED:
        return Datatype(f"{'' if bits & 8 else 'u'}int{8 * size}" if size in {1, 2, 4, 8} else f"integer{size}", size)
    if kind == FLOAT:
        mantissa = data[15] if len(data) > 15 else 0
        return Datatype(MANTISSAS.get((size, mantissa), f"float of {size} bytes"), size)
    if kind == STRING:
        return Datatype("string", size)
    if kind == ENUM:
        return Datatype("bool" if size == 1 else f"enum{8 * size}", size)
    if kind == VARIABLE:
        return Datatype("vlen-string" if bits & 15 == 1 else "vlen", size)
    return Datatype({BITS: "bits", COMPOUND: "compound", REFERENCE: "reference"}.get(kind, f"class {kind}"), size)


def dataspace(data: bytes, length_size: int) -> tuple[int, ...] | None:
    """The shape; ``()`` for a scalar, None for no data at all."""
    if len(data) < 4 or data[0] not in {1, 2}:
        raise Malformed("a dataspace is of an unknown version")
    rank = data[1]
    if data[0] == 2 and data[3] == 2:
        return None
    start = 8 if data[0] == 1 else 4
    if rank > MAX_AXES or len(data) < start + rank * length_size:
        raise Malformed(f"a dataspace has {rank} axes")
    parts = (data[start + axis * length_size :][:length_size] for axis in range(rank))
    shape = tuple(int.from_bytes(part, "little") for part in parts)
    elements_of(shape)
    return shape


@dataclass(frozen=True)
class Attribute:
    """An attribute whose value is not read yet: the bytes of its elements."""

    name: str
    kind: Datatype
    shape: tuple[int, ...] | None
    raw: bytes


def attribute(data: bytes, length_size: int) -> Attribute:
    """Read an attribute message (versions 1 to 3)."""
    if len(data) < 9 or data[0] not in {1, 2, 3}:
        raise Malformed("an attribute is of an unknown version")
    version, shared = data[0], data[1] if data[0] > 1 else 0
    sizes = [int.from_bytes(data[at : at + 2], "little") for at in (2, 4, 6)]
    position, parts = 9 if version == 3 else 8, []
    for size in sizes:
        parts.append(data[position : position + size])
        position += (size + 7) // 8 * 8 if version == 1 else size
    if position > len(data):
        raise Malformed("an attribute is cut")
    if shared & 3:
        raise Malformed("an attribute shares its datatype with another, which is not looked at")
    name = parts[0].split(b"\0", 1)[0].decode("utf-8", "replace")
    return Attribute(name, datatype(parts[1]), dataspace(parts[2], length_size), data[position:])


def layout_class(data: bytes) -> str:
    """Where a data set's bytes are: ``compact``, ``contiguous``, ``chunked`` or ``virtual``."""
    if len(data) < 3 or data[0] not in {1, 2, 3, 4, 5}:
        raise Malformed("a data layout is of an unknown version")
    return CONTIGUOUS_CLASSES.get(data[1] if data[0] > 2 else data[2], "unknown")


def unknown_filters(data: bytes) -> list[int]:
    """The numbers of filters that Keras does not use.  A filter may be a library that is loaded."""
    if len(data) < 2 or data[0] not in {1, 2}:
        raise Malformed("a filter pipeline is of an unknown version")
    found, position = [], 8 if data[0] == 1 else 2
    for _ in range(min(data[1], 32)):
        number = int.from_bytes(data[position : position + 2], "little")
        named = data[0] == 1 or number >= 256
        name_size = int.from_bytes(data[position + 2 : position + 4], "little") if named else 0
        at = position + (6 if named else 4)
        values = int.from_bytes(data[at : at + 2], "little")
        position = at + 2 + name_size + 4 * values + (4 if data[0] == 1 and values % 2 else 0)
        found += [number] if number not in FILTERS else []
    return found
