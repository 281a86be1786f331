"""Walks an ONNX graph and writes the TFLite file, node by node."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import numpy_helper

from zoo_sdk.errors import InvalidInput
from zoo_tflite.graphs import elements, windows
from zoo_tflite.graphs.elements import Emitter
from zoo_tflite.graphs.file import BUILTIN, FileWriter
from zoo_tflite.graphs.graph import Graph, Node, Value

_EMITTERS: Mapping[str, Emitter] = {
    "Conv": windows.convolution,
    "MaxPool": windows.maximum_pool,
    "AveragePool": windows.average_pool,
    "GlobalAveragePool": windows.global_average_pool,
    "GlobalMaxPool": windows.global_maximum_pool,
    "ReduceMean": windows.mean,
    "Resize": windows.resize,
    "BatchNormalization": elements.batch_normalisation,
    "Relu": elements.unary(BUILTIN.RELU),
    "Sigmoid": elements.unary(BUILTIN.LOGISTIC),
    "Tanh": elements.unary(BUILTIN.TANH),
    "Exp": elements.unary(BUILTIN.EXP),
    "HardSwish": elements.unary(BUILTIN.HARD_SWISH),
    "LeakyRelu": elements.unary(BUILTIN.LEAKY_RELU, elements.leaky_options),
    "Gelu": elements.unary(BUILTIN.GELU, elements.gelu_options),
    "Elu": elements.elu,
    "Clip": elements.clip,
    "HardSigmoid": elements.hard_sigmoid,
    "PRelu": elements.parametric_relu,
    "Add": elements.binary(BUILTIN.ADD, schema.AddOptionsT),
    "Sum": elements.binary(BUILTIN.ADD, schema.AddOptionsT),
    "Sub": elements.binary(BUILTIN.SUB, schema.SubOptionsT),
    "Mul": elements.binary(BUILTIN.MUL, schema.MulOptionsT),
    "Div": elements.binary(BUILTIN.DIV, schema.DivOptionsT),
    "Max": elements.binary(BUILTIN.MAXIMUM),
    "Min": elements.binary(BUILTIN.MINIMUM),
    "Concat": elements.concatenate,
    "Softmax": elements.softmax,
    "Gemm": elements.dense,
    "MatMul": elements.dense,
    "Flatten": elements.reshape,
    "Reshape": elements.reshape,
    "Squeeze": elements.reshape,
    "Unsqueeze": elements.reshape,
    "Transpose": elements.transpose,
    "Pad": elements.pad,
    "Identity": elements.identity,
    "Dropout": elements.identity,
}


@dataclass(frozen=True)
class Written:
    """The file, and where the values of the ONNX graph are in it."""

    content: bytes
    values: Mapping[str, Value]


def emit(model: onnx.ModelProto, *, batch: int, half: bool) -> Written:
    """The TFLite file of an ONNX model.

    Args:
        model: with its weights; it is changed.
        batch: the samples that the file takes at once.
        half: store the weights in half precision.

    Raises:
        InvalidInput: a node that cannot be converted, by its name; shapes that are not static.

    """
    shaped = _with_static_shapes(model, batch)
    weights = {tensor.name for tensor in shaped.graph.initializer}
    inputs = [value for value in shaped.graph.input if value.name not in weights]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        raise InvalidInput(
            f"The model has {len(inputs)} inputs, or one that is not float32; one of float32 is converted."
        )
    file = FileWriter(half=half)
    graph = Graph(shaped, file)
    start = inputs[0].name
    shape = tuple(dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim)
    graph.values[start] = Value(file.tensor(start, shape), shape)
    _fold_normalisations(shaped, graph)
    for proto in shaped.graph.node:
        node = Node.of(proto)
        with _refusing(node):
            _write(graph, node)
    ends = []
    for output in shaped.graph.output:
        node = Node("output", output.name, (output.name,), (), {})
        ends.append(graph.plain(graph.value(output.name, node)).index)
    return Written(file.content(shaped.graph.name or "model", [graph.values[start].index], ends), graph.values)


def _with_static_shapes(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    weights = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        sizes = value.type.tensor_type.shape.dim
        if value.name not in weights and len(sizes):
            sizes[0].ClearField("dim_param")
            sizes[0].dim_value = batch
            if any(not size.dim_value for size in sizes):
                raise InvalidInput(
                    f"The input {value.name!r} has a size that is only known when the model runs.",
                    hint="Export the model with a fixed size of its pictures.",
                )
    # Shapes that an exporter wrote for its own batch would contradict ours.
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise InvalidInput(f"The shapes of the model contradict each other: {str(error)[:500]}") from error


@contextmanager
def _refusing(node: Node) -> Iterator[None]:
    """A node that breaks ONNX' own rules may fail anywhere; the model is wrong, and the node is named."""
    try:
        yield
    except InvalidInput:
        raise
    except Exception as error:
        raise node.refusal(f"breaks the rules of ONNX: {str(error)[:300]}") from error


def _write(graph: Graph, node: Node) -> None:
    if node.kind == "Constant":
        value = next(
            (
                node.attributes[key]
                for key in ("value", "value_float", "value_floats", "value_int", "value_ints")
                if key in node.attributes
            ),
            None,
        )
        array = numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)
        graph.constants[node.outputs[0]] = array.astype(np.float32) if array.dtype == np.float64 else array
        return
    if node.kind == "Split":
        graph.values |= elements.split_channels(graph, node, node.outputs)
        return
    if node.kind not in _EMITTERS:
        raise node.refusal("has no counterpart here")
    graph.values[node.outputs[0]] = _EMITTERS[node.kind](graph, node)


def _fold_normalisations(model: onnx.ModelProto, graph: Graph) -> None:
    """Make a batch normalisation part of the convolution before it, where nothing else reads what lies between."""
    nodes = list(model.graph.node)
    readers: dict[str, int] = {}
    for name in (*(name for node in nodes for name in node.input), *(value.name for value in model.graph.output)):
        readers[name] = readers.get(name, 0) + 1
    makers = {node.output[0]: node for node in nodes if node.op_type == "Conv"}
    for node in nodes:
        conv = makers.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        if conv is None or readers[conv.output[0]] != 1 or conv.input[1] not in graph.constants:
            continue
        with _refusing(Node.of(node)):
            _fold(graph, conv, node)
        model.graph.node.remove(node)


def _fold(graph: Graph, conv: onnx.NodeProto, node: onnx.NodeProto) -> None:
    factor, offset = elements.normalisation(graph, Node.of(node))
    kernel = graph.constants[conv.input[1]]
    bias = graph.constants[conv.input[2]] if len(conv.input) > 2 else np.zeros(len(factor))
    names = [f"{node.output[0]}:folded:{part}" for part in ("kernel", "bias")]
    graph.constants[names[0]] = (kernel * factor.reshape(-1, *[1] * (kernel.ndim - 1))).astype(np.float32)
    graph.constants[names[1]] = (bias * factor + offset).astype(np.float32)
    del conv.input[1:]
    conv.input.extend(names)
    conv.output[0] = node.output[0]
