"""Runs a Darknet network in NumPy, layer by layer as Darknet's C does it: what the ONNX model is compared with.

Written from Darknet's sources, not from the ONNX graph, and shares nothing with it but the parsed files.  Slow; batches
of one picture.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from zoo_darknet.configuration import Layer, Network, padding_of, pool_of
from zoo_darknet.weights import LayerWeights, Weights
from zoo_sdk.errors import InvalidInput

Array = NDArray[np.float32]
EPSILON = np.float32(1e-6)
"""Added to the standard deviation, not to the variance (``normalize_cpu`` in blas.c)."""


def run_network(network: Network, weights: Weights, picture: Array) -> dict[int, Array]:
    """What every layer gives for one picture (C, H, W), by its number."""
    found: dict[int, Array] = {-1: picture.astype(np.float32)}
    for layer in network.layers:
        taken = [found[source] for source in layer.sources]
        found[layer.number] = _apply(layer, weights.layers.get(layer.number), taken)
    return found


def _apply(layer: Layer, weights: LayerWeights | None, taken: list[Array]) -> Array:
    if weights is not None:
        product = _convolved(layer, weights, taken[0]) if layer.kind == "convolutional" else _product(weights, taken[0])
        return _activated(layer, _normalised(product, weights), "logistic")
    if layer.kind == "shortcut":
        return _activated(layer, np.add.reduce(taken), "linear")
    if layer.kind == "route":
        groups, group = layer.number_of("groups", 1), layer.number_of("group_id", 0)
        return np.concatenate([array.reshape(groups, -1, *array.shape[1:])[group] for array in taken])
    return _UNWEIGHTED[layer.kind](layer, taken[0]) if layer.kind in _UNWEIGHTED else taken[0]


def _product(weights: LayerWeights, values: Array) -> Array:
    return (weights.kernel @ values.reshape(-1)).reshape(-1, 1, 1)


def _upsampled(layer: Layer, picture: Array) -> Array:
    stride = layer.number_of("stride", 2)
    return picture.repeat(stride, axis=1).repeat(stride, axis=2)


def _softmax(_layer: Layer, values: Array) -> Array:
    raised = np.exp(values - values.max())
    return np.asarray(raised / raised.sum())


def _mean(_layer: Layer, picture: Array) -> Array:
    return np.asarray(picture.mean(axis=(1, 2), keepdims=True))


def _convolved(layer: Layer, weights: LayerWeights, picture: Array) -> Array:
    """One product for each place of the kernel: little memory, whatever the picture's size."""
    padding, stride = padding_of(layer), layer.number_of("stride", 1)
    padded = np.pad(picture, ((0, 0), (padding, padding), (padding, padding)))
    filters, height, width = layer.shape
    groups = layer.number_of("groups", 1)
    result = np.zeros((filters, height * width), np.float32)
    share_in, share_out = len(picture) // groups, filters // groups
    for row in range(weights.kernel.shape[2]):
        for column in range(weights.kernel.shape[3]):
            seen = padded[:, row : row + height * stride : stride, column : column + width * stride : stride]
            seen = seen[:, :height, :width].reshape(len(picture), -1)
            for group in range(groups):
                outputs = slice(group * share_out, (group + 1) * share_out)
                kernel = weights.kernel[outputs, :, row, column]
                result[outputs] += kernel @ seen[group * share_in : (group + 1) * share_in]
    return result.reshape(filters, height, width)


def _normalised(values: Array, weights: LayerWeights) -> Array:
    own = weights.normalisation
    if own is not None:
        deviation = np.sqrt(own.variance) + EPSILON
        values = (values - own.mean[:, None, None]) / deviation[:, None, None] * own.scale[:, None, None]
    return values + weights.bias[:, None, None]


def _pooled(layer: Layer, picture: Array) -> Array:
    size, stride, padding = pool_of(layer)
    before = padding // 2
    far = ((0, 0), (before, padding - before + size), (before, padding - before + size))
    padded = np.pad(picture, far, constant_values=-np.inf)
    windows = sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    _, height, width = layer.shape
    return np.asarray(windows[:, :height, :width].max(axis=(3, 4)))


_UNWEIGHTED: Mapping[str, Callable[[Layer, Array], Array]] = {
    "maxpool": _pooled,
    "avgpool": _mean,
    "upsample": _upsampled,
    "softmax": _softmax,
}


def _activated(layer: Layer, values: Array, default: str) -> Array:
    kind = layer.text("activation", default)
    if kind not in ACTIVATIONS:
        raise InvalidInput(f"{layer.name} has the activation {kind[:40]!r}, which is not read.")
    return np.asarray(ACTIVATIONS[kind](values), np.float32)


def _logistic(values: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-values.astype(np.float64))))


def _mish(values: Array) -> Array:
    return np.asarray(values * np.tanh(np.logaddexp(0, values)))


ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "linear": lambda values: values,
    "leaky": lambda values: np.where(values > 0, values, np.float32(0.1) * values),
    "relu": lambda values: np.maximum(values, 0),
    "logistic": _logistic,
    "tanh": np.tanh,
    "mish": _mish,
    "swish": lambda values: values * _logistic(values),
    "elu": lambda values: np.where(values >= 0, values, np.expm1(np.minimum(values, 0))),
}
