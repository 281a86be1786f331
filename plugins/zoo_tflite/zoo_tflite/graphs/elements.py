"""Operators on each element, along one axis, or on the shape."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from zoo_tflite.graphs.file import BUILTIN
from zoo_tflite.graphs.graph import FROM_TURNED, TO_TURNED, TURNED_AXIS, Graph, Node, Value

Emitter = Callable[[Graph, Node], Value]


def _like(graph: Graph, value: Value, code: int, name: str, *others: int, options: Any = None) -> Value:
    """An operator whose output lies as its input."""
    return graph.write(code, [value.index, *others], name, value.shape, turned=value.turned, options=options)


def unary(code: int, make_options: Callable[[Node], Any] | None = None) -> Emitter:
    """An operator of one input that changes no shape."""

    def emit(graph: Graph, node: Node) -> Value:
        value = graph.value(node.inputs[0], node)
        options = make_options(node) if make_options else None
        return _like(graph, value, code, node.outputs[0], options=options)

    return emit


def leaky_options(node: Node) -> Any:
    """The slope below zero."""
    options = schema.LeakyReluOptionsT()
    options.alpha = float(node.attributes.get("alpha", 0.01))
    return options


def gelu_options(node: Node) -> Any:
    """Exact, or by tanh."""
    options = schema.GeluOptionsT()
    options.approximate = node.text("approximate", "none") == "tanh"
    return options


def elu(graph: Graph, node: Node) -> Value:
    """TFLite's has a slope of one."""
    if float(node.attributes.get("alpha", 1)) != 1:
        raise node.refusal("has an alpha other than 1")
    return _like(graph, graph.value(node.inputs[0], node), BUILTIN.ELU, node.outputs[0])


def clip(graph: Graph, node: Node) -> Value:
    """Limits are attributes until opset 10, inputs since."""
    value, name = graph.value(node.inputs[0], node), node.outputs[0]
    low, high = (_limit(graph, node, number, key) for number, key in ((1, "min"), (2, "max")))
    if (low, high) in {(0.0, 6.0), (0.0, None)}:
        return _like(graph, value, BUILTIN.RELU if high is None else BUILTIN.RELU6, name)
    if high is not None:
        step = name if low is None else f"{name}:low"
        value = _like(graph, value, BUILTIN.MINIMUM, step, graph.floats(f"{name}:high", [high]))
    if low is not None:
        value = _like(graph, value, BUILTIN.MAXIMUM, name, graph.floats(f"{name}:limit", [low]))
    return value


def _limit(graph: Graph, node: Node, number: int, key: str) -> float | None:
    if node.given(number):
        return float(graph.constant(node.given(number), node).reshape(()))
    return float(node.attributes[key]) if key in node.attributes else None


def hard_sigmoid(graph: Graph, node: Node) -> Value:
    """``alpha * x + beta`` between 0 and 1."""
    value, name = graph.value(node.inputs[0], node), node.outputs[0]
    alpha, beta = (float(node.attributes.get(key, default)) for key, default in (("alpha", 0.2), ("beta", 0.5)))
    value = _like(graph, value, BUILTIN.MUL, f"{name}:scaled", graph.floats(f"{name}:alpha", [alpha]), options=_mul())
    value = _like(graph, value, BUILTIN.ADD, f"{name}:moved", graph.floats(f"{name}:beta", [beta]), options=_add())
    value = _like(graph, value, BUILTIN.RELU, f"{name}:positive")
    return _like(graph, value, BUILTIN.MINIMUM, name, graph.floats(f"{name}:one", [1.0]))


def _mul() -> Any:
    return schema.MulOptionsT()


def _add() -> Any:
    return schema.AddOptionsT()


def parametric_relu(graph: Graph, node: Node) -> Value:
    """Slopes by channel."""
    value = graph.value(node.inputs[0], node)
    slope = graph.constant(node.inputs[1], node)
    slope = slope.reshape([1] * (value.rank - slope.ndim) + list(slope.shape))
    if value.turned:
        slope = slope.transpose(TO_TURNED)
    own = slope.reshape(slope.shape[1:])
    return _like(graph, value, BUILTIN.PRELU, node.outputs[0], graph.floats(f"{node.outputs[0]}:slope", own))


