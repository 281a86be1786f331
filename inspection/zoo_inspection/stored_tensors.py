"""The tensors of a checkpoint, readable one by one: nothing is unpickled, and nothing is unpacked to a disk."""

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path

from zoo_inspection.archives import ZIP_MAGIC, ZipFiles
from zoo_inspection.findings import Report
from zoo_inspection.limits import Budget, Limits, Malformed
from zoo_inspection.oneflow import BODY, MAX_META, META, Files, names_of, parse_meta, root_of
from zoo_inspection.pickles.scanning import scan_pickles
from zoo_inspection.pickles.tensors import StoredTensor, main_group, tensors_of
from zoo_inspection.pickles.values import Skipped, entries
from zoo_inspection.reading import Flow, Section
from zoo_inspection.tables import ITEM_SIZES, MAX_AXES
from zoo_inspection.torch_files import LEGACY_START, TensorPlace, main_pickle, places_of
from zoo_inspection.zips import open_zip

CHECKPOINT_LIMITS = Limits(seconds=120.0, steps=40_000_000)
"""For those who want the tensors, and not only to look at the file."""
MAX_PICKLE = 16 * 2**20
"""Of a OneFlow folder, whose pickle holds names only."""
ONEFLOW_MARK = "__oneflow__"
ONEFLOW_VALUE = ".data"
"""A tensor of OneFlow 1.0 is a small dictionary, in which its numbers are called so."""


Read = Callable[[int, int], bytes]
"""Answers so many bytes (second) from that position on (first)."""


@dataclass(frozen=True)
class ReadableTensor:
    """A tensor: ``read(start, size)`` answers bytes of its storage; ``stride`` and ``offset`` count elements."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    read: Read


@dataclass(frozen=True)
class ReadableCheckpoint:
    """What a checkpoint holds under the key that was wanted, or where its model is likeliest to be."""

    layout: str
    tensors: tuple[ReadableTensor, ...]


def open_checkpoint(files: Mapping[str, Path], *, part: str | None = None) -> ReadableCheckpoint:
    """Find the tensors of a checkpoint of torch or OneFlow, or of a pickle of numpy arrays.

    Args:
        files: one file, or the files of a OneFlow folder, by their paths inside it.
        part: the key under which the wanted tensors are, such as ``ema``; None: the likeliest.

    Raises:
        Malformed: it is none of these, is damaged, or holds tensors in a way that cannot be read.
        LimitReached: it is too large to look at.

    """
    first = next(iter(files.values()))
    with first.open("rb") as stream:
        head = stream.read(len(LEGACY_START))
    if len(files) > 1:
        return _oneflow(_FolderFiles(files, Budget(CHECKPOINT_LIMITS)), lambda name: _reader_of_file(files[name]), part)
    if head.startswith(ZIP_MAGIC):
        return _zip(first, part)
    if head == LEGACY_START:
        return _torch(first, "torch before 1.6", part)
    return _plain_pickle(first, part)


def _torch(path: Path, layout: str, part: str | None) -> ReadableCheckpoint:
    return ReadableCheckpoint(
        layout, tuple(_at(path, place) for place in places_of(path, CHECKPOINT_LIMITS, part=part))
    )


def _at(path: Path, place: TensorPlace) -> ReadableTensor:
    tensor = place.tensor
    read = _reader_of_file(path, place.position)
    return ReadableTensor(tensor.name, tensor.dtype, tensor.shape, tensor.stride, tensor.offset, read)


def _zip(path: Path, part: str | None) -> ReadableCheckpoint:
    with path.open("rb", buffering=0) as stream:
        report = Report()
        archive = open_zip(Section.whole(stream, Budget(CHECKPOINT_LIMITS)), report)
        if any(finding["severity"] == "dangerous" for finding in report.findings):
            raise Malformed(f"its archive is a trap: {report.findings[0]['reason']}")
        if main_pickle(archive) is None:
            return _oneflow(ZipFiles(archive), lambda name: _reader_of_member(path, name), part)
    return _torch(path, "torch zip", part)


def _plain_pickle(path: Path, part: str | None) -> ReadableCheckpoint:
    with path.open("rb", buffering=0) as stream:
        section = Section.whole(stream, Budget(CHECKPOINT_LIMITS))
        scans = scan_pickles(Flow(section), section.budget, most=1)
        if not scans or not scans[0].complete:
            raise Malformed("it is no checkpoint" if not scans else f"its pickle cannot be read: {scans[0].fault}")
        root = scans[0].value
        _, tensors = main_group(root, list(tensors_of(root, section.budget)), part)
    is_oneflow = ONEFLOW_MARK in (entries(root) or {})
    ending = ONEFLOW_VALUE if is_oneflow else ""
    found = tuple(_inline(path, tensor, tensor.name.removesuffix(ending)) for tensor in tensors)
    return ReadableCheckpoint("OneFlow C: one pickle" if is_oneflow else "pickle of arrays", found)


def _inline(path: Path, tensor: StoredTensor, name: str) -> ReadableTensor:
    content = tensor.content
    if content is None:
        raise Malformed(f"the elements of the tensor {name[:100]!r} are not in it as plain bytes")
    needed = prod(tensor.shape) * _item_size(tensor.dtype, name)
    held = content.size if isinstance(content, Skipped) else len(content)
    if held != needed:
        raise Malformed(f"the tensor {name[:100]!r} has {held} bytes instead of {needed}")
    read = _reader_of_file(path, content.position) if isinstance(content, Skipped) else _reader_of_bytes(content)
    return ReadableTensor(name, tensor.dtype, tensor.shape, tensor.stride, 0, read)


@dataclass(frozen=True)
class _FolderFiles:
    """A folder as OneFlow's reader wants it."""

    paths: Mapping[str, Path]
    budget: Budget

    @property
    def sizes(self) -> dict[str, int]:
        return {name: path.stat().st_size for name, path in self.paths.items()}

    def read(self, name: str, most: int) -> bytes:
        with self.paths[name].open("rb") as stream:
            return stream.read(most)

    def flow(self, name: str) -> Flow:
        return Flow(Section.whole(BytesIO(self.read(name, MAX_PICKLE)), self.budget))


