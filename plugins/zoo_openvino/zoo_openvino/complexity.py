"""Counts the parameters and multiply-accumulates of an OpenVINO model from its operations, without running it."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import openvino as ov

_UNCOUNTED = frozenset(
    {
        "Einsum",
        "GRUCell",
        "GRUSequence",
        "If",
        "LSTMCell",
        "LSTMSequence",
        "Loop",
        "RNNCell",
        "RNNSequence",
        "TensorIterator",
    }
)
_NOT_ARITHMETIC = frozenset(
    {
        "Concat",
        "Constant",
        "Convert",
        "FakeQuantize",
        "Gather",
        "MaxPool",
        "Pad",
        "Reshape",
        "Result",
        "Slice",
        "Split",
        "Squeeze",
        "StridedSlice",
        "Transpose",
        "Unsqueeze",
        "VariadicSplit",
    }
)
"""Operations that pass values on: they are as exact in INT8 as in floating point."""
_INT8_TYPES = frozenset({"i8", "u8"})
_INTEGER_TYPES = _INT8_TYPES | {"i4", "u4"}
_WEIGHT_TYPES = _INTEGER_TYPES | {"f32", "f16", "bf16", "f64"}
MACS_OPERATIONS = (
    "Convolution",
    "GroupConvolution",
    "ConvolutionBackpropData",
    "GroupConvolutionBackpropData",
    "MatMul",
)


def count_parameters(model: ov.Model) -> int:
    """The values in all weights and biases; ranges of FakeQuantize, scales and zero points not counted."""
    describing = _quantisation_constants(model)
    return sum(
        math.prod(operation.get_output_shape(0))
        for operation in model.get_ordered_ops()
        if operation.get_type_name() == "Constant"
        and operation.get_output_element_type(0).to_string() in _WEIGHT_TYPES
        # A scalar is a factor that an exporter wrote down (the alpha of Gemm), not something learnt.
        and len(operation.get_output_shape(0)) > 0
        and operation.get_name() not in describing
    )


def count_macs(model: ov.Model) -> int | None:
    """Multiply-accumulates of all convolutions and matrix products for one run; None if a shape is dynamic.

    None as well for a graph with operations that multiply and are not known here (recurrent ones, loops, Einsum).
    """
    total = 0
    for operation in model.get_ordered_ops():
        if operation.get_type_name() in _UNCOUNTED:
            return None
        counter = _COUNTERS.get(operation.get_type_name())
        if counter is None:
            continue
        ports = (*operation.inputs(), *operation.outputs())
        if any(port.get_partial_shape().is_dynamic for port in ports):
            return None
        total += counter(operation)
    return total


def count_int8_operations(model: ov.Model) -> tuple[int, int]:
    """How many of the operations that multiply by a constant weight hold it in INT8, and how many there are."""
    quantised = 0
    weighted = 0
    for operation in model.get_ordered_ops():
        if operation.get_type_name() not in MACS_OPERATIONS:
            continue
        constant = _constant_behind(operation.input_value(1).get_node())
        if constant is not None:
            weighted += 1
            quantised += constant.get_output_element_type(0).to_string() in _INT8_TYPES
    return quantised, weighted


def _quantisation_constants(model: ov.Model) -> set[str]:
    """Names of the ranges of FakeQuantize and of the scales and zero points of integer weights."""
    found = set()
    for operation in model.get_ordered_ops():
        kind = operation.get_type_name()
        ports: tuple[int, ...] = ()
        if kind == "FakeQuantize":
            ports = (1, 2, 3, 4)
        elif kind in {"Multiply", "Subtract"} and _is_integer(_constant_behind(operation.input_value(0).get_node())):
            ports = (1,)
        constants = (_constant_behind(operation.input_value(port).get_node()) for port in ports)
        found |= {constant.get_name() for constant in constants if constant is not None}
    return found


def _is_integer(constant: Any | None) -> bool:
    return constant is not None and constant.get_output_element_type(0).to_string() in _INTEGER_TYPES


def _constant_behind(operation: Any) -> Any | None:
    """The constant that a value is made of, through conversion, dequantization and reshaping; None if there is none."""
    while operation.get_type_name() in {"Convert", "Multiply", "Subtract", "Reshape", "Transpose", "FakeQuantize"}:
        operation = operation.input_value(0).get_node()
    return operation if operation.get_type_name() == "Constant" else None


def _weight_shape(operation: Any) -> list[int]:
    return list(operation.get_input_shape(1))


def _outputs(operation: Any) -> int:
    return math.prod(operation.get_output_shape(0))


def _inputs(operation: Any) -> int:
    return math.prod(operation.get_input_shape(0))


def _matrix_product(operation: Any) -> int:
    first = list(operation.get_input_shape(0))
    transposed = operation.get_attributes().get("transpose_a", False)
    return _outputs(operation) * (first[-2] if transposed else first[-1])


def _attention(operation: Any) -> int:
    """Query x key and weights x value: both multiply over all S keys; query (..., L, E), value (..., S, Ev)."""
    keys = list(operation.get_input_shape(1))[-2]
    return int(keys) * (_inputs(operation) + _outputs(operation))


# Weights are (O, I, ...) and, with groups, (G, O/G, I/G, ...);
# those of transposed convolutions are (I, O, ...) and (G, I/G, O/G, ...).
_COUNTERS: Mapping[str, Callable[[Any], int]] = {
    "Convolution": lambda operation: _outputs(operation) * math.prod(_weight_shape(operation)[1:]),
    "GroupConvolution": lambda operation: _outputs(operation) * math.prod(_weight_shape(operation)[2:]),
    "ConvolutionBackpropData": lambda operation: _inputs(operation) * math.prod(_weight_shape(operation)[1:]),
    "GroupConvolutionBackpropData": lambda operation: _inputs(operation) * math.prod(_weight_shape(operation)[2:]),
    "MatMul": _matrix_product,
    "ScaledDotProductAttention": _attention,
}


def quantised_operations(model: ov.Model) -> list[str]:
    """The names of the operations that read a quantized value or hold a weight in INT8, in their order."""
    found = []
    for operation in model.get_ordered_ops():
        kind = operation.get_type_name()
        if kind in _NOT_ARITHMETIC:
            continue
        sources = [value.get_node() for value in operation.input_values()]
        reads = any(source.get_type_name() == "FakeQuantize" for source in sources)
        held = kind in MACS_OPERATIONS and _is_int8(_constant_behind(sources[1]))
        if reads or held:
            found.append(operation.get_friendly_name())
    return found


def _is_int8(constant: Any | None) -> bool:
    return constant is not None and constant.get_output_element_type(0).to_string() in _INT8_TYPES