def batch_normalisation(graph: Graph, node: Node) -> Value:
    """A factor and an offset by channel; what follows a convolution was folded into it before."""
    value, name = graph.value(node.inputs[0], node), node.outputs[0]
    factor, offset = normalisation(graph, node)
    shape = [1] * value.rank
    shape[-1 if value.turned or value.rank == 2 else 1] = -1
    constants = [
        graph.floats(f"{name}:{key}", array.reshape(shape)) for key, array in (("factor", factor), ("offset", offset))
    ]
    scaled = _like(graph, value, BUILTIN.MUL, f"{name}:scaled", constants[0], options=_mul())
    return _like(graph, scaled, BUILTIN.ADD, name, constants[1], options=_add())


def normalisation(graph: Graph, node: Node) -> tuple[NDArray[Any], NDArray[Any]]:
    """The factor and the offset of a batch normalisation in use."""
    gamma, beta, mean, variance = (graph.constant(name, node).astype(np.float64) for name in node.inputs[1:5])
    factor = gamma / np.sqrt(variance + float(node.attributes.get("epsilon", 1e-5)))
    return factor, beta - mean * factor


def binary(code: int, make_options: Callable[[], Any] | None = None) -> Emitter:
    """An operator that takes two inputs at a time; ONNX gives some of them more."""

    def emit(graph: Graph, node: Node) -> Value:
        name = node.outputs[0]
        turned = any(graph.values[one].turned for one in node.inputs if one in graph.values)
        operands = [_operand(graph, node, one, turned=turned) for one in node.inputs]
        result = operands[0]
        for number, other in enumerate(operands[1:], start=2):
            step = name if number == len(operands) else f"{name}:{number}"
            shape = (
                graph.shape(name, node) if number == len(operands) else np.broadcast_shapes(result.shape, other.shape)
            )
            options = make_options() if make_options else None
            result = graph.write(code, [result.index, other.index], step, shape, turned=turned, options=options)
        return result

    return emit


def _operand(graph: Graph, node: Node, name: str, *, turned: bool) -> Value:
    """A value or a constant in the wanted order; a constant of fewer axes broadcasts from the right, as ONNX says."""
    if name in graph.values:
        value = graph.values[name]
        if turned and value.rank != 4:
            raise node.refusal(f"joins a picture with a value of {value.rank} axes")
        return graph.turned(value) if turned else graph.plain(value)
    array = graph.constant(name, node).astype(np.float32)
    if turned:
        array = array.reshape([1] * (4 - array.ndim) + list(array.shape))
        return Value(graph.floats(f"{name}:nhwc", array.transpose(TO_TURNED)), array.shape, turned=True)
    return Value(graph.floats(name, array), array.shape)


def concatenate(graph: Graph, node: Node) -> Value:
    """Joins along an axis."""
    name, rank = node.outputs[0], len(graph.shape(node.outputs[0], node))
    turned = any(graph.values[one].turned for one in node.inputs if one in graph.values)
    operands = [_operand(graph, node, one, turned=turned).index for one in node.inputs]
    axis = int(node.attributes["axis"]) % rank
    options = schema.ConcatenationOptionsT()
    options.axis = TURNED_AXIS[axis] if turned else axis
    return graph.write(BUILTIN.CONCATENATION, operands, name, graph.shape(name, node), turned=turned, options=options)


def softmax(graph: Graph, node: Node) -> Value:
    """TFLite's is over the last axis: of a turned picture, the channels."""
    value = graph.value(node.inputs[0], node)
    axis = int(node.attributes.get("axis", -1)) % value.rank
    if value.rank == 4:
        value = graph.turned(value) if axis == 1 else graph.plain(value)
    if not value.turned and axis != value.rank - 1:
        raise node.refusal(f"is over the axis {axis} of {value.rank}")
    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    return _like(graph, value, BUILTIN.SOFTMAX, node.outputs[0], options=options)


def identity(graph: Graph, node: Node) -> Value:
    """Passes its input on; so does a dropout in use."""
    return graph.value(node.inputs[0], node)


