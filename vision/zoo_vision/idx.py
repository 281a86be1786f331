"""Reads IDX files (the format of MNIST), plain or gzipped, trusting nothing that their headers claim.

Source: http://yann.lecun.com/exdb/mnist/ ("the IDX file format"): two zero bytes, a type byte, the number of
dimensions, each dimension as a big-endian unsigned 32-bit integer, then the values in row-major order.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from zoo_sdk.errors import InvalidInput

MAX_ARRAY_BYTES = 8 * 1024**3
MAX_DEFLATE_RATIO = 1032
"""Deflate cannot expand by more than this, so a header that claims more than that is a lie that needs no reading."""

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4"}
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 1024**2


def read_idx(path: Path, *, dimensions: tuple[int, ...]) -> NDArray[Any]:
    """The integer array in ``path`` with its own dtype.

    Args:
        path: the file; compression is recognised by content, not by name.
        dimensions: the allowed numbers of dimensions, such as ``(1,)`` for labels.

    Raises:
        InvalidInput: wrong magic, type or dimensions, a size beyond the bound, too few or too many bytes.

    """
    size = path.stat().st_size
    with path.open("rb") as raw:
        packed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        # GzipFile reads like a binary file; its type is only nominally another.
        stream = cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if packed else raw
        try:
            dtype, shape = _read_header(stream, path, dimensions)
            wanted = math.prod(shape) * dtype.itemsize
            possible = size * MAX_DEFLATE_RATIO if packed else size - 4 - 4 * len(shape)
            if wanted > min(MAX_ARRAY_BYTES, possible):
                raise _invalid(
                    path,
                    f"claims {' x '.join(map(str, shape))} values ({wanted:,} bytes), "
                    f"but holds at most {max(possible, 0):,} bytes and the limit is {MAX_ARRAY_BYTES:,}",
                )
            data = _read_exactly(stream, path, wanted)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _invalid(path, f"is damaged or truncated gzip data ({error})") from error
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def _read_header(stream: BinaryIO, path: Path, dimensions: tuple[int, ...]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES:
        raise _invalid(path, f"begins with {magic.hex() or 'nothing'}, which is not an IDX header of integers")
    if magic[3] not in dimensions:
        raise _invalid(path, f"has {magic[3]} dimensions where {' or '.join(map(str, dimensions))} are expected")
    lengths = stream.read(4 * magic[3])
    if len(lengths) < 4 * magic[3]:
        raise _invalid(path, "ends inside its header")
    return np.dtype(_TYPES[magic[2]]), struct.unpack(f">{magic[3]}I", lengths)


def _read_exactly(stream: BinaryIO, path: Path, wanted: int) -> bytearray:
    data = bytearray()
    while len(data) < wanted:
        chunk = stream.read(min(_CHUNK_BYTES, wanted - len(data)))
        if not chunk:
            raise _invalid(path, f"ends after {len(data):,} of the {wanted:,} bytes that its header claims")
        data += chunk
    if stream.read(1):
        raise _invalid(path, f"goes on after the {wanted:,} bytes that its header claims")
    return data


def _invalid(path: Path, fault: str) -> InvalidInput:
    return InvalidInput(
        f"The IDX file {path.name!r} {fault}.",
        hint="Register the data set again from a sound copy of the file.",
        facts={"file": path.name},
    )
