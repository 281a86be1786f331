"""Counts the parameters and multiply-accumulates of an ONNX graph without running it.

The parsed model (``onnx.ModelProto``) is handed in, as in :mod:`zoo_vision.onnx_graphs`, so that this room needs no
framework.  Plugins whose models come from an ONNX graph, or become one, count them here.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

Shape = tuple[int, ...]

_FLOAT, _UINT8, _INT8, _INT32, _FLOAT16, _DOUBLE, _BFLOAT16, _UINT4, _INT4 = 1, 2, 3, 6, 10, 11, 16, 21, 22
"""In ``TensorProto.DataType``."""
_WEIGHT_TYPES = frozenset({_FLOAT, _UINT8, _INT8, _INT32, _FLOAT16, _DOUBLE, _BFLOAT16, _UINT4, _INT4})
"""int64 initialisers are shapes and indices, not weights."""

_UNCOUNTED = frozenset({"Attention", "Einsum", "GRU", "If", "LSTM", "Loop", "MultiHeadAttention", "RNN", "Scan"})

_QUANTISATION_INPUTS = {
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "QGemm": (1, 2, 4, 5, 7, 8),
    "ConvInteger": (2, 3),
    "MatMulInteger": (2, 3),
}
"""Inputs that are scales and zero points: they describe weights, but are none."""


def for_one_sample(model: Any) -> Any:
    """The model, changed in place so that a shape inference over it tells the shapes of one sample."""
    first = model.graph.input[0].type.tensor_type.shape.dim[0]
    first.ClearField("dim_param")
    first.dim_value = 1
    # Shapes that an exporter wrote for its own batch would contradict the batch of one.
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


def count_parameters(model: Any) -> int:
    """The values in all weights and biases of the file, scales and zero points not counted."""
    describing = {
        node.input[index]
        for node in model.graph.node
        for index in _QUANTISATION_INPUTS.get(node.op_type, ())
        if index < len(node.input)
    }
    return sum(
        math.prod(tensor.dims)
        for tensor in model.graph.initializer
        # A scalar is a factor that an exporter wrote down, not something learnt.
        if tensor.dims and tensor.name not in describing and tensor.data_type in _WEIGHT_TYPES
    )


def count_macs(model: Any) -> int | None:
    """Multiply-accumulates of all convolutions and matrix products; None if a shape is not static.

    None as well for a graph with operations that multiply and are not known here (attention, recurrent ones, loops).
    ``model``: with inferred shapes, of :func:`for_one_sample` if it is one sample that counts.
    """
    shapes = _shapes(model)
    total = 0
    for node in model.graph.node:
        if node.op_type in _UNCOUNTED:
            return None
        if node.op_type not in _COUNTERS:
            continue
        try:
            total += _COUNTERS[node.op_type](node, shapes)
        except KeyError:
            return None
    return total


def _shapes(model: Any) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            shapes[value.name] = tuple(dim.dim_value for dim in tensor.shape.dim)
    return shapes


def _convolution(weight_at: int) -> Callable[[Any, Mapping[str, Shape]], int]:
    """Output values x (input channels of the group x kernel); the weight is (O, I / groups, ...)."""

    def count(node: Any, shapes: Mapping[str, Shape]) -> int:
        return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[weight_at]][1:])

    return count


def _transposed_convolution(node: Any, shapes: Mapping[str, Shape]) -> int:
    """Input values x (output channels of the group x kernel); the weight is (I, O / groups, ...)."""
    return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])


def _gemm(weight_at: int) -> Callable[[Any, Mapping[str, Shape]], int]:
    """Rows of the first matrix x all values of the second; reads no output, whose shape QGemm does not tell."""

    def count(node: Any, shapes: Mapping[str, Shape]) -> int:
        transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        rows = shapes[node.input[0]][1 if transposed else 0]
        return rows * math.prod(shapes[node.input[weight_at]])

    return count


def _product(node: Any, shapes: Mapping[str, Shape]) -> int:
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


_COUNTERS: Mapping[str, Callable[[Any, Mapping[str, Shape]], int]] = {
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "QLinearConv": _convolution(3),
    "ConvTranspose": _transposed_convolution,
    "Gemm": _gemm(1),
    "QGemm": _gemm(3),
    "MatMul": _product,
    "MatMulInteger": _product,
    "QLinearMatMul": _product,
}