def dense(graph: Graph, node: Node) -> Value:
    """TFLite's kernel is (O, I)."""
    value = graph.plain(graph.value(node.inputs[0], node))
    kernel, bias = graph.constant(node.inputs[1], node), np.zeros(1)
    if node.kind == "Gemm":
        if node.attributes.get("transA"):
            raise node.refusal("turns its first matrix")
        kernel = kernel * float(node.attributes.get("alpha", 1.0))
        kernel = kernel if node.attributes.get("transB") else kernel.T
        if node.given(2):
            bias = graph.constant(node.given(2), node) * float(node.attributes.get("beta", 1.0))
    elif kernel.ndim == 2:
        kernel = kernel.T
    else:
        raise node.refusal("multiplies by other than a matrix")
    name = node.outputs[0]
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims = value.rank > 2
    row = np.broadcast_to(bias.reshape(-1), (len(kernel),))
    inputs = [value.index, graph.floats(f"{name}:kernel", kernel), graph.floats(f"{name}:bias", row)]
    return graph.write(BUILTIN.FULLY_CONNECTED, inputs, name, graph.shape(name, node), options=options)


def reshape(graph: Graph, node: Node) -> Value:
    """Any change of shape that keeps the order of the numbers: Reshape, Flatten, Squeeze and Unsqueeze."""
    value, name = graph.value(node.inputs[0], node), node.outputs[0]
    shape = graph.shape(name, node)
    if len(shape) == 4 and shape[2:] == (1, 1) and value.rank == 2:
        return graph.reshaped(value, name, shape, turned=True)
    # One pixel's channels lie the same in both orders.
    source = value if value.turned and value.shape[2:] == (1, 1) else graph.plain(value)
    return graph.reshaped(source, name, shape)


def transpose(graph: Graph, node: Node) -> Value:
    """Turning a picture to channels first or last costs nothing: it is only counted otherwise."""
    value, name = graph.value(node.inputs[0], node), node.outputs[0]
    order = list(node.attributes.get("perm", range(value.rank)[::-1]))
    shape = tuple(value.shape[axis] for axis in order)
    if not value.turned and order == list(FROM_TURNED):
        return Value(value.index, shape, turned=True)
    if value.turned and order == list(TO_TURNED):
        return Value(value.index, shape)
    places = [TURNED_AXIS[axis] for axis in order] if value.turned else order
    return graph.write(BUILTIN.TRANSPOSE, [value.index, graph.integers(f"{name}:order", places)], name, shape)


def pad(graph: Graph, node: Node) -> Value:
    """Zeros, or another constant, around a value of four axes."""
    value = graph.turned(graph.value(node.inputs[0], node))
    if node.text("mode", "constant") != "constant" or node.given(3):
        raise node.refusal(f"pads {node.text('mode', 'constant')}, or along chosen axes")
    amounts = graph.constant(node.given(1), node).tolist() if node.given(1) else list(node.attributes.get("pads", []))
    fill = _limit(graph, node, 2, "value") or 0.0
    if len(amounts) != 8:
        raise node.refusal("pads other than four axes")
    places = [[amounts[axis], amounts[axis + 4]] for axis in TO_TURNED]
    name = node.outputs[0]
    inputs = [value.index, graph.file.constant(f"{name}:pads", np.array(places, np.int32))]
    if fill:
        inputs.append(graph.floats(f"{name}:fill", [fill]))
    code = BUILTIN.PADV2 if fill else BUILTIN.PAD
    return graph.write(code, inputs, name, graph.shape(name, node), turned=True)


def split_channels(graph: Graph, node: Node, outputs: Sequence[str]) -> Mapping[str, Value]:
    """Equal parts along an axis: the only operator here with several outputs."""
    value = graph.value(node.inputs[0], node)
    axis = int(node.attributes.get("axis", 0)) % value.rank
    shapes = [graph.shape(name, node) for name in outputs]
    if len(set(shapes)) != 1:
        raise node.refusal("makes parts of different sizes")
    lying = [tuple(shape[one] for one in TO_TURNED) if value.turned else shape for shape in shapes]
    indices = [graph.file.tensor(name, shape) for name, shape in zip(outputs, lying, strict=True)]
    place = graph.file.constant(f"{outputs[0]}:axis", np.array(TURNED_AXIS[axis] if value.turned else axis, np.int32))
    options = schema.SplitOptionsT()
    options.numSplits = len(outputs)
    graph.file.operator(BUILTIN.SPLIT, [place, value.index], indices, options)
    made = zip(indices, shapes, strict=True)
    return dict(zip(outputs, (Value(index, shape, value.turned) for index, shape in made), strict=True))
