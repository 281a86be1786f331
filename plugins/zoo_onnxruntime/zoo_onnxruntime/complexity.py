"""Reads an ONNX file for counting its costs (``zoo_vision.onnx_costs``), and counts what of it is INT8."""

from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto

from zoo_vision.onnx_costs import for_one_sample

_INT8_TYPES = frozenset({TensorProto.INT8, TensorProto.UINT8})
_WEIGHT_INPUTS = {
    "Conv": (1,),
    "ConvInteger": (1,),
    "ConvTranspose": (1,),
    "Gemm": (1,),
    "MatMul": (1,),
    "MatMulInteger": (1,),
    "QGemm": (3,),
    "QLinearConv": (3,),
    "QLinearMatMul": (3,),
}
"""Where the operations that multiply by a weight have it."""


def load_graph(path: Path) -> ModelProto:
    """The graph with the shapes of one sample inferred; weights kept in other files are not read."""
    model = for_one_sample(onnx.load(str(path), load_external_data=False))
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def count_int8_operations(model: ModelProto) -> tuple[int, int]:
    """How many of the operations that multiply by a constant weight hold it in INT8, and how many there are."""
    integers = {tensor.name for tensor in model.graph.initializer if tensor.data_type in _INT8_TYPES}
    constants = {tensor.name for tensor in model.graph.initializer}
    behind = {
        node.output[0]: node.input[0] for node in model.graph.node if node.op_type in {"DequantizeLinear", "Identity"}
    }
    weights = [
        behind.get(node.input[index], node.input[index])
        for node in model.graph.node
        for index in _WEIGHT_INPUTS.get(node.op_type, ())
    ]
    weighted = [name for name in weights if name in constants]
    return sum(name in integers for name in weighted), len(weighted)