def _oneflow(files: Files, reader: Callable[[str], Read], part: str | None) -> ReadableCheckpoint:
    sizes = files.sizes
    root = root_of(sizes)
    if root is None:
        raise Malformed("it is no checkpoint: neither torch's nor OneFlow's parts are in it")
    report = Report()
    names, layout = names_of(files, root, report, part)
    if any(finding["severity"] == "dangerous" for finding in report.findings):
        raise Malformed(f"its pickle is a trap: {report.findings[0]['reason']}")
    folders = names or {
        path[len(root) :].removesuffix(f"/{BODY}"): path[len(root) :].removesuffix(f"/{BODY}")
        for path in sorted(sizes)
        if path.startswith(root) and path.endswith(f"/{BODY}")
    }
    found = []
    for folder, name in folders.items():
        meta, body = f"{root}{folder}/{META}", f"{root}{folder}/{BODY}"
        told = parse_meta(files.read(meta, MAX_META).decode("utf-8", "replace")) if meta in sizes else None
        if told is None or body not in sizes:
            raise Malformed(f"the tensor {name[:100]!r} has no readable description, or no bytes")
        shape, dtype = told
        if min(shape, default=0) < 0 or len(shape) > MAX_AXES:
            raise Malformed(f"the tensor {name[:100]!r} has the shape {list(shape)[:8]}")
        if prod(shape) * _item_size(dtype, name) != sizes[body]:
            raise Malformed(f"the tensor {name[:100]!r} has {sizes[body]} bytes, not as many as its shape says")
        stride = tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))
        found.append(ReadableTensor(name, dtype, shape, stride, 0, reader(body)))
    return ReadableCheckpoint(f"OneFlow {layout}", tuple(found))


def _item_size(dtype: str, name: str) -> int:
    if dtype not in ITEM_SIZES:
        raise Malformed(f"the tensor {name[:100]!r} has the unknown dtype {dtype[:40]!r}")
    return ITEM_SIZES[dtype]


def _reader_of_file(path: Path, position: int = 0) -> Read:
    def read(start: int, size: int) -> bytes:
        with path.open("rb") as stream:
            stream.seek(position + start)
            return stream.read(size)

    return read


def _reader_of_bytes(content: bytes) -> Read:
    return lambda start, size: content[start : start + size]


def _reader_of_member(path: Path, name: str) -> Read:
    """A packed member is unpacked as far as it is asked for; that is as much as its description says, and no more."""

    def read(start: int, size: int) -> bytes:
        with zipfile.ZipFile(path) as archive, archive.open(name) as stream:
            stream.seek(start)
            return stream.read(size)

    return read
