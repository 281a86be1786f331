"""What a file is, found from its bytes without executing any of them, and whether loading it could run code.

At most a few MiB are read of any file, whatever its size.
"""

import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from zoo_sdk.formats import FORMATS
from zoo_server.artifacts.archives import inspect_zip
from zoo_server.artifacts.findings import Inspection
from zoo_server.artifacts.pickle_scan import PROTOCOL, SCAN_LIMIT, findings_of, scan_pickles
from zoo_server.artifacts.protobuf import inspect_onnx

HEAD = 64 * 2**10
MAX_SAFETENSORS_HEADER = 8 * 2**20
LARGEST_DIMENSION = 2**53
MAX_JSON = 4 * 2**20
NEWEST_PICKLE_PROTOCOL = 5
IDX_ITEM_SIZES = {0x08: 1, 0x09: 1, 0x0B: 2, 0x0C: 4, 0x0D: 4, 0x0E: 8}
IDX_MAX_DIMENSIONS = 8
OPENVINO_ROOT = re.compile(rb"^(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]{0,200}\?>\s*)?<net\s[^>]{0,2000}version=\"1[01]\"")
UNSTORABLE = re.compile(r"(?<!\\)\\u(?:0000|d[89a-f][0-9a-f]{2})")
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


@dataclass(frozen=True)
class _File:
    stream: BinaryIO
    size: int
    head: bytes
    suffix: str = field(default="")


