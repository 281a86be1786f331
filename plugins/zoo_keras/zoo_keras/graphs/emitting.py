"""Walks a network and turns it into an ONNX model, layer by layer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import onnx

from zoo_keras.graphs import convolutions, elements, pooling
from zoo_keras.graphs.builder import GraphBuilder, Shape, Value
from zoo_keras.graphs.call import Call
from zoo_keras.networks.allowed import IDENTITIES
from zoo_keras.networks.building import in_order, resolve
from zoo_keras.networks.network import Layer, Network, Ref
from zoo_keras.runtime import weights_of

_EMITTERS: Mapping[str, Callable[[Call], Value]] = {
    "Conv2D": convolutions.convolution,
    "DepthwiseConv2D": convolutions.depthwise_convolution,
    "SeparableConv2D": convolutions.separable_convolution,
    "Conv2DTranspose": convolutions.transposed_convolution,
    "Dense": convolutions.dense,
    "BatchNormalization": elements.batch_normalisation,
    "LayerNormalization": elements.layer_normalisation,
    "Normalization": elements.normalization,
    "Rescaling": elements.rescaling,
    "Activation": elements.activation,
    "ReLU": elements.relu,
    "LeakyReLU": elements.leaky_relu,
    "PReLU": elements.parametric_relu,
    "ELU": elements.elu,
    "Softmax": elements.softmax_layer,
    "Add": elements.merge("Add", pairwise=True),
    "Subtract": elements.merge("Sub", pairwise=True),
    "Multiply": elements.merge("Mul", pairwise=True),
    "Average": elements.merge("Mean"),
    "Maximum": elements.merge("Max"),
    "Minimum": elements.merge("Min"),
    "Concatenate": elements.concatenate,
    "MaxPooling2D": pooling.maximum_pool,
    "AveragePooling2D": pooling.average_pool,
    "GlobalMaxPooling2D": pooling.global_maximum_pool,
    "GlobalAveragePooling2D": pooling.global_average_pool,
    "Flatten": elements.flatten,
    "Reshape": elements.reshape,
    "Permute": elements.permute,
    "ZeroPadding2D": pooling.zero_padding,
    "Cropping2D": pooling.cropping,
    "UpSampling2D": pooling.upsampling,
    **dict.fromkeys(IDENTITIES, elements.identity),
}
"""One for each layer of :data:`zoo_keras.networks.allowed.LAYERS` but the input."""


def emit(network: Network, model: keras.Model, *, show: Sequence[str] = ()) -> onnx.ModelProto:
    """The ONNX model of a network; the values keep the names of the layers.

    Args:
        network: the network.
        model: the Keras model built from it, with its weights.
        show: layers of the outermost network whose (first) outputs become outputs of the graph as well.

    Raises:
        InvalidInput: a layer that is known, but not with these settings; by its name.

    """
    graph = GraphBuilder()
    inputs = [graph.input(ref.layer, _shape(network.by_name[ref.layer].settings["shape"])) for ref in network.inputs]
    values = _walk(graph, network, model, inputs)
    ends = [(_output_name(ref, network), values[resolve(network, ref)]) for ref in network.outputs]
    ends += [(f"shown:{name}", values[Ref(name, 0, 0)]) for name in show]
    return graph.model(network.name, ends)


def _walk(
    graph: GraphBuilder, network: Network, model: keras.Model, inputs: Sequence[Value], scope: str = ""
) -> dict[Ref, Value]:
    """The values of all calls of a network whose inputs are given."""
    values = dict(zip((Ref(ref.layer, 0, 0) for ref in network.inputs), inputs, strict=True))
    for layer, call in in_order(network):
        given = tuple(values[resolve(network, ref)] for ref in layer.calls[call])
        made = model.get_layer(layer.name)
        if layer.inner is not None:
            inner = _walk(graph, layer.inner, made, given, f"{scope}{layer.name}/")
            found = [inner[resolve(layer.inner, ref)] for ref in layer.inner.outputs]
        else:
            found = [_emit_layer(graph, layer, made, given, scope)]
        values |= {Ref(layer.name, call, number): value for number, value in enumerate(found)}
    return values


def _emit_layer(graph: GraphBuilder, layer: Layer, made: Any, given: tuple[Value, ...], scope: str) -> Value:
    shapes = [value.shape for value in given]
    shape = _shape(made.compute_output_shape(shapes if len(shapes) > 1 else shapes[0]))
    return _EMITTERS[layer.kind](Call(graph, layer, weights_of(made), given, shape, scope))


def _shape(sizes: Sequence[int | None]) -> Shape:
    return (None, *(None if size is None else int(size) for size in sizes[1:]))


def _output_name(ref: Ref, network: Network) -> str:
    """The layer's name where that tells the output; an input that is an output, or one of several, gets a number."""
    several = [other.layer for other in network.outputs].count(ref.layer) > 1 or ref in network.inputs
    return f"{ref.layer}:{ref.call}:{ref.tensor}" if several else ref.layer
