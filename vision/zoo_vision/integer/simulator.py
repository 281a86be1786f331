"""Runs a quantised network in plain numpy: integers in its layers, floating point between them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo_sdk.errors import InvalidInput
from zoo_vision.integer.arithmetic import ConvolutionSums, exact_type, linear_sums
from zoo_vision.integer.files import IntegerNetwork, Layer
from zoo_vision.integer.graph import (
    Activation,
    Affine,
    Combination,
    Concatenation,
    Convolution,
    Flatten,
    GlobalPooling,
    Integers,
    Linear,
    Node,
    Pooling,
    WeightedNode,
    ZeroPadding,
)

Array = NDArray[Any]
Step = Callable[..., Array]


class Simulator:
    """Call it with inputs; between the nodes it holds float32 in channels-last order, (N, H, W, C) or (N, F).

    An input x of a quantised layer becomes round(clip(x / step, low, high)), halves to even, divided in float32 as
    PyTorch and ONNX do; the sums of products are exact integers (see :mod:`zoo_vision.integer.arithmetic`); a sum a
    becomes multiplier * a + bias in the type in which it is exact, then float32.
    """

    def __init__(self, network: IntegerNetwork) -> None:
        self._graph = network.graph
        self._steps = [_step(node, network) for node in network.graph.nodes]
        self._last_uses = network.graph.last_uses()

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, C, H, W) in the order of PyTorch to logits (N, classes).

        Raises:
            InvalidInput: the shape is not that of the graph.

        """
        if inputs.shape[1:] != self._graph.input_shape:
            raise InvalidInput(
                f"Inputs of the shape {list(inputs.shape)} enter a network for {[None, *self._graph.input_shape]}.",
                hint="Preprocess the pictures as the artifact says.",
            )
        values: dict[int, Array] = {0: np.ascontiguousarray(inputs.transpose(0, 2, 3, 1), dtype=np.float32)}
        for number, (node, step) in enumerate(zip(self._graph.nodes, self._steps, strict=True), 1):
            sources = node.sources()
            values[number] = step(*(values[source] for source in sources))
            for source in set(sources):
                if self._last_uses[source] == number:
                    del values[source]
        result: NDArray[np.float32] = values[len(self._graph.nodes)]
        return result


def _step(node: Node, network: IntegerNetwork) -> Step:
    """The function of the values that a node reads."""
    match node:
        case Convolution() | Linear():
            return _weighted(node, network.layers[node.name])
        case Affine():
            layer = network.layers[node.name]
            return lambda x: x * layer.multiplier + layer.bias
        case Activation():
            return _ACTIVATIONS[node.function]
        case Pooling() | GlobalPooling() | ZeroPadding():
            return partial(_ON_PICTURES[node.op], node=node)
        case Combination():
            return np.add if node.function == "add" else np.multiply
        case Concatenation():
            return lambda *parts: np.concatenate(parts, axis=-1)
        case Flatten():
            return _flattened


def _weighted(node: WeightedNode, layer: Layer) -> Step:
    assert layer.weights is not None  # noqa: S101 (files.py reads none without)
    integers = node.integers
    kind: type[np.floating[Any]] = np.float32
    if integers is not None:
        kind = exact_type(layer.weights, max(map(abs, integers.input_range)))
    weights = layer.weights.astype(kind)
    sums = ConvolutionSums(node, weights) if isinstance(node, Convolution) else None

    def run(x: Array) -> Array:
        codes = x if integers is None else quantised(x, integers).astype(kind, copy=False)
        total = linear_sums(codes, weights) if sums is None else sums(codes)
        total *= layer.multiplier
        total += layer.bias
        return total.astype(np.float32, copy=False)

    return run


def quantised(x: NDArray[np.float32], integers: Integers) -> NDArray[np.float32]:
    """round(clip(x / step, low, high)), halves to even: whole numbers, held as float32."""
    codes: NDArray[np.float32] = x / np.float32(integers.input_step)
    np.clip(codes, *integers.input_range, out=codes)
    np.rint(codes, out=codes)
    return codes


def _sigmoid(x: Array) -> Array:
    # Of -|x| the exponential cannot overflow.
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(x.dtype)


def _hardsigmoid(x: Array) -> Array:
    return np.clip(x + np.float32(3), 0, 6) / np.float32(6)


_ACTIVATIONS: dict[str, Step] = {
    "relu": lambda x: np.maximum(x, np.float32(0)),
    "relu6": lambda x: np.clip(x, np.float32(0), np.float32(6)),
    "hardsigmoid": _hardsigmoid,
    "hardswish": lambda x: x * _hardsigmoid(x),
    "sigmoid": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
}


def _pooled(x: Array, node: Pooling) -> Array:
    (rows, columns), around = node.padding, np.float32(-np.inf if node.function == "max" else 0)
    border = ((0, 0), (rows, rows), (columns, columns), (0, 0))
    padded = np.pad(x, border, constant_values=around)
    if node.function == "max":
        return _over_windows(padded, node, np.maximum)
    total = _over_windows(padded, node, np.add)
    if node.counts_padding:
        return total / np.float32(node.kernel[0] * node.kernel[1])
    inside = np.pad(np.ones((1, *x.shape[1:3], 1), dtype=np.float32), border)
    return total / _over_windows(inside, node, np.add)


def _padded(x: Array, node: ZeroPadding) -> Array:
    top, left, bottom, right = node.sides
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))


def _over_windows(padded: Array, node: Pooling, function: Any) -> Array:
    height, width = ((padded.shape[axis + 1] - node.kernel[axis]) // node.stride[axis] + 1 for axis in (0, 1))
    result: Array | None = None
    for top in range(node.kernel[0]):
        for left in range(node.kernel[1]):
            part = padded[
                :,
                top : top + (height - 1) * node.stride[0] + 1 : node.stride[0],
                left : left + (width - 1) * node.stride[1] + 1 : node.stride[1],
            ]
            result = part.copy() if result is None else function(result, part, out=result)
    return np.asarray(result)


def _pooled_wholly(x: Array, node: GlobalPooling) -> Array:
    axes, keep = (1, 2), not node.flat
    if node.function == "max":
        return np.asarray(x.max(axis=axes, keepdims=keep))
    return np.asarray(x.mean(axis=axes, keepdims=keep, dtype=np.float32))


def _flattened(x: Array) -> Array:
    # PyTorch counts channel by channel.
    ordered = x.transpose(0, 3, 1, 2) if x.ndim == 4 else x
    return ordered.reshape(len(x), -1)


_ON_PICTURES: dict[str, Callable[..., Array]] = {
    "pooling": _pooled,
    "global_pooling": _pooled_wholly,
    "zero_padding": _padded,
}
