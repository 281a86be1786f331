"""Arrays of data sets: numpy's .npy and .npz, and IDX."""

import zlib
from math import prod

from zoo_inspection.findings import Report
from zoo_inspection.reading import Section
from zoo_inspection.zips import Archive

NPY_MAGIC = b"\x93NUMPY"
NPY_HEADER = 4096
MAX_ARRAYS = 64
IDX_ITEM_SIZES = {0x08: 1, 0x09: 1, 0x0B: 2, 0x0C: 4, 0x0D: 4, 0x0E: 8}
IDX_MAX_DIMENSIONS = 8


def inspect_npy(section: Section, report: Report) -> None:
    """One array; ``opaque``, since no data set is one array."""
    report.facts["kind"] = "npy"
    if holds_objects(section.head(NPY_HEADER)):
        report.dangerous("The array holds Python objects: loading it unpickles them.")


def inspect_npz(archive: Archive, report: Report) -> None:
    """Several arrays by name."""
    report.format = "npz"
    report.facts["members"] = len(archive.members)
    for name in list(archive.members)[:MAX_ARRAYS]:
        if holds_objects(archive.read(name, NPY_HEADER)):
            report.dangerous(f"The array {name[:200]} holds Python objects: loading it unpickles them.")
    if len(archive.members) > MAX_ARRAYS:
        report.suspicious(f"{len(archive.members)} arrays: not all were looked at.")


def holds_objects(header: bytes) -> bool:
    """Whether an array's header names Python objects as its elements, alone or in a record."""
    return b"|O" in header[:NPY_HEADER]


def idx_shape(start: bytes, size: int | None) -> list[int] | None:
    """The shape that an IDX header states; None: it is none, or not of ``size`` bytes."""
    if len(start) < 8 or start[:2] != b"\0\0" or start[2] not in IDX_ITEM_SIZES:
        return None
    dimensions = start[3]
    if not 1 <= dimensions <= IDX_MAX_DIMENSIONS or len(start) < 4 + 4 * dimensions:
        return None
    shape = [int.from_bytes(start[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(dimensions)]
    expected = 4 + 4 * dimensions + prod(shape) * IDX_ITEM_SIZES[start[2]]
    return shape if size in {None, expected} else None


def idx_in_gzip(head: bytes) -> list[int] | None:
    """The same for a file that is packed by gzip, by its first bytes."""
    try:
        return idx_shape(zlib.decompressobj(wbits=31).decompress(head, 4096), None)
    except zlib.error:
        return None
