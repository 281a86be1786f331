"""A quantised network as one file: packed integer weights with their scales, and the graph as JSON.

The container is safetensors: the graph is the metadata ``zoo.integer``; a layer NAME has the tensors

- ``NAME.codes``: uint8, its weights (out, in, ...) row by row, packed by :func:`zoo_vision.integer.bits.pack`;
  or ``NAME.weight``: float32, where it was left in floating point;
- ``NAME.multiplier`` and ``NAME.bias``: float32 (out,).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from zoo_sdk.errors import InvalidInput
from zoo_vision.integer.bits import pack, packed_size, unpack
from zoo_vision.integer.graph import Affine, Convolution, Graph, Linear, WeightedNode

METADATA_KEY = "zoo.integer"
MAX_FILE_BYTES = 4 * 2**30
MAX_GRAPH_CHARACTERS = 8 * 2**20
MAX_WEIGHTS = 2**29


@dataclass(frozen=True)
class Layer:
    """``weights``: int16 codes or float32, (out, in, ...); None for an affine.  The others are float32 (out,)."""

    weights: NDArray[Any] | None
    multiplier: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True)
class IntegerNetwork:
    """A graph and the numbers of its layers, by name."""

    graph: Graph
    layers: Mapping[str, Layer]


def write_network(network: IntegerNetwork, path: Path) -> None:
    """Write a file for :func:`read_network`; equal networks give equal bytes."""
    tensors: dict[str, NDArray[Any]] = {}
    for node in network.graph.nodes:
        if not isinstance(node, (Convolution, Linear, Affine)):
            continue
        layer = network.layers[node.name]
        tensors[f"{node.name}.multiplier"], tensors[f"{node.name}.bias"] = layer.multiplier, layer.bias
        if isinstance(node, (Convolution, Linear)) and layer.weights is not None:
            if node.integers is None:
                tensors[f"{node.name}.weight"] = np.ascontiguousarray(layer.weights, dtype=np.float32)
            else:
                lowest, _ = node.integers.weight_range
                tensors[f"{node.name}.codes"] = pack(layer.weights, node.integers.weight_bits, lowest)
    save_file(tensors, path, metadata={METADATA_KEY: network.graph.model_dump_json()})


def read_network(path: Path, source: str) -> IntegerNetwork:
    """Read a file that somebody sent: nothing in it is executed, and every size is checked before memory is taken.

    Args:
        path: the file.
        source: names it in messages.

    Raises:
        InvalidInput: too large, damaged, or its graph and its tensors disagree.

    """
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise _invalid(source, f"has {size:,} bytes, more than {MAX_FILE_BYTES:,}")
    try:
        with safe_open(path, framework="numpy") as file:
            graph = _read_graph((file.metadata() or {}).get(METADATA_KEY), source)
            layers = _read_layers(file, graph, source)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise _invalid(source, f"is damaged: {str(error)[:300]}") from error
    return IntegerNetwork(graph, layers)


def _read_graph(text: str | None, source: str) -> Graph:
    if text is None:
        raise _invalid(source, f"has no graph (the metadata {METADATA_KEY!r})")
    if len(text) > MAX_GRAPH_CHARACTERS:
        raise _invalid(source, f"has a graph of {len(text):,} characters, more than {MAX_GRAPH_CHARACTERS:,}")
    try:
        return Graph.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _invalid(source, f"has a wrong graph: {where}: {first['msg']}") from error


def _read_layers(file: Any, graph: Graph, source: str) -> dict[str, Layer]:
    nodes = [node for node in graph.nodes if isinstance(node, (Convolution, Linear, Affine))]
    weights = sum(prod(node.weight_shape) for node in nodes if not isinstance(node, Affine))
    if weights > MAX_WEIGHTS:
        raise _invalid(source, f"has {weights:,} weights, more than {MAX_WEIGHTS:,}")
    layers: dict[str, Layer] = {}
    used: set[str] = set()

    def tensor(name: str, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
        described = file.get_slice(name)
        if described.get_dtype() != dtype or tuple(described.get_shape()) != shape:
            raise _invalid(
                source, f"holds {name} as {described.get_dtype()} {described.get_shape()}, not {dtype} {list(shape)}"
            )
        used.add(name)
        array: NDArray[Any] = file.get_tensor(name)
        if dtype == "F32" and not np.isfinite(array).all():
            raise _invalid(source, f"holds a number in {name} that is not finite")
        return array

    for node in nodes:
        channels = (node.channels if isinstance(node, Affine) else node.outputs,)
        multiplier, bias = (tensor(f"{node.name}.{part}", "F32", channels) for part in ("multiplier", "bias"))
        codes = None if isinstance(node, Affine) else _read_weights(node, tensor)
        layers[node.name] = Layer(codes, multiplier, bias)
    if extra := set(file.keys()) - used:
        raise _invalid(source, f"holds tensors that its graph does not use, such as {min(extra)[:100]}")
    return layers


def _read_weights(node: WeightedNode, tensor: Any) -> NDArray[Any]:
    shape = node.weight_shape
    if node.integers is None:
        weights: NDArray[np.float32] = tensor(f"{node.name}.weight", "F32", shape)
        return weights
    bits, (lowest, _) = node.integers.weight_bits, node.integers.weight_range
    packed = tensor(f"{node.name}.codes", "U8", (packed_size(prod(shape), bits),))
    return unpack(packed, prod(shape), bits, lowest).reshape(shape)


def describe(graph: Graph) -> dict[str, Any]:
    """What people may want to know of a graph, for the description of its artifact."""
    layers = [node for node in graph.nodes if isinstance(node, (Convolution, Linear))]
    quantised = [node.integers for node in layers if node.integers is not None]
    return {
        "nodes": len(graph.nodes),
        "layers": len(layers),
        "layers_in_float": len(layers) - len(quantised),
        "weight_bits": sorted({item.weight_bits for item in quantised}),
        "activation_bits": sorted({item.input_bits for item in quantised}),
        "graph_bytes": len(json.dumps(graph.model_dump(mode="json"))),
    }


def _invalid(source: str, fault: str) -> InvalidInput:
    return InvalidInput(
        f"{source} {fault}.", hint="Export the network again with torch.quantize_aware.", facts={"source": source}
    )
