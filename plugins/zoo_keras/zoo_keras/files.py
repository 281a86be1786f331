"""Opens Keras' files by what they hold, never by suffix: HDF5 of Keras 2 and 3, and .keras archives.

Links, external storage, virtual data sets and unusual filters are refused: through them an HDF5 file reads other files
or loads libraries.
"""

import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from zoo_sdk.errors import InvalidInput

MAX_CONFIG = 32 * 2**20
MAX_WEIGHTS = 8 * 2**30
"""Bytes of all arrays together; an optimiser's are among them."""
MAX_NODES = 200_000
WEIGHTS_MEMBER, CONFIG_MEMBER, METADATA_MEMBER = "model.weights.h5", "config.json", "metadata.json"
_FILTERS = frozenset({1, 2, 3, 32000})
"""gzip, shuffle, Fletcher's checksum and lzf; anything else is a plugin that HDF5 would load."""
_READ = 2**20


@dataclass(frozen=True)
class KerasFile:
    """What a file holds.

    ``config``: the parsed configuration, None for weights only.  ``weights``: where the weights are, with a suffix by
    which Keras knows how to read them.  ``names``: layers with weights, in the file's order (HDF5 of Keras 2 only).
    """

    config: Any
    version: str
    weights: Path
    names: tuple[str, ...] | None

    @property
    def major(self) -> int:
        """The major version of the Keras that wrote it; 2 where the file does not say (weights only, mostly)."""
        first = self.version.partition(".")[0]
        return int(first) if first.isdigit() else 2


def open_file(path: Path, scratch: Path) -> KerasFile:
    """Look into a file.

    Args:
        path: the file.
        scratch: for a link or copy of the weights under a name that Keras expects.

    Raises:
        InvalidInput: no Keras file, a damaged or a dangerous one.

    """
    with path.open("rb") as file:
        head = file.read(8)
    if head == b"\x89HDF\r\n\x1a\n":
        return _open_h5(path, scratch)
    if head[:4] == b"PK\x03\x04":
        return _open_archive(path, scratch)
    raise InvalidInput(
        f"{path.name!r} is neither HDF5 nor a .keras archive (it begins with {head[:4].hex()}).",
        hint="Push the .h5, .hdf5 or .keras file that Keras wrote.",
    )


def _open_h5(path: Path, scratch: Path) -> KerasFile:
    try:
        with h5py.File(path, "r") as file:
            _check_links(file)
            weights = file.get("model_weights", file)
            text = file.attrs.get("model_config")
            config = None if text is None else _parsed(text, "model_config")
            legacy = any(name.startswith("layer_names") for name in weights.attrs)
            if config is None and not legacy and "layers" not in file and "_layer_checkpoint_dependencies" not in file:
                raise InvalidInput(f"{path.name!r} is HDF5, but not of Keras: it has no layers.")
            version = _text(file.attrs.get("keras_version", weights.attrs.get("keras_version", "" if legacy else "3")))
            names = _weighted_layers(weights) if legacy else None
    except (OSError, RuntimeError, KeyError) as error:
        raise InvalidInput(f"{path.name!r} is a damaged HDF5 file: {error}") from error
    link = _own_folder(scratch) / ("weights.h5" if legacy else "model.weights.h5")
    link.unlink(missing_ok=True)
    link.symlink_to(path.resolve())
    return KerasFile(config, version, link, names)


def _open_archive(path: Path, scratch: Path) -> KerasFile:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if CONFIG_MEMBER not in members or WEIGHTS_MEMBER not in members:
                raise InvalidInput(f"{path.name!r} is a zip, but not of Keras: it lacks {CONFIG_MEMBER}.")
            config = _parsed(_bounded(archive, members[CONFIG_MEMBER], MAX_CONFIG), CONFIG_MEMBER)
            metadata: Any = {}
            if METADATA_MEMBER in members:
                metadata = _parsed(_bounded(archive, members[METADATA_MEMBER], 2**16), METADATA_MEMBER)
            weights = _own_folder(scratch) / WEIGHTS_MEMBER
            _extract(archive, members[WEIGHTS_MEMBER], weights)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise InvalidInput(f"{path.name!r} is a damaged archive: {error}") from error
    try:
        with h5py.File(weights, "r") as file:
            _check_links(file)
    except (OSError, RuntimeError) as error:
        raise InvalidInput(f"The weights in {path.name!r} are damaged: {error}") from error
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return KerasFile(config, _text(version or "3"), weights, None)


