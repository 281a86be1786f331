"""Layers are exact integer arithmetic; the other nodes do what their names say."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.zoo_vision.integer.networks import W4A3, W8A8, one_layer, small_network
from zoo_sdk.errors import InvalidInput
from zoo_vision.integer import arithmetic
from zoo_vision.integer.arithmetic import exact_type
from zoo_vision.integer.files import IntegerNetwork, Layer
from zoo_vision.integer.graph import (
    Activation,
    Affine,
    Combination,
    Concatenation,
    Convolution,
    Flatten,
    GlobalPooling,
    Graph,
    Integers,
    Linear,
    Node,
    Pooling,
    ZeroPadding,
)
from zoo_vision.integer.simulator import Simulator, quantised

Array = NDArray[Any]


def random(*shape: int, seed: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 2, size=shape).astype(np.float32)


def run(*nodes: Node, x: NDArray[np.float32]) -> Array:
    graph = Graph(input_shape=x.shape[1:], nodes=nodes)
    # Values of a picture come in channels-last order.
    result = Simulator(IntegerNetwork(graph, {}))(x)
    return result.transpose(0, 3, 1, 2) if result.ndim == 4 else result


def convolved(codes: Array, weights: Array, node: Convolution) -> NDArray[np.int64]:
    """Sums over windows in int64, one output number at a time."""
    (rows, columns), groups = node.padding, node.groups
    padded = np.pad(codes, ((0, 0), (0, 0), (rows, rows), (columns, columns))).astype(np.int64)
    height = (padded.shape[2] - (node.kernel[0] - 1) * node.dilation[0] - 1) // node.stride[0] + 1
    width = (padded.shape[3] - (node.kernel[1] - 1) * node.dilation[1] - 1) // node.stride[1] + 1
    result = np.zeros((len(codes), node.outputs, height, width), dtype=np.int64)
    for out in range(node.outputs):
        first = out // (node.outputs // groups) * node.inputs_per_group
        for i, j in np.ndindex(*node.kernel):
            top, left = i * node.dilation[0], j * node.dilation[1]
            part = padded[
                :,
                first : first + node.inputs_per_group,
                top : top + node.stride[0] * height : node.stride[0],
                left : left + node.stride[1] * width : node.stride[1],
            ][:, :, :height, :width]
            result[:, out] += (part * weights[out, :, i, j][None, :, None, None].astype(np.int64)).sum(axis=1)
    return result


def test_inputs_become_integers_with_halves_to_even_and_clipped() -> None:
    x = np.array([0.125, 0.375, 0.6, -3, 9], dtype=np.float32)
    assert quantised(x, W4A3).tolist() == [0, 2, 2, 0, 7]
    signed = Integers(weight_bits=4, input_bits=3, input_signed=True, input_step=0.25)
    assert quantised(x, signed).tolist() == [0, 2, 2, -4, 3]


@pytest.mark.parametrize("integers", [W4A3, W8A8])
def test_a_linear_layer_is_integer_arithmetic_exactly(integers: Integers) -> None:
    node = Linear(input=1, name="head", outputs=11, inputs=2 * 5 * 5, integers=integers)
    network = one_layer(node, (2, 5, 5), before=(Flatten(input=0),))
    x, layer = random(64, 2, 5, 5), network.layers["head"]
    assert layer.weights is not None
    codes = quantised(x.reshape(64, -1), integers).astype(np.int64)
    sums = codes @ layer.weights.astype(np.int64).T
    unit = IntegerNetwork(network.graph, {"head": Layer(layer.weights, np.ones(11, "f4"), np.zeros(11, "f4"))})
    assert np.array_equal(Simulator(unit)(x).astype(np.int64), sums)
    expected = sums.astype(np.float32) * layer.multiplier + layer.bias
    assert np.array_equal(Simulator(network)(x), expected)


@pytest.mark.parametrize(
    "change",
    [
        {"kernel": (3, 3), "padding": (1, 1)},
        {"kernel": (1, 1), "stride": (2, 2)},
        {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 0)},
        {"kernel": (3, 3), "dilation": (2, 1), "padding": (2, 1)},
        {"kernel": (3, 3), "groups": 2, "inputs_per_group": 2, "padding": (1, 1)},
        {"kernel": (3, 3), "groups": 4, "inputs_per_group": 1, "outputs": 4, "padding": (1, 1), "stride": (2, 2)},
        {"kernel": (3, 3), "groups": 4, "inputs_per_group": 1, "outputs": 8, "dilation": (1, 2)},
    ],
)
@pytest.mark.parametrize("workspace", [1, 2**26])
def test_a_convolution_is_integer_arithmetic_exactly(
    change: dict[str, Any], workspace: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arithmetic, "WORKSPACE_BYTES", workspace)
    shape = {"outputs": 6, "inputs_per_group": 4} | change
    node = Convolution.model_validate({"input": 0, "name": "conv", "integers": W8A8, **shape})
    network = one_layer(node, (4, 7, 6))
    x, weights = random(3, 4, 7, 6), network.layers["conv"].weights
    assert weights is not None
    ones, zeros = np.ones(node.outputs, "f4"), np.zeros(node.outputs, "f4")
    result = Simulator(IntegerNetwork(network.graph, {"conv": Layer(weights, ones, zeros)}))(x)
    assert np.array_equal(result.transpose(0, 3, 1, 2).astype(np.int64), convolved(quantised(x, W8A8), weights, node))


def test_sums_that_float32_cannot_hold_are_still_exact() -> None:
    node = Linear(input=1, name="head", outputs=2, inputs=4000, integers=W8A8)
    graph = Graph(input_shape=(1, 1, 4000), nodes=(Flatten(input=0), node))
    weights = np.full((2, 4000), -127, dtype=np.int16)
    weights[1, 0] = -126
    network = IntegerNetwork(graph, {"head": Layer(weights, np.ones(2, "f4"), np.zeros(2, "f4"))})
    assert exact_type(weights, 128) is np.float64
    assert exact_type(weights[:, :1000], 128) is np.float32
    difference = Simulator(IntegerNetwork(graph, {"head": Layer(weights, np.ones(2, "f4"), np.zeros(2, "f4"))}))
    x = np.full((1, 1, 1, 4000), 12.7, dtype=np.float32)
    exact = -127 * 127 * 4000
    assert difference(x).tolist() == [[np.float32(exact), np.float32(exact + 127)]]
    assert network.graph.shapes()[-1] == (2,)


def test_a_layer_in_float_is_a_plain_product() -> None:
    node = Convolution(input=0, name="conv", outputs=3, inputs_per_group=2, kernel=(1, 1))
    network = one_layer(node, (2, 4, 4))
    layer, x = network.layers["conv"], random(2, 2, 4, 4)
    assert layer.weights is not None
    expected = np.einsum("nchw,oc->nhwo", x, layer.weights[:, :, 0, 0]) * layer.multiplier + layer.bias
    np.testing.assert_allclose(Simulator(network)(x), expected, rtol=1e-5, atol=1e-5)


def test_activations_are_those_of_their_papers() -> None:
    x = np.concatenate([random(1, 1, 1, 50) * 3, np.full((1, 1, 1, 2), 200, "f4") * [1, -1]], axis=3).astype("f4")
    wide = x.astype(np.float64)
    sigmoid, hard = 1 / (1 + np.exp(-wide)), np.clip(wide + 3, 0, 6) / 6
    expected = {
        "relu": np.maximum(wide, 0),
        "relu6": np.clip(wide, 0, 6),
        "sigmoid": sigmoid,
        "silu": wide * sigmoid,
        "hardsigmoid": hard,
        "hardswish": wide * hard,
    }
    for function, values in expected.items():
        node = Activation.model_validate({"input": 0, "function": function})
        np.testing.assert_allclose(run(node, x=x), values, rtol=1e-5, atol=1e-6, err_msg=function)


@pytest.mark.parametrize("counts", [True, False])
def test_pooling_takes_the_maximum_or_mean_of_windows(counts: bool) -> None:
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4) - 20
    window: dict[str, Any] = {"input": 0, "kernel": (2, 2), "stride": (2, 2), "padding": (1, 1)}
    largest = run(Pooling(function="max", **window), x=x)
    assert largest[0, 0].tolist() == [[-20, -18, -17], [-12, -10, -9], [-8, -6, -5]]
    mean = run(Pooling(function="mean", counts_padding=counts, **window), x=x)
    corner = -20 / 4 if counts else -20
    assert mean[0, 0, 0, 0] == corner
    assert mean[0, 0, 1, 1] == x[0, 0, 1:3, 1:3].mean()


def test_zeros_are_put_around_a_picture_as_each_side_asks() -> None:
    x = random(2, 3, 4, 5)
    padded = run(ZeroPadding(input=0, sides=(0, 1, 2, 3)), x=x)
    assert np.array_equal(padded, np.pad(x, ((0, 0), (0, 0), (0, 2), (1, 3))))


def test_global_pooling_flattening_sums_products_and_concatenation_keep_the_order_of_channels() -> None:
    x = random(2, 3, 4, 5)
    np.testing.assert_allclose(
        run(GlobalPooling(input=0, function="mean", flat=True), x=x), x.mean(axis=(2, 3)), rtol=1e-5, atol=1e-6
    )
    kept = run(GlobalPooling(input=0, function="max", flat=False), x=x)
    assert np.array_equal(kept, x.max(axis=(2, 3), keepdims=True))
    assert np.array_equal(run(Flatten(input=0), x=x), x.reshape(2, -1))
    relu = Activation(input=0, function="relu")
    positive = np.maximum(x, 0)
    assert np.array_equal(run(relu, Combination(function="add", inputs=(0, 1)), x=x), x + positive)
    pooled = GlobalPooling(input=0, function="max", flat=False)
    excited = run(pooled, Combination(function="multiply", inputs=(0, 1)), x=x)
    assert np.array_equal(excited, x * x.max(axis=(2, 3), keepdims=True))
    joined = run(relu, Concatenation(inputs=(1, 0)), x=x)
    assert np.array_equal(joined, np.concatenate([positive, x], axis=1))


def test_an_affine_multiplies_and_adds_for_each_channel() -> None:
    x, scale, shift = random(2, 3, 4, 4), np.array([1, 2, 3], "f4"), np.array([0, 1, -1], "f4")
    graph = Graph(input_shape=(3, 4, 4), nodes=(Affine(input=0, name="norm", channels=3),))
    result = Simulator(IntegerNetwork(graph, {"norm": Layer(None, scale, shift)}))(x)
    assert np.array_equal(result.transpose(0, 3, 1, 2), x * scale[:, None, None] + shift[:, None, None])


def test_the_result_does_not_depend_on_the_batch() -> None:
    simulator, x = Simulator(small_network()), random(9, 2, 5, 5)
    np.testing.assert_allclose(simulator(x), np.concatenate([simulator(x[:4]), simulator(x[4:])]), rtol=1e-5, atol=1e-5)


def test_inputs_of_another_shape_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"\[None, 2, 5, 5\]"):
        Simulator(small_network())(random(1, 2, 5, 6))
