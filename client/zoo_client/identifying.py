"""Which files of a folder are artifacts: by their bytes where a suffix may mean several formats, else by suffix."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from zoo_inspection import inspect

BY_SUFFIX: Mapping[str, str] = MappingProxyType(
    {
        ".safetensors": "safetensors",
        ".onnx": "onnx",
        ".integers": "zoo-integer",
        ".keras": "keras",
        ".tflite": "tflite",
        ".plan": "tensorrt-plan",
        ".engine": "tensorrt-plan",
        ".trt": "tensorrt-plan",
    }
)
"""Suffixes that mean one format."""
BY_BYTES: Mapping[str, str | None] = MappingProxyType(
    {
        ".pth": "pickle",
        ".pt": "pickle",
        ".ckpt": "pickle",
        ".pkl": "pickle",
        ".pt2": "torch-export",
        ".jit": "torchscript",
        ".h5": None,
        ".hdf5": None,
        ".weights": None,
        ".pb": None,
        ".bin": None,
        ".tar": None,
        ".zip": None,
    }
)
"""Suffixes of several formats, and what a file is taken for whose bytes say nothing; None: for no artifact."""
FOUND_BY_BYTES = frozenset(
    {"pickle", "torchscript", "torch-export", "keras-h5", "darknet", "savedmodel", "oneflow", "tensorrt-plan"}
)
MOST_LOOKED_AT = 500
"""Files of a folder that are looked at; the rest go by their suffix alone."""
SAVED_MODEL_FOLDERS = ("variables/", "assets/")


def artifacts_in(files: Mapping[str, Path]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Format and files (main file first) of each artifact among ``files``, which are sources by path in the version."""
    taken: set[str] = set()
    looks = 0
    for path in sorted(files, key=lambda item: (_suffix(item) in BY_BYTES, item)):  # who takes others along comes first
        suffix = _suffix(path)
        if path in taken:
            continue
        kind = BY_SUFFIX.get(suffix)
        if suffix == ".xml" and f"{path[:-4]}.bin" in files:
            kind = "openvino-ir"
        elif suffix in BY_BYTES:
            looks += 1
            kind = _by_bytes(files[path], path) if looks <= MOST_LOOKED_AT else BY_BYTES[suffix]
        if kind:
            parts = (path, *(part for part in _others(kind, path, files) if part not in taken))
            taken.update(parts)
            yield kind, parts


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def _by_bytes(source: Path, path: str) -> str | None:
    found = inspect(source, name=path).format
    return found if found in FOUND_BY_BYTES else BY_BYTES[_suffix(path)]


def _others(kind: str, path: str, files: Mapping[str, Path]) -> list[str]:
    """What belongs to an artifact beside its main file."""
    folder = path.rpartition("/")[0]
    prefix = f"{folder}/" if folder else ""
    if kind == "openvino-ir":
        return [f"{path[:-4]}.bin"]
    if kind == "onnx":
        names = inspect(files[path], name=path).facts.get("external_data", {})
        return [found for name in names if (found := f"{prefix}{name}") in files]
    if kind == "savedmodel":
        return sorted(name for name in files if name.startswith(tuple(prefix + part for part in SAVED_MODEL_FOLDERS)))
    if kind == "darknet":
        return [found for found in (f"{path.removesuffix('.weights')}.cfg",) if found in files and found != path]
    return []
