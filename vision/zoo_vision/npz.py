"""Reads arrays out of npz archives without unpickling, after checking what their headers claim."""

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_vision.idx import MAX_ARRAY_BYTES

_HEADER_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npz(path: Path, name: str) -> NDArray[Any]:
    """The array called ``name`` in the archive ``path``.

    Raises:
        InvalidInput: no archive, a pickled object array, a size beyond the bound or other than the header's.
        UnknownName: no array of that name.

    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.removesuffix(".npy") for entry in archive.namelist()]
            if name not in names:
                raise UnknownName(f"array of {path.name}", name, names)
            entry = archive.getinfo(f"{name}.npy")
            with archive.open(entry) as stream:
                _check_header(stream, entry, path)
        with np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays[name])
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        raise _invalid(path, name, f"cannot be read ({error})") from error


def _check_header(stream: Any, entry: zipfile.ZipInfo, path: Path) -> None:
    name = entry.filename.removesuffix(".npy")
    version = npy.read_magic(stream)
    if version not in _HEADER_READERS:
        raise _invalid(path, name, f"has the unknown npy version {version}")
    shape, _, dtype = _HEADER_READERS[version](stream)
    if dtype.hasobject:
        raise _invalid(path, name, "holds pickled Python objects, which Zoo never loads")
    wanted = math.prod(shape) * dtype.itemsize
    held = entry.file_size - stream.tell()
    if wanted > MAX_ARRAY_BYTES or wanted != held:
        raise _invalid(
            path,
            name,
            f"claims the shape {shape} ({wanted:,} bytes), "
            f"but holds {held:,} bytes and the limit is {MAX_ARRAY_BYTES:,}",
        )


def _invalid(path: Path, name: str, fault: str) -> InvalidInput:
    return InvalidInput(
        f"The array {name!r} of {path.name!r} {fault}.",
        hint="Write the archive with numpy.savez_compressed from plain integer arrays and register it again.",
        facts={"file": path.name, "array": name},
    )
