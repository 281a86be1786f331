"""Layers that work on each element or along one axis: normalisation, activations, merging, shapes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo_keras.graphs.builder import PLANAR_AXIS, Value
from zoo_keras.graphs.call import Call, clipped, per_axis, softmax


def identity(call: Call) -> Value:
    """What only matters in training passes its input on."""
    return call.value


def batch_normalisation(call: Call) -> Value:
    """Over the channels; weights are gamma and beta, as far as the layer has them, then mean and variance."""
    value, weights = call.value, list(call.weights)
    axis = int(call.setting("axis", -1)) % value.rank
    size = weights[-1].shape[0]
    gamma = weights.pop(0) if call.switch("scale", default=True) else np.ones(size)
    beta = weights.pop(0) if call.switch("center", default=True) else np.zeros(size)
    mean, variance = weights
    epsilon = float(call.setting("epsilon", 1e-3))
    if value.rank == 4 and axis == 3:
        value = call.graph.planar(value)
    elif value.rank == 2 or (value.rank == 4 and axis == 1):
        value = call.graph.as_keras(value)
    else:
        factor = gamma / np.sqrt(variance + epsilon)
        return _scaled(call, factor, beta - mean * factor, axis)
    named = {"gamma": gamma, "beta": beta, "mean": mean, "variance": variance}
    inputs = [call.graph.floats(f"{call.name}:{key}", array) for key, array in named.items()]
    name = call.graph.add("BatchNormalization", [value.name, *inputs], call.name, epsilon=epsilon)
    return Value(name, call.shape, value.planar)


def _scaled(call: Call, factor: NDArray[Any], offset: NDArray[Any], axis: int) -> Value:
    """``value * factor + offset`` along an axis as Keras counts it; scalars hold for all."""
    value = call.value
    place = PLANAR_AXIS[axis] if value.planar else axis
    arrays = [array if np.ndim(array) == 0 else per_axis(array, value.rank, place) for array in (factor, offset)]
    scale, shift = (
        call.graph.floats(f"{call.name}:{key}", array) for key, array in zip(("scale", "offset"), arrays, strict=True)
    )
    product = call.graph.add("Mul", [value.name, scale], f"{call.name}:scaled")
    return Value(call.graph.add("Add", [product, shift], call.name), call.shape, value.planar)


def layer_normalisation(call: Call) -> Value:
    """Over the last axis."""
    value = call.graph.as_keras(call.value)
    axis = call.setting("axis", -1)
    axes = axis if isinstance(axis, list) else [axis]
    if [number % value.rank for number in axes] != [value.rank - 1]:
        raise call.refusal(f"normalises over the axes {axes}; the last one is read")
    weights, size = list(call.weights), value.shape[-1]
    gamma = weights.pop(0) if call.switch("scale", default=True) else np.ones(size or 0)
    inputs = [value.name, call.graph.floats(f"{call.name}:gamma", gamma)]
    if call.switch("center", default=True):
        inputs.append(call.graph.floats(f"{call.name}:beta", weights.pop(0)))
    epsilon = float(call.setting("epsilon", 1e-3))
    name = call.graph.add("LayerNormalization", inputs, call.name, axis=-1, epsilon=epsilon)
    return Value(name, call.shape)


def normalization(call: Call) -> Value:
    """The mean and variance of an input, given in the settings or learnt; over the last axis or all."""
    if call.layer.settings.get("mean") is not None:
        mean, variance = (np.asarray(call.layer.settings[key], np.float64).reshape(-1) for key in ("mean", "variance"))
    else:
        mean, variance = (np.asarray(array, np.float64).reshape(-1) for array in call.weights[:2])
    factor = 1 / np.maximum(np.sqrt(variance), 1e-7)
    offset = -mean * factor
    if mean.size == 1:
        return _scaled(call, factor[0], offset[0], 0)
    axis = call.setting("axis", -1)
    number = (axis[0] if isinstance(axis, list) and len(axis) == 1 else axis) % call.value.rank
    return _scaled(call, factor, offset, number)


def rescaling(call: Call) -> Value:
    """A factor and an offset, each for all values or one for each channel."""
    last = call.value.rank - 1
    scale, offset = (
        np.asarray(call.setting(key, default), np.float64) for key, default in (("scale", 1), ("offset", 0))
    )
    return _scaled(call, scale, offset, last)


def activation(call: Call) -> Value:
    """An activation as a layer of its own."""
    return call.activated(call.value)


def relu(call: Call) -> Value:
    """Relu, leaky, or cut off at a largest value."""
    slope, threshold = float(call.setting("negative_slope", 0)), float(call.setting("threshold", 0))
    most = call.setting("max_value", None)
    if threshold or (slope and most is not None):
        raise call.refusal("has a threshold, or a slope together with a largest value")
    if slope:
        name = call.graph.add("LeakyRelu", [call.value.name], call.name, alpha=slope)
    elif most is None:
        name = call.graph.add("Relu", [call.value.name], call.name)
    else:
        name = clipped(call, call.value.name, 0, float(most))
    return Value(name, call.shape, call.value.planar)


def leaky_relu(call: Call) -> Value:
    """A slope below zero that is fixed."""
    alpha = float(call.setting("negative_slope", 0.3))
    name = call.graph.add("LeakyRelu", [call.value.name], call.name, alpha=alpha)
    return Value(name, call.shape, call.value.planar)


def elu(call: Call) -> Value:
    """An exponential below zero."""
    name = call.graph.add("Elu", [call.value.name], call.name, alpha=float(call.setting("alpha", 1)))
    return Value(name, call.shape, call.value.planar)


def parametric_relu(call: Call) -> Value:
    """Keras' slopes have the shape of one sample, 1 along shared axes."""
    value, slope = call.value, call.weights[0][None]
    if value.planar:
        slope = slope.transpose(0, 3, 1, 2)
    name = call.graph.add("PRelu", [value.name, call.graph.floats(f"{call.name}:slope", slope)], call.name)
    return Value(name, call.shape, value.planar)


