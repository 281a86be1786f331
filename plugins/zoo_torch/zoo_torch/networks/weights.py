"""Weights as files: safetensors that name their own architecture; pickles only as plain tensors, never as code."""

import argparse
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput
from zoo_torch.networks.architectures import Architecture, classifier_prefixes
from zoo_torch.networks.names import OptionValue

METADATA_KEY = "zoo.architecture"
"""The only metadata key: safetensors writes several in random order, and equal weights must give equal files."""

MAX_LISTED_KEYS = 5
ValueT = TypeVar("ValueT")
ClassifierRule = Literal["auto", "fresh", "shift"]
_STATE_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Where checkpoints keep their weights: the averaged ones first, as timm does."""
_WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")


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

    def build_for_classes(self, num_classes: int, classifier: ClassifierRule = "auto") -> nn.Module:
        """The network for another number of classes: its classifier stays fresh, everything else is loaded.

        Args:
            num_classes: outputs of the network.
            classifier: ``auto``: the classifier is loaded where the numbers agree; ``fresh``: never; ``shift``: it is
                loaded without or with a background class before the others (1001 to 1000, or 1000 to 1001 with a fresh
                output 0).

        Raises:
            InvalidInput: names or shapes disagree, or ``shift`` where the numbers do not differ by one.

        """
        own = self.architecture.num_classes
        if classifier == "auto" and num_classes == own:
            return self.build()
        if classifier == "shift" and abs(num_classes - own) != 1:
            raise InvalidInput(
                f"{self.source} has {own} outputs; a background class is all that may be added or removed to get "
                f"{num_classes}.",
                hint="Leave the parameter `classifier` at auto.",
                facts={"field": "classifier"},
            )
        network = self.architecture.model_copy(update={"num_classes": num_classes}).build()
        prefixes = classifier_prefixes(network)
        fresh = {key: value for key, value in network.state_dict().items() if key.startswith(prefixes)}
        if classifier == "shift":
            fresh = {key: self._shifted(key, value) for key, value in fresh.items()}
        kept = {key: value for key, value in self.state.items() if not key.startswith(prefixes)}
        _check_fit(network, kept | fresh, self)
        network.load_state_dict(kept | fresh)
        return network

    def _shifted(self, key: str, fresh: Tensor) -> Tensor:
        """The loaded classifier's weight or bias without its first output, or behind a fresh one."""
        loaded = self.state.get(key)
        if loaded is None or loaded.shape[1:] != fresh.shape[1:]:
            return fresh
        return loaded[1:] if len(loaded) > len(fresh) else torch.cat([fresh[:1], loaded])


def save_weights(network: nn.Module, architecture: Architecture, path: Path) -> None:
    """Write a safetensors file; equal weights give equal bytes."""
    state = {key: value.detach().cpu().contiguous().clone() for key, value in network.state_dict().items()}
    save_file(state, path, metadata={METADATA_KEY: architecture.model_dump_json()})


def load_weights(
    item: InputItem, *, architecture: str | None = None, options: dict[str, OptionValue] | None = None
) -> Weights:
    """Read a model input's weights.

    Args:
        item: a ``safetensors`` artifact, or a ``pickle`` that holds a plain state dict; either may be
            somebody else's, such as timm's.
        architecture: ``family:name`` for a file that does not name its own; else it must agree with the file.
        options: that architecture's options.

    Raises:
        InvalidInput: damaged, not plain tensors, or without an architecture.

    """
    if item.artifact is None:
        raise InvalidInput(f"{item.reference} is a data set; this input takes weights.")
    if item.artifact.format == "pickle":
        if architecture is None:
            raise InvalidInput(
                f"{item.reference} is a pickle, which does not name its architecture.",
                hint="Give the parameter `architecture`, or push the weights as safetensors.",
                facts={"field": "architecture"},
            )
        return _foreign(_read_plain_tensors(item.main_file, item.reference), item, architecture, options)
    state, description = _read_safetensors(item.main_file, item.reference)
    if description is None and architecture is not None:
        return _foreign(plain_names(state), item, architecture, options)
    weights = _described(state, description, item.main_file, item.reference)
    if architecture is not None and architecture != weights.architecture.name:
        raise InvalidInput(
            f"{item.reference} is a {weights.architecture.name}, not a {architecture}.",
            hint="Leave the parameter `architecture` out: the file names its own.",
            facts={"field": "architecture"},
        )
    return weights


def read_safetensors(path: Path, source: str) -> Weights:
    """Read a file that :func:`save_weights` wrote; ``source`` names it in messages."""
    return _described(*_read_safetensors(path, source), path, source)


def _read_safetensors(path: Path, source: str) -> tuple[dict[str, Tensor], str | None]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return load_file(path), metadata.get(METADATA_KEY)
    except (SafetensorError, OSError) as error:
        raise InvalidInput(f"{source}: {path.name} is not a readable safetensors file: {error}.") from error


def _described(state: dict[str, Tensor], description: str | None, path: Path, source: str) -> Weights:
    if description is None:
        raise InvalidInput(
            f"{source}: {path.name} does not say which architecture its weights belong to.",
            hint=f"Give the parameter `architecture` where there is one, or save the file with the JSON of the "
            f"architecture as the metadata {METADATA_KEY!r}.",
            facts={"field": "architecture"},
        )
    return Weights(Architecture.parse(description, f"{source}: {path.name}"), state, source)


def _foreign(
    state: dict[str, Tensor], item: InputItem, architecture: str, options: dict[str, OptionValue] | None
) -> Weights:
    """A state dict whose classes and channels are read from the shapes of its own weights."""
    with torch.random.fork_rng(devices=[]):
        model = Architecture.of(architecture, num_classes=2, in_chans=3, options=options).build()
    expected = model.state_dict()
    # Checkpoints from before PyTorch 0.4.1 do not count the batches of their normalisations.
    counters = {key: value for key, value in expected.items() if key.endswith(".num_batches_tracked")}
    stem = next((key for key, value in expected.items() if value.ndim == 4), "")
    heads = [f"{prefix}weight" for prefix in classifier_prefixes(model)]
    missing = [key for key in (stem, *heads) if key not in state or state[key].ndim < 2]
    if missing:
        raise InvalidInput(
            f"The weights of {item.reference} do not fit {architecture}: {missing[0]} is missing.",
            hint="Name the architecture that they were trained with.",
            facts={"field": "architecture"},
        )
    found = Architecture.of(
        architecture, num_classes=len(state[heads[0]]), in_chans=state[stem].shape[1], options=options
    )
    return Weights(found, counters | state, item.reference)


def plain_names(state: Mapping[str, ValueT]) -> dict[str, ValueT]:
    """Without the prefixes that DistributedDataParallel and torch.compile give."""
    return {_WRAPPERS.sub("", str(key)): value for key, value in state.items()}


def _read_plain_tensors(path: Path, source: str) -> dict[str, Tensor]:
    """``torch.load(weights_only=True)``: an allow-list unpickler that refuses all but tensors and plain containers."""
    _refuse_compression(path, source)
    try:
        # timm's training script keeps its arguments in its checkpoints: a Namespace is nothing but names and values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes torch's unpickler raise any of ten kinds
        raise InvalidInput(
            f"{source}: {path.name} is a pickle that holds more than plain tensors, or is damaged; it was not loaded.",
            hint="Loading it could run code. Save its state_dict as safetensors and push that.",
        ) from error
    state = next((loaded[key] for key in _STATE_KEYS if key in loaded), loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InvalidInput(
            f"{source}: {path.name} holds no state dict.", hint="Save network.state_dict() and push that."
        )
    return plain_names(state)


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
