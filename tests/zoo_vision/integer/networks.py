"""Small integer networks made by hand."""

from typing import Any

import numpy as np

from zoo_vision.integer.files import IntegerNetwork, Layer
from zoo_vision.integer.graph import Convolution, Flatten, GlobalPooling, Graph, Integers, Linear, Node

W4A3 = Integers(weight_bits=4, input_bits=3, input_signed=False, input_step=0.25)
W8A8 = Integers(weight_bits=8, input_bits=8, input_signed=True, input_step=0.1)


def layer(random: np.random.Generator, shape: tuple[int, ...], integers: Integers | None) -> Layer:
    low, high = integers.weight_range if integers else (0, 0)
    weights: Any = random.normal(size=shape).astype(np.float32)
    if integers:
        weights = random.integers(low, high + 1, size=shape).astype(np.int16)
    multiplier, bias = (random.normal(size=shape[0]).astype(np.float32) for _ in range(2))
    return Layer(weights, multiplier, bias)


def one_layer(
    node: Convolution | Linear, input_shape: tuple[int, int, int], *, seed: int = 0, before: tuple[Node, ...] = ()
) -> IntegerNetwork:
    graph = Graph(input_shape=input_shape, nodes=(*before, node))
    return IntegerNetwork(graph, {node.name: layer(np.random.default_rng(seed), node.weight_shape, node.integers)})


def small_network() -> IntegerNetwork:
    """Two convolutions, one of them in float, and a linear layer."""
    nodes: tuple[Node, ...] = (
        Convolution(input=0, name="first", outputs=6, inputs_per_group=2, kernel=(3, 3), padding=(1, 1), integers=W8A8),
        Convolution(input=1, name="second", outputs=4, inputs_per_group=6, kernel=(1, 1)),
        GlobalPooling(input=2, function="mean", flat=False),
        Flatten(input=3),
        Linear(input=4, name="head", outputs=5, inputs=4, integers=W4A3),
    )
    random = np.random.default_rng(1)
    layers = {
        node.name: layer(random, node.weight_shape, node.integers)
        for node in nodes
        if isinstance(node, (Convolution, Linear))
    }
    return IntegerNetwork(Graph(input_shape=(2, 5, 5), nodes=nodes), layers)