def softmax_layer(call: Call) -> Value:
    """A softmax as a layer of its own."""
    axis = call.setting("axis", -1)
    if isinstance(axis, list):
        raise call.refusal(f"is over the axes {axis}")
    return softmax(call, call.value, int(axis))


def _alike(call: Call) -> tuple[list[str], bool]:
    """The inputs with their axes in the same order: planar if any is, as then a convolution is near."""
    ranks = {value.rank for value in call.inputs}
    if len(ranks) != 1:
        raise call.refusal(f"merges values of {sorted(ranks)} axes")
    planar = any(value.planar for value in call.inputs)
    turn = call.graph.planar if planar else call.graph.as_keras
    return [turn(value).name for value in call.inputs], planar


def merge(kind: str, *, pairwise: bool = False) -> Callable[[Call], Value]:
    """An element-wise layer of several inputs; ``pairwise``: the ONNX operator takes two at a time."""

    def emit(call: Call) -> Value:
        names, planar = _alike(call)
        if pairwise:
            result = names[0]
            for number, name in enumerate(names[1:], start=2):
                step = call.name if number == len(names) else f"{call.name}:{number}"
                result = call.graph.add(kind, [result, name], step)
        else:
            result = call.graph.add(kind, names, call.name)
        return Value(result, call.shape, planar)

    return emit


def concatenate(call: Call) -> Value:
    """Joins along an axis."""
    names, planar = _alike(call)
    axis = int(call.setting("axis", -1)) % call.value.rank
    name = call.graph.add("Concat", names, call.name, axis=PLANAR_AXIS[axis] if planar else axis)
    return Value(name, call.shape, planar)


def flatten(call: Call) -> Value:
    """Keras flattens with the channels last, whatever the data format."""
    value = call.graph.as_keras(call.value)
    source = value.name
    if call.channels_first and value.rank > 2:
        order = [0, *range(2, value.rank), 1]
        source = call.graph.add("Transpose", [source], f"{call.name}:channels_last", perm=order)
    return Value(call.graph.add("Flatten", [source], call.name), call.shape)


def reshape(call: Call) -> Value:
    """Keras fills the new shape in the order of its own axes."""
    value = call.graph.as_keras(call.value)
    target = [int(size) for size in call.setting("target_shape", [])]
    if value.rank == 2 and len(target) == 3 and target[:2] == [1, 1]:
        # One number per channel, as a squeeze-and-excitation block makes it: it lies the same in both orders.
        shape = call.graph.integers(f"{call.name}:shape", [0, target[2], 1, 1])
        return Value(call.graph.add("Reshape", [value.name, shape], call.name), call.shape, planar=True)
    shape = call.graph.integers(f"{call.name}:shape", [0, *target])
    return Value(call.graph.add("Reshape", [value.name, shape], call.name), call.shape)


def permute(call: Call) -> Value:
    """Turns the axes of a sample, which Keras counts from one."""
    value = call.graph.as_keras(call.value)
    order = [0, *(int(axis) for axis in call.setting("dims", []))]
    return Value(call.graph.add("Transpose", [value.name], call.name, perm=order), call.shape)
