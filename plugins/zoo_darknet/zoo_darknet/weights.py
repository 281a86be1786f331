"""Reads Darknet's .weights: bare floats in the order of the layers, whose sizes follow from the configuration."""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo_darknet.configuration import Layer, Network
from zoo_sdk.errors import InvalidInput

Array = NDArray[np.float32]
MAX_BYTES = 2 * 2**30
"""The most that one ONNX file holds."""


@dataclass(frozen=True)
class Normalisation:
    """Of the outputs of a layer, before its bias is added."""

    scale: Array
    mean: Array
    variance: Array


@dataclass(frozen=True)
class LayerWeights:
    """Of a convolution: kernel (O, I / groups, H, W); of a connected layer: kernel (O, I)."""

    kernel: Array
    bias: Array
    normalisation: Normalisation | None = None


@dataclass(frozen=True)
class Weights:
    """The weights by the layers' numbers, and the version of the file."""

    layers: Mapping[int, LayerWeights]
    version: str

    @property
    def parameters(self) -> int:
        """The values that were learnt; running means and variances are statistics."""
        scales = sum(one.normalisation.scale.size for one in self.layers.values() if one.normalisation)
        return scales + sum(one.kernel.size + one.bias.size for one in self.layers.values())


def read_weights(path: Path, network: Network) -> Weights:
    """Read all weights of a network.

    Raises:
        InvalidInput: no weights of Darknet, too few values for the configuration, or more than it needs.

    """
    size = path.stat().st_size
    if not 20 <= size <= MAX_BYTES:
        raise InvalidInput(f"{path.name!r} has {size:,} bytes; weights of 20 bytes to 2 GiB are read.")
    with path.open("rb") as file:
        major, minor, revision = struct.unpack("<iii", file.read(12))
        if not (0 <= major < 1000 and 0 <= minor < 1000):
            raise InvalidInput(
                f"{path.name!r} says the version {major}.{minor}: it is no weights file of Darknet, or of a version "
                "whose connected layers are transposed.",
                hint="Load it into Darknet and save it again.",
            )
        # The number of pictures seen has 8 bytes since version 0.2.
        file.seek(8 if major * 10 + minor >= 2 else 4, 1)
        content = file.read()
    if len(content) % 4:
        raise InvalidInput(f"{path.name!r} is cut off in the middle of a value.")
    values = np.frombuffer(content, dtype="<f4")
    reader = _Reader(values, path.name)
    found = {layer.number: weights for layer in network.layers if (weights := _of(layer, reader)) is not None}
    if reader.left:
        raise InvalidInput(
            f"{path.name!r} holds {reader.left:,} values more than the configuration has weights.",
            hint="Push the .cfg that belongs to these weights.",
            facts={"left_over": reader.left},
        )
    return Weights(found, f"{major}.{minor}.{revision}")


class _Reader:
    def __init__(self, values: Array, name: str) -> None:
        self._values, self._name, self._position = values, name, 0

    @property
    def left(self) -> int:
        return len(self._values) - self._position

    def take(self, layer: Layer, *shape: int) -> Array:
        """The next values as an array; raises InvalidInput when there are too few, or one is not finite."""
        count = math.prod(shape)
        if count > self.left:
            raise InvalidInput(
                f"{self._name!r} ends at {layer.name}: it needs {count:,} more values, there are {self.left:,}.",
                hint="The file is cut off, holds the first layers only, or belongs to another .cfg.",
                facts={"layer": layer.name},
            )
        part = self._values[self._position : self._position + count]
        if not np.isfinite(part).all():
            raise InvalidInput(f"A weight of {layer.name} in {self._name!r} is not a finite number.")
        self._position += count
        return part.reshape(shape)


def _of(layer: Layer, reader: _Reader) -> LayerWeights | None:
    """A connected layer keeps its statistics behind its kernel, a convolution before it."""
    if layer.kind == "convolutional":
        outputs, size = layer.shape[0], layer.number_of("size", 1)
        bias, normalisation = reader.take(layer, outputs), _normalisation(layer, reader)
        inputs = layer.taken[0] // layer.number_of("groups", 1)
        return LayerWeights(reader.take(layer, outputs, inputs, size, size), bias, normalisation)
    if layer.kind == "connected":
        bias = reader.take(layer, layer.shape[0])
        kernel = reader.take(layer, layer.shape[0], math.prod(layer.taken))
        return LayerWeights(kernel, bias, _normalisation(layer, reader))
    return None


def _normalisation(layer: Layer, reader: _Reader) -> Normalisation | None:
    if not layer.number_of("batch_normalize", 0):
        return None
    return Normalisation(*(reader.take(layer, layer.shape[0]) for _ in range(3)))
