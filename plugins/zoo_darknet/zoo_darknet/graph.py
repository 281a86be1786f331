"""Turns a Darknet network into an ONNX model; the values carry the names of the layers: ``12_convolutional``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from zoo_darknet.configuration import Layer, Network, Shape, padding_of, pool_of
from zoo_darknet.weights import LayerWeights, Normalisation, Weights
from zoo_sdk.errors import InvalidInput

OPSET = 20
IR_VERSION = 10
INPUT = "data"
EPSILON = 1e-6
"""Darknet adds it to the standard deviation; ONNX would add its own to the variance."""
_UNREAD = {
    "convolutional": {"binary": 0, "xnor": 0, "dilation": 1, "antialiasing": 0, "share_index": -1},
    "shortcut": {"weights_normalization": 0},
    "softmax": {"groups": 1},
    "maxpool": {"maxpool_depth": 0, "antialiasing": 0},
}
"""Settings that change what a layer computes and are not read, with the value that means nothing."""


def build_graph(network: Network, weights: Weights, *, fold: bool, show: Sequence[str] = ()) -> onnx.ModelProto:
    """The model.

    Args:
        network: the parsed configuration.
        weights: of the same network.
        fold: make batch normalisation part of the convolutions' weights.
        show: names of layers that become outputs as well.

    Raises:
        InvalidInput: a layer whose settings are not read, by its name; more than 2 GiB of weights.

    """
    graph = _Graph(weights, fold=fold)
    names = {-1: INPUT}
    for layer in network.layers:
        names[layer.number] = graph.layer(layer, [names[source] for source in layer.sources])
    outputs = [(names[number], _shape_of(network, number)) for number in dict.fromkeys(network.outputs)]
    by_name = {layer.name: layer for layer in network.layers}
    outputs += [(name, by_name[name].shape) for name in show if name not in {one for one, _ in outputs}]
    return graph.finished(network, outputs)


def _shape_of(network: Network, number: int) -> Shape:
    return network.shape if number < 0 else network.layers[number].shape


class _Graph:
    def __init__(self, weights: Weights, *, fold: bool) -> None:
        self._all, self._fold = weights, fold
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, name: str, array: NDArray[Any]) -> str:
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def layer(self, layer: Layer, taken: list[str]) -> str:
        """Add a layer; the name of what it gives."""
        for key, harmless in _UNREAD.get(layer.kind, {}).items():
            if layer.number_of(key, harmless) != harmless:
                raise InvalidInput(f"{layer.name} has {key} = {layer.text(key, '')}, which is not read.")
        emit = _EMITTERS.get(layer.kind)
        return emit(self, layer, taken) if emit else taken[0]

    def weighted(self, layer: Layer, source: str, **attributes: Any) -> str:
        """A convolution with its batch normalisation, bias and activation."""
        own = self._all.layers[layer.number]
        if own.normalisation is not None and self._fold:
            own = _folded(own, own.normalisation)
        kernel = own.kernel if own.kernel.ndim == 4 else own.kernel[:, :, None, None]
        inputs = [source, self.constant(f"{layer.name}:kernel", kernel)]
        # The last step has the layer's own name.
        end = layer.name if layer.text("activation", "logistic") == "linear" else f"{layer.name}:linear"
        if own.normalisation is None:
            inputs.append(self.constant(f"{layer.name}:bias", own.bias))
            name = self.add("Conv", inputs, end, **attributes)
        else:
            product = self.add("Conv", inputs, f"{layer.name}:product", **attributes)
            name = self._normalised(layer, own, own.normalisation, product, end)
        return self.activated(layer, name, "logistic")

    def _normalised(self, layer: Layer, own: LayerWeights, statistics: Normalisation, source: str, output: str) -> str:
        exact = (np.sqrt(statistics.variance.astype(np.float64)) + EPSILON) ** 2
        arrays = {
            "scale": statistics.scale, "bias": own.bias, "mean": statistics.mean, "variance": exact.astype(np.float32),
        }  # fmt: skip
        named = [self.constant(f"{layer.name}:{key}", array) for key, array in arrays.items()]
        return self.add("BatchNormalization", [source, *named], output, epsilon=0.0)

    def share(self, layer: Layer, source: str, number: int) -> str:
        """The group of the channels that a route takes of one of its layers."""
        groups, group = layer.number_of("groups", 1), layer.number_of("group_id", 0)
        parts = [f"{layer.name}:{number}:{part}" for part in range(groups)]
        self._nodes.append(helper.make_node("Split", [source], parts, name=parts[0], axis=1, num_outputs=groups))
        return parts[group]

    def activated(self, layer: Layer, source: str, default: str) -> str:
        kind = layer.text("activation", default)
        if kind == "linear":
            return source
        if kind == "swish":
            gate = self.add("Sigmoid", [source], f"{layer.name}:gate")
            return self.add("Mul", [source, gate], layer.name)
        if kind not in _ACTIVATIONS:
            raise InvalidInput(
                f"{layer.name} has the activation {kind[:40]!r}, which is not read.",
                hint=f"Known: linear, swish, {', '.join(_ACTIVATIONS)}.",
                facts={"layer": layer.name},
            )
        name, attributes = _ACTIVATIONS[kind]
        return self.add(name, [source], layer.name, **attributes)

    def finished(self, network: Network, outputs: Sequence[tuple[str, Shape]]) -> onnx.ModelProto:
        described = []
        for name, shape in outputs:
            # A classifier gives (N, C) like everywhere else.
            flat = shape[1:] == (1, 1)
            result = self.add("Flatten", [name], f"{name}:flat") if flat else name
            sizes = ["batch", *(shape[:1] if flat else shape)]
            described.append(helper.make_tensor_value_info(result, TensorProto.FLOAT, sizes))
        picture = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", *network.shape])
        graph = helper.make_graph(self._nodes, "darknet", [picture], described, self._weights)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="zoo-darknet"
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def _folded(own: LayerWeights, statistics: Normalisation) -> LayerWeights:
    factor = statistics.scale.astype(np.float64) / (np.sqrt(statistics.variance.astype(np.float64)) + EPSILON)
    kernel = own.kernel * factor.reshape(-1, *[1] * (own.kernel.ndim - 1))
    bias = own.bias - statistics.mean * factor
    return LayerWeights(kernel.astype(np.float32), bias.astype(np.float32))


_ACTIVATIONS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "leaky": ("LeakyRelu", {"alpha": 0.1}),
    "relu": ("Relu", {}),
    "logistic": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "mish": ("Mish", {}),
    "elu": ("Elu", {"alpha": 1.0}),
}


def _convolution(graph: _Graph, layer: Layer, taken: list[str]) -> str:
    size, stride, padding = layer.number_of("size", 1), layer.number_of("stride", 1), padding_of(layer)
    return graph.weighted(
        layer,
        taken[0],
        kernel_shape=[size, size],
        strides=[stride, stride],
        pads=[padding] * 4,
        group=layer.number_of("groups", 1),
    )


def _connected(graph: _Graph, layer: Layer, taken: list[str]) -> str:
    """A product over all values; its result lies as (N, C, 1, 1), like Darknet's."""
    count = int(np.prod(layer.taken))
    shape = graph.constant(f"{layer.name}:shape", np.asarray([-1, count, 1, 1], np.int64))
    column = graph.add("Reshape", [taken[0], shape], f"{layer.name}:column")
    return graph.weighted(layer, column, kernel_shape=[1, 1])


