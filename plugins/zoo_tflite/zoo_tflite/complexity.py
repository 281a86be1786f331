"""Counts the parameters and multiply-accumulates of a TFLite file from its tables, without running it."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

Shape = tuple[int, ...]

_WEIGHT_TYPES = frozenset(
    {
        schema.TensorType.FLOAT32,
        schema.TensorType.FLOAT16,
        schema.TensorType.BFLOAT16,
        schema.TensorType.INT8,
        schema.TensorType.UINT8,
        schema.TensorType.INT4,
    }
)
_OPERATORS = schema.BuiltinOperator
_UNCOUNTED = frozenset(
    {
        _OPERATORS.BIDIRECTIONAL_SEQUENCE_LSTM,
        _OPERATORS.BIDIRECTIONAL_SEQUENCE_RNN,
        _OPERATORS.CALL,
        _OPERATORS.CALL_ONCE,
        _OPERATORS.CONV_3D_TRANSPOSE,
        _OPERATORS.CUSTOM,
        _OPERATORS.IF,
        _OPERATORS.LSTM,
        _OPERATORS.RNN,
        _OPERATORS.STABLEHLO_COMPOSITE,
        _OPERATORS.STABLEHLO_CONVOLUTION,
        _OPERATORS.STABLEHLO_DOT_GENERAL,
        _OPERATORS.SVDF,
        _OPERATORS.UNIDIRECTIONAL_SEQUENCE_LSTM,
        _OPERATORS.UNIDIRECTIONAL_SEQUENCE_RNN,
        _OPERATORS.WHILE,
    }
)
"""They multiply, or may, and how often is not known here."""


def read_tables(path: Path) -> schema.Model:
    """The tables of a file that the interpreter has opened, and so checked, before."""
    return schema.Model.GetRootAsModel(path.read_bytes(), 0)


def count_parameters(model: schema.Model) -> int:
    """The values in all constants that are weights or biases."""
    total = 0
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        for index in range(graph.TensorsLength()):
            tensor = graph.Tensors(index)
            shape = _shape(tensor)
            if shape and model.Buffers(tensor.Buffer()).DataLength() and _is_weight(tensor):
                total += math.prod(shape)
    return total


def _is_weight(tensor: schema.Tensor) -> bool:
    quantised = tensor.Quantization() is not None and tensor.Quantization().ScaleLength() > 0
    return tensor.Type() in _WEIGHT_TYPES or (tensor.Type() == schema.TensorType.INT32 and quantised)


def count_macs(model: schema.Model) -> int | None:
    """Multiply-accumulates of all convolutions and matrix products for one run of the file's own batch.

    None for a file with operations that may multiply and are not known here (recurrent ones, branches, custom ones).
    """
    graph = model.Subgraphs(0)
    total = 0
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        kind = _kind(model.OperatorCodes(operator.OpcodeIndex()))
        if kind in _UNCOUNTED:
            return None
        if kind in _COUNTERS:
            inputs = [
                _shape(graph.Tensors(operator.Inputs(index))) if operator.Inputs(index) >= 0 else ()
                for index in range(operator.InputsLength())
            ]
            total += _COUNTERS[kind](inputs, _shape(graph.Tensors(operator.Outputs(0))), operator)
    return total


def _shape(tensor: schema.Tensor) -> Shape:
    return tuple(tensor.Shape(axis) for axis in range(tensor.ShapeLength()))


def _kind(code: schema.OperatorCode) -> int:
    """Operators from 127 on do not fit into the older of the two fields, and older writers know only that one."""
    return max(int(code.DeprecatedBuiltinCode()), int(code.BuiltinCode()))


def _product(inputs: list[Shape], output: Shape, operator: Any) -> int:
    options = schema.BatchMatMulOptions()
    table = operator.BuiltinOptions()
    turned = False
    if table is not None:
        options.Init(table.Bytes, table.Pos)
        turned = bool(options.AdjX())
    return math.prod(output) * inputs[0][-2 if turned else -1]


# Weights are (O, kernel ..., I / groups), of depthwise convolutions (1, kernel ..., O),
# and of fully connected layers (O, I).
_COUNTERS: Mapping[int, Callable[[list[Shape], Shape, Any], int]] = {
    _OPERATORS.CONV_2D: lambda inputs, output, _: math.prod(output) * math.prod(inputs[1][1:]),
    _OPERATORS.CONV_3D: lambda inputs, output, _: math.prod(output) * math.prod(inputs[1][:-1]),
    _OPERATORS.DEPTHWISE_CONV_2D: lambda inputs, output, _: math.prod(output) * math.prod(inputs[1][:-1]),
    _OPERATORS.FULLY_CONNECTED: lambda inputs, output, _: math.prod(output) * inputs[1][-1],
    # The inputs are the size of the output, the weight (O, kernel ..., I), and the values.
    _OPERATORS.TRANSPOSE_CONV: lambda inputs, _output, _: math.prod(inputs[2]) * math.prod(inputs[1][:-1]),
    _OPERATORS.BATCH_MATMUL: _product,
}
