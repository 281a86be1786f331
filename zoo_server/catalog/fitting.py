"""Do the bytes fit what is said about them?  The artifacts app identified each blob's format by looking at it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.errors import InvalidInput
from zoo_server.artifacts.models import Blob

_TEXTS = frozenset({"json", "text"})
_PICTURES = frozenset({"png", "jpeg"})
MAIN_FILE: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "safetensors": frozenset({"safetensors"}),
        "onnx": frozenset({"onnx"}),
        "openvino-ir": frozenset({"openvino-ir"}),
        "pickle": frozenset({"pickle", "opaque"}),
        "torchscript": frozenset({"torchscript", "pickle", "opaque"}),
        "torch-export": frozenset({"torch-export", "pickle"}),
        "zoo-integer": frozenset({"safetensors"}),
        "keras-h5": frozenset({"keras-h5"}),
        "keras": frozenset({"keras", "opaque"}),
        "savedmodel": frozenset({"savedmodel", "opaque"}),
        "tflite": frozenset({"tflite", "opaque"}),
        "tensorrt-plan": frozenset({"tensorrt-plan"}),
        "oneflow": frozenset({"oneflow", "pickle", "opaque"}) | _TEXTS,
        "darknet": frozenset({"darknet", "opaque"}) | _TEXTS,
        "idx": frozenset({"idx"}),
        "npz": frozenset({"npz"}),
        "image-folder": _PICTURES,
        "json": frozenset({"json"}),
        "text": _TEXTS,
    }
)
"""By declared format: the identified formats that an artifact's first file may have.  ``opaque`` claims nothing."""
OTHER_FILES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "safetensors": frozenset({"safetensors"}) | _TEXTS,
        "onnx": frozenset({"onnx", "opaque"}) | _TEXTS,
        "openvino-ir": frozenset({"opaque"}) | _TEXTS,
        "pickle": frozenset({"pickle", "opaque"}) | _TEXTS,
        "savedmodel": frozenset({"opaque"}) | _TEXTS,
        "image-folder": _PICTURES | _TEXTS,
    }
)
"""The same for the files after the first, where they may differ: weights beside a graph are plain bytes."""


def check_fits(description: ArtifactDescription, blobs: Sequence[Blob | None]) -> None:
    """Raise :class:`InvalidInput` unless each file's bytes may be part of an artifact of the declared format.

    None stands for a file that is not here; it is checked once it is.
    """
    declared = description.format
    if declared == "opaque":
        return
    for index, (path, blob) in enumerate(zip(description.files, blobs, strict=True)):
        allowed = MAIN_FILE[declared] if index == 0 else OTHER_FILES.get(declared, MAIN_FILE[declared])
        if blob is not None and blob.format not in allowed:
            raise InvalidInput(
                f"{path!r} was declared {declared}, but its bytes are {blob.format}.",
                hint=f"Declare it as {blob.format}, or upload a file that is {' or '.join(sorted(allowed))}.",
                facts={"field": "format", "declared": declared, "identified": blob.format, "path": path},
            )
    if all(blob is not None for blob in blobs):
        _check_parts(declared, {path: blob for path, blob in zip(description.files, blobs, strict=True) if blob})


def _check_parts(declared: str, parts: Mapping[str, Blob]) -> None:
    """The files after the first hold all the bytes that the first one would read from them."""
    main = next(iter(parts))
    folder = main.rpartition("/")[0]
    facts = parts[main].facts
    needed: dict[str, int] = {}
    if declared == "onnx":
        needed = {f"{folder}/{name}" if folder else name: size for name, size in facts.get("external_data", {}).items()}
    elif declared == "openvino-ir" and facts.get("bin_size_needed"):
        weights = next((path for path in parts if path != main and path.endswith(".bin")), "its .bin file")
        needed = {weights: facts["bin_size_needed"]}
    for path, size in needed.items():
        if path not in parts or parts[path].size < size:
            held = f"has {parts[path].size}" if path in parts else "is no file of the artifact"
            raise InvalidInput(
                f"{main!r} reads {size} bytes of {path!r}, which {held}.",
                hint="Name every file that belongs to the model, whole.",
                facts={"field": "files", "path": path, "needed": size},
            )