def inspect_file(path: Path, *, filename: str = "") -> Inspection:
    """Identify the file at ``path``; ``filename`` is what its owner calls it, a hint only for old pickles.

    ``format`` is a name of :data:`zoo_sdk.formats.FORMATS`, or ``png`` or ``jpeg`` (the files of an image folder).
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        file = _File(stream, size, stream.read(HEAD), PurePosixPath(filename).suffix.lower())
        for probe in PROBES:
            stream.seek(0)
            found = probe(file)
            if found is not None:
                return _storable(found)
    return Inspection("opaque")


def _storable(found: Inspection) -> Inspection:
    """Texts that came out of the file without what PostgreSQL cannot keep (NUL, lone surrogates)."""
    facts, findings = (json.loads(UNSTORABLE.sub("?", json.dumps(part))) for part in (found.facts, found.findings))
    return Inspection(found.format, facts, tuple(findings))


def _magic(file: _File) -> Inspection | None:
    if file.head.startswith(b"\x89HDF\r\n\x1a\n"):
        return Inspection("keras-h5")
    if file.head.startswith(b"\x89PNG\r\n\x1a\n"):
        return Inspection("png")
    if file.head.startswith(b"\xff\xd8\xff"):
        return Inspection("jpeg")
    if file.head.startswith(b"\x93NUMPY"):
        return _npy(file)
    if file.head[257:262] == b"ustar":
        return Inspection("opaque", findings=({"severity": "suspicious", "reason": "A tar archive: not scanned."},))
    return None


def _npy(file: _File) -> Inspection:
    danger = {"severity": "dangerous", "reason": "The array holds Python objects: loading it unpickles them."}
    return Inspection("opaque", {"kind": "npy"}, (danger,) if b"'|O'" in file.head[:4096] else ())


def _zip(file: _File) -> Inspection | None:
    return inspect_zip(file.stream, file.size) if file.head.startswith(b"PK\x03\x04") else None


def _pickle(file: _File) -> Inspection | None:
    has_protocol = file.head[:1] == bytes([PROTOCOL]) and file.head[1:2] <= bytes([NEWEST_PICKLE_PROTOCOL])
    is_called_pickle = file.suffix in FORMATS["pickle"].suffixes
    if not file.head or not (has_protocol or is_called_pickle):
        return None
    data = file.stream.read(SCAN_LIMIT)
    scans = scan_pickles(data, cut=file.size > len(data))
    if not has_protocol and not scans[0].complete:
        return None
    return Inspection("pickle", {"pickles": len(scans)}, tuple(findings_of(scans)))


def _safetensors(file: _File) -> Inspection | None:
    if len(file.head) < 10 or file.head[8:9] != b"{":
        return None
    length = int.from_bytes(file.head[:8], "little")
    if length > file.size - 8:
        return None
    if length > MAX_SAFETENSORS_HEADER:
        reason = f"It looks like safetensors, but its header of {length} bytes is above {MAX_SAFETENSORS_HEADER}."
        return Inspection("opaque", findings=({"severity": "suspicious", "reason": reason},))
    file.stream.seek(8)
    try:
        header = json.loads(file.stream.read(length))
        facts = _safetensors_facts(header, file.size - 8 - length)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"It looks like safetensors, but its header is wrong: {str(error)[:200]}."
        return Inspection("opaque", findings=({"severity": "suspicious", "reason": reason},))
    return Inspection("safetensors", facts)


def _safetensors_facts(header: dict[str, Any], data_size: int) -> dict[str, Any]:
    metadata = header.pop("__metadata__", None)
    tensors = sorted(header.values(), key=lambda tensor: tensor["data_offsets"])
    end = 0
    for tensor in tensors:
        if not all(type(length) is int and 0 <= length <= LARGEST_DIMENSION for length in tensor["shape"]):
            raise ValueError("a tensor's shape is not made of lengths")
        if tensor["data_offsets"][0] != end:
            raise ValueError("its tensors overlap or leave gaps")
        end = tensor["data_offsets"][1]
    if end != data_size:
        raise ValueError(f"its tensors need {end} bytes, and {data_size} follow")
    facts = {
        "tensors": len(tensors),
        "parameters": sum(prod(tensor["shape"]) for tensor in tensors),
        "dtypes": sorted({str(tensor["dtype"])[:20] for tensor in tensors})[:32],
    }
    return facts | ({"metadata_keys": sorted(metadata)[:32]} if metadata else {})


def _idx(file: _File) -> Inspection | None:
    return _idx_header(file.head, file.size)


def _idx_in_gzip(file: _File) -> Inspection | None:
    if not file.head.startswith(b"\x1f\x8b"):
        return None
    try:
        start = zlib.decompressobj(wbits=31).decompress(file.head, 4096)
    except zlib.error:
        return None
    return _idx_header(start, None)


def _idx_header(start: bytes, size: int | None) -> Inspection | None:
    if len(start) < 8 or start[:2] != b"\0\0" or start[2] not in IDX_ITEM_SIZES:
        return None
    dimensions = start[3]
    if not 1 <= dimensions <= IDX_MAX_DIMENSIONS or len(start) < 4 + 4 * dimensions:
        return None
    shape = [int.from_bytes(start[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(dimensions)]
    expected = 4 + 4 * dimensions + prod(shape) * IDX_ITEM_SIZES[start[2]]
    if size is not None and size != expected:
        return None
    return Inspection("idx", {"shape": shape})


def _openvino(file: _File) -> Inspection | None:
    return Inspection("openvino-ir") if OPENVINO_ROOT.match(file.head) else None


def _onnx(file: _File) -> Inspection | None:
    facts = inspect_onnx(file.stream, file.size)
    return None if facts is None else Inspection("onnx", facts)


def _text(file: _File) -> Inspection | None:
    try:
        text = file.head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(file.head) < HEAD or error.start < HEAD - 4:
            return None
        text = file.head[: error.start].decode("utf-8-sig")
    if CONTROL.search(text):
        return None
    if file.size <= MAX_JSON and text.lstrip()[:1] in {"{", "["}:
        try:
            json.loads(file.stream.read(MAX_JSON))
        except (ValueError, RecursionError):
            return Inspection("text")
        return Inspection("json")
    return Inspection("text")


PROBES: tuple[Callable[[_File], Inspection | None], ...] = (
    _magic,
    _zip,
    _safetensors,
    _idx,
    _idx_in_gzip,
    _openvino,
    _pickle,
    _onnx,
    _text,
)
