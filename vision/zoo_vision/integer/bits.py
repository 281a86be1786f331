"""Whole numbers packed to 2 to 8 bits each, without gaps."""

import numpy as np
from numpy.typing import NDArray

from zoo_sdk.errors import InvalidInput

CODES_AT_ONCE = 2**20
"""Bounds the memory of packing; a multiple of 8, so that each part ends with a whole byte."""


def packed_size(count: int, bits: int) -> int:
    """Bytes that ``count`` codes of ``bits`` take."""
    return -(-count * bits // 8)


def pack(codes: NDArray[np.int16], bits: int, lowest: int) -> NDArray[np.uint8]:
    """Codes in ``lowest`` .. ``lowest + 2^bits - 1``, any shape, row by row, to bytes.

    Code k occupies the bits k * bits and following, counted from the lowest bit of the first byte, and holds
    ``code - lowest``.  Unused bits at the end are 0.

    Raises:
        InvalidInput: a code is out of range.

    """
    flat = codes.reshape(-1).astype(np.int64) - lowest
    if flat.size and (flat.min() < 0 or flat.max() >= 2**bits):
        raise InvalidInput(
            f"Codes from {flat.min() + lowest} to {flat.max() + lowest} do not fit {bits} bits from {lowest}.",
            hint="Clip them first.",
        )
    parts = [np.zeros(0, dtype=np.uint8)]
    for start in range(0, flat.size, CODES_AT_ONCE):
        part = flat[start : start + CODES_AT_ONCE].astype(np.uint8)[:, None]
        parts.append(np.packbits(np.unpackbits(part, axis=1, count=bits, bitorder="little"), bitorder="little"))
    return np.concatenate(parts)


def unpack(packed: NDArray[np.uint8], count: int, bits: int, lowest: int) -> NDArray[np.int16]:
    """The inverse of :func:`pack`: int16 (count,).

    Raises:
        InvalidInput: there are too few or too many bytes.

    """
    if packed.size != packed_size(count, bits):
        raise InvalidInput(f"{count} codes of {bits} bits take {packed_size(count, bits)} bytes, not {packed.size}.")
    result = np.empty(count, dtype=np.int16)
    for start in range(0, count, CODES_AT_ONCE):
        size = min(CODES_AT_ONCE, count - start)
        part = packed[start * bits // 8 : start * bits // 8 + packed_size(size, bits)]
        single = np.unpackbits(part, count=size * bits, bitorder="little").reshape(size, bits)
        result[start : start + size] = np.packbits(single, axis=1, bitorder="little")[:, 0]
    return np.add(result, np.int16(lowest), out=result)
