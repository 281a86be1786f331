"""Weights as files: safetensors that name their own architecture; pickles only as plain tensors, never as code."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput
from zoo_torch.networks.architectures import Architecture, classifier_prefixes

METADATA_KEY = "zoo.architecture"
"""The only metadata key: safetensors writes several in random order, and equal weights must give equal files."""

MAX_LISTED_KEYS = 5


@dataclass(frozen=True)
class Weights:
    """A state dict on the CPU and the network that it belongs to."""

    architecture: Architecture
    state: dict[str, Tensor]
    source: str

    def build(self) -> nn.Module:
        """The network with these weights; raises :class:`InvalidInput` where names or shapes disagree."""
        network = self.architecture.build()
        _check_fit(network, self.state, self)
        network.load_state_dict(self.state)
        return network

    def build_for_classes(self, num_classes: int) -> nn.Module:
        """The network for another number of classes: its classifier stays fresh, everything else is loaded."""
        if num_classes == self.architecture.num_classes:
            return self.build()
        network = self.architecture.model_copy(update={"num_classes": num_classes}).build()
        prefixes = classifier_prefixes(network)
        fresh = {key: value for key, value in network.state_dict().items() if key.startswith(prefixes)}
        kept = {key: value for key, value in self.state.items() if not key.startswith(prefixes)}
        _check_fit(network, kept | fresh, self)
        network.load_state_dict(kept | fresh)
        return network


def save_weights(network: nn.Module, architecture: Architecture, path: Path) -> None:
    """Write a safetensors file; equal weights give equal bytes."""
    state = {key: value.detach().cpu().contiguous().clone() for key, value in network.state_dict().items()}
    save_file(state, path, metadata={METADATA_KEY: architecture.model_dump_json()})


def load_weights(item: InputItem, *, architecture: str | None = None) -> Weights:
    """Read a model input's weights.

    Args:
        item: a ``safetensors`` artifact, or a ``pickle`` that holds a plain state dict.
        architecture: ``family:name`` for a pickle, whose classes and channels are then taken from the artifact's
            signature.  For safetensors it must agree with the file.

    Raises:
        InvalidInput: damaged, not plain tensors, or without an architecture.

    """
    if item.artifact is None:
        raise InvalidInput(f"{item.reference} is a data set; this input takes weights.")
    if item.artifact.format == "pickle":
        return _load_pickle(item, architecture)
    weights = read_safetensors(item.main_file, item.reference)
    if architecture is not None and architecture != weights.architecture.name:
        raise InvalidInput(
            f"{item.reference} is a {weights.architecture.name}, not a {architecture}.",
            hint="Leave the parameter `architecture` out: the file names its own.",
            facts={"field": "architecture"},
        )
    return weights


def read_safetensors(path: Path, source: str) -> Weights:
    """Read a file that :func:`save_weights` wrote; ``source`` names it in messages."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InvalidInput(f"{source}: {path.name} is not a readable safetensors file: {error}.") from error
    if METADATA_KEY not in metadata:
        raise InvalidInput(
            f"{source}: {path.name} does not say which architecture its weights belong to.",
            hint=f"Save it with the JSON of the architecture as the metadata {METADATA_KEY!r}.",
        )
    return Weights(Architecture.parse(metadata[METADATA_KEY], f"{source}: {path.name}"), state, source)


def _load_pickle(item: InputItem, architecture: str | None) -> Weights:
    if architecture is None:
        raise InvalidInput(
            f"{item.reference} is a pickle, which does not name its architecture.",
            hint="Give the parameter `architecture`, or push the weights as safetensors.",
            facts={"field": "architecture"},
        )
    state = _read_plain_tensors(item.main_file, item.reference)
    signature = item.artifact.signature if item.artifact else None
    if signature is None or len(signature.inputs[0].shape) != 4:
        raise InvalidInput(
            f"{item.reference} is a pickle without a signature, so its channels and classes are unknown.",
            hint="Push it with the signature of its input (N, C, H, W) and its output (N, classes).",
        )
    in_chans, num_classes = signature.inputs[0].shape[1], signature.outputs[0].shape[-1]
    if in_chans is None or num_classes is None:
        raise InvalidInput(f"The signature of {item.reference} leaves its channels or classes open.", hint="Fix both.")
    return Weights(Architecture.of(architecture, num_classes=num_classes, in_chans=in_chans), state, item.reference)


def _read_plain_tensors(path: Path, source: str) -> dict[str, Tensor]:
    """``torch.load(weights_only=True)``: an allow-list unpickler that refuses all but tensors and plain containers."""
    _refuse_compression(path, source)
    try:
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes torch's unpickler raise any of ten kinds
        raise InvalidInput(
            f"{source}: {path.name} is a pickle that holds more than plain tensors, or is damaged; it was not loaded.",
            hint="Loading it could run code. Save its state_dict as safetensors and push that.",
        ) from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InvalidInput(
            f"{source}: {path.name} holds no state dict.", hint="Save network.state_dict() and push that."
        )
    return {str(key).removeprefix("module."): value for key, value in state.items()}


def _refuse_compression(path: Path, source: str) -> None:
    """Torch never compresses its archives; a small file that grows without bound when it is read is an attack."""
    try:
        with zipfile.ZipFile(path) as archive:
            compressed = [entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
    except (zipfile.BadZipFile, OSError):
        return
    if compressed:
        raise InvalidInput(f"{source}: {path.name} is compressed ({compressed[0]!r}), which torch.save never does.")


def _check_fit(network: nn.Module, state: dict[str, Tensor], weights: Weights) -> None:
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in state.items()}
    faults = [f"{key} is missing" for key in expected if key not in given]
    faults += [f"{key} is not part of it" for key in given if key not in expected]
    faults += [
        f"{key} has the shape {list(given[key])} instead of {list(shape)}"
        for key, shape in expected.items()
        if key in given and given[key] != shape
    ]
    if faults:
        more = f" and {len(faults) - MAX_LISTED_KEYS} more" if len(faults) > MAX_LISTED_KEYS else ""
        raise InvalidInput(
            f"The weights of {weights.source} do not fit {weights.architecture.name}: "
            f"{'; '.join(faults[:MAX_LISTED_KEYS])}{more}.",
            hint="The file does not belong to the architecture that it names.",
        )
