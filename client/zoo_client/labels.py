"""Reads the highest label out of an npz archive without numpy: a client must not need a numerics library."""

import ast
import sys
import zipfile
import zlib
from array import array
from pathlib import Path

from zoo_sdk.errors import InvalidInput

MAX_LABEL_BYTES = 512 * 1024 * 1024
MAX_HEADER_BYTES = 64 * 1024
_MAGIC = b"\x93NUMPY"
_CODES = {"u1": "B", "i1": "b", "u2": "H", "i2": "h", "u4": "I", "i4": "i", "u8": "Q", "i8": "q"}


def npz_arrays(path: Path) -> list[str]:
    """The names of the arrays in an archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except (OSError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"{path} is not an npz archive: {error}.") from error


def highest_npz_label(path: Path, name: str) -> int:
    """The largest value of an integer array; raises :class:`InvalidInput` for other arrays."""
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(f"{name}.npy")
            if entry.file_size > MAX_LABEL_BYTES:
                raise InvalidInput(f"The labels {name!r} in {path} are larger than {MAX_LABEL_BYTES} bytes.")
            content = archive.read(entry)
    except (OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidInput(f"{name!r} in {path} cannot be read: {error}.") from error
    return _highest(content, f"{name!r} in {path}")


def _highest(content: bytes, what: str) -> int:
    """The npy format: magic, version, length of the header, the header as a Python literal, the data."""
    width = 2 if content[6:7] == b"\x01" else 4
    length = int.from_bytes(content[8 : 8 + width], "little")
    start = 8 + width + length
    try:
        header = ast.literal_eval(content[8 + width : start].decode("latin-1")) if length <= MAX_HEADER_BYTES else {}
        order, code = header["descr"][0], _CODES[header["descr"][1:]]
        if content.startswith(_MAGIC) and order in "|<" and sys.byteorder == "little":
            return max(array(code, content[start:]))
    except (ValueError, KeyError, TypeError, SyntaxError, IndexError):
        pass
    raise InvalidInput(f"{what} is no array of whole numbers.", hint="Store labels as integers from 0.")