def _own_folder(scratch: Path) -> Path:
    """Below the scratch folder, where no name can be the file's own."""
    folder = scratch / "keras-weights"
    folder.mkdir(exist_ok=True)
    return folder


def _bounded(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    with archive.open(member) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise InvalidInput(f"{member.filename!r} is larger than {limit:,} bytes.")
    return content


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    written = 0
    with archive.open(member) as source, target.open("wb") as file:
        while part := source.read(_READ):
            written += len(part)
            if written > MAX_WEIGHTS:
                raise InvalidInput(f"{member.filename!r} is larger than {MAX_WEIGHTS:,} bytes.")
            file.write(part)


def read_json(path: Path) -> Any:
    """A configuration in a file of its own, as ``model.to_json()`` writes it; raises InvalidInput."""
    if path.stat().st_size > MAX_CONFIG:
        raise InvalidInput(f"{path.name!r} is larger than {MAX_CONFIG:,} bytes.")
    return _parsed(path.read_bytes(), path.name)


def _parsed(text: Any, what: str) -> Any:
    if len(text) > MAX_CONFIG:
        raise InvalidInput(f"The configuration {what!r} is larger than {MAX_CONFIG:,} bytes.")
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInput(f"The configuration {what!r} is no JSON: {error}") from error


def _text(value: Any) -> str:
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))[:40]


def _check_links(file: h5py.File) -> None:
    """Walk the whole file without following a link that leaves it."""
    waiting: list[tuple[str, h5py.Group]] = [("", file)]
    nodes = size = 0
    while waiting:
        prefix, group = waiting.pop()
        for name in group:
            nodes += 1
            path = f"{prefix}/{name}"
            if nodes > MAX_NODES:
                raise InvalidInput(f"The file has more than {MAX_NODES:,} groups and data sets.")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _refused(path, "is a link to somewhere else")
            node = group[name]
            if isinstance(node, h5py.Group):
                waiting.append((path, node))
            elif isinstance(node, h5py.Dataset):
                size += _checked_size(path, node)
    if size > MAX_WEIGHTS:
        raise InvalidInput(f"The arrays of the file have {size:,} bytes; {MAX_WEIGHTS:,} are read.")


def _checked_size(path: str, node: h5py.Dataset) -> int:
    if node.external or node.is_virtual:
        raise _refused(path, "keeps its values in other files")
    properties = node.id.get_create_plist()
    if {properties.get_filter(number)[0] for number in range(properties.get_nfilters())} - _FILTERS:
        raise _refused(path, "needs a filter that Keras does not use")
    return math.prod(node.shape or ()) * node.dtype.itemsize


def _refused(path: str, what: str) -> InvalidInput:
    return InvalidInput(
        f"The HDF5 file is refused: {path[:200]!r} {what}.",
        hint="Save the model again with Keras.",
        facts={"path": path},
    )


def _weighted_layers(group: h5py.Group) -> tuple[str, ...]:
    names = _listed(group, "layer_names")
    return tuple(name for name in names if name in group and _listed(group[name], "weight_names"))


def _listed(group: h5py.Group, name: str) -> list[str]:
    """An attribute that Keras splits into ``name0``, ``name1`` ... where it is longer than 64512 bytes."""
    keys = [name] if name in group.attrs else []
    while not keys or keys[-1] != name:
        key = f"{name}{len(keys)}"
        if key not in group.attrs:
            break
        keys.append(key)
    return [_text_of(item) for key in keys for item in group.attrs[key]]


def _text_of(item: Any) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