def _maxpool(graph: _Graph, layer: Layer, taken: list[str]) -> str:
    size, stride, padding = pool_of(layer)
    before = padding // 2
    pads = [before, before, padding - before, padding - before]
    return graph.add("MaxPool", taken, layer.name, kernel_shape=[size, size], strides=[stride, stride], pads=pads)


def _avgpool(graph: _Graph, layer: Layer, taken: list[str]) -> str:
    return graph.add("GlobalAveragePool", taken, layer.name)


def _upsample(graph: _Graph, layer: Layer, taken: list[str]) -> str:
    stride = layer.number_of("stride", 2)
    scales = graph.constant(f"{layer.name}:scales", np.asarray([1, 1, stride, stride], np.float32))
    return graph.add(
        "Resize",
        [taken[0], "", scales],
        layer.name,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _route(graph: _Graph, layer: Layer, taken: list[str]) -> str:
    if layer.number_of("groups", 1) > 1:
        taken = [graph.share(layer, name, number) for number, name in enumerate(taken)]
    if len(taken) == 1:
        return graph.add("Identity", taken, layer.name)
    return graph.add("Concat", taken, layer.name, axis=1)


def _shortcut(graph: _Graph, layer: Layer, taken: list[str]) -> str:
    linear = layer.text("activation", "linear") == "linear"
    total = taken[0]
    for number, name in enumerate(taken[1:], start=2):
        end = linear and number == len(taken)
        total = graph.add("Add", [total, name], layer.name if end else f"{layer.name}:{number}")
    return graph.activated(layer, total, "linear")


def _softmax(graph: _Graph, layer: Layer, taken: list[str]) -> str:
    if layer.taken[1:] != (1, 1) or layer.text("temperature", "1") not in {"1", "1.0"}:
        raise InvalidInput(f"{layer.name} is over a map or has a temperature, which is not read.")
    return graph.add("Softmax", taken, layer.name, axis=1)


_EMITTERS: Mapping[str, Callable[[_Graph, Layer, list[str]], str]] = {
    "convolutional": _convolution,
    "connected": _connected,
    "maxpool": _maxpool,
    "avgpool": _avgpool,
    "upsample": _upsample,
    "route": _route,
    "shortcut": _shortcut,
    "softmax": _softmax,
}
"""The other layers (heads, dropout, cost) pass on what they take."""
