"""Every ONNX operator that is converted computes in TFLite what it computes in ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from zoo_tflite.graphs.emitting import emit
from zoo_tflite.runtime import Model

RANDOM = np.random.default_rng(0)
PICTURE, ROW = (2, 4, 7, 6), (2, 6)


def weight(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


STATISTICS = [np.abs(weight(4)) + 0.5 for _ in range(4)]
CASES: dict[str, tuple[str, tuple[int, ...], list[np.ndarray], dict[str, Any]]] = {
    "conv, valid": ("Conv", PICTURE, [weight(5, 4, 3, 3), weight(5)], {}),
    "conv, even pads": ("Conv", PICTURE, [weight(5, 4, 3, 3)], {"pads": [1, 1, 1, 1]}),
    "conv, strided with even pads": ("Conv", PICTURE, [weight(5, 4, 3, 3)], {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    "conv, same": ("Conv", PICTURE, [weight(5, 4, 3, 2)], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "conv, dilated": ("Conv", PICTURE, [weight(5, 4, 2, 2)], {"dilations": [2, 2], "pads": [1, 1, 1, 1]}),
    "conv, grouped": ("Conv", PICTURE, [weight(6, 2, 3, 3)], {"group": 2}),
    "conv, depthwise": ("Conv", PICTURE, [weight(8, 1, 3, 3), weight(8)], {"group": 4, "pads": [1, 1, 1, 1]}),
    "largest": ("MaxPool", PICTURE, [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "largest, stride 1": ("MaxPool", PICTURE, [], {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [0, 0, 1, 1]}),
    "mean": ("AveragePool", PICTURE, [], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "mean, same": ("AveragePool", PICTURE, [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "mean, zeros count": (
        "AveragePool", PICTURE, [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1},
    ),
    "global mean": ("GlobalAveragePool", PICTURE, [], {}),
    "global largest": ("GlobalMaxPool", PICTURE, [], {}),
    "mean of the sides": ("ReduceMean", PICTURE, [ints(2, 3)], {"keepdims": 0}),
    "mean of the channels": ("ReduceMean", PICTURE, [ints(1)], {"keepdims": 0}),
    "nearest": ("Resize", PICTURE, [np.array([], np.float32), np.array([1, 1, 2, 2], np.float32)],
                {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    "between": ("Resize", PICTURE, [np.array([], np.float32), np.array([1, 1, 2, 2], np.float32)],
                {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}),
    "batch normalisation": ("BatchNormalization", PICTURE, STATISTICS, {"epsilon": 1e-3}),
    "relu": ("Relu", PICTURE, [], {}),
    "sigmoid": ("Sigmoid", ROW, [], {}),
    "tanh": ("Tanh", ROW, [], {}),
    "hard swish": ("HardSwish", PICTURE, [], {}),
    "hard sigmoid": ("HardSigmoid", PICTURE, [], {"alpha": 1 / 6, "beta": 0.5}),
    "leaky": ("LeakyRelu", PICTURE, [], {"alpha": 0.1}),
    "elu": ("Elu", PICTURE, [], {}),
    "gelu": ("Gelu", ROW, [], {}),
    "slopes": ("PRelu", PICTURE, [weight(4, 1, 1)], {}),
    "clip to 6": ("Clip", PICTURE, [np.float32(0), np.float32(6)], {}),
    "clip": ("Clip", PICTURE, [np.float32(-0.5), np.float32(0.7)], {}),
    "add a number for each channel": ("Add", PICTURE, [weight(4, 1, 1)], {}),
    "subtract a map": ("Sub", PICTURE, [weight(1, 4, 7, 6)], {}),
    "divide by a number": ("Div", ROW, [np.float32(3)], {}),
    "largest of two": ("Max", ROW, [weight(6)], {}),
    "softmax of a row": ("Softmax", ROW, [], {}),
    "softmax of channels": ("Softmax", PICTURE, [], {"axis": 1}),
    "gemm": ("Gemm", ROW, [weight(3, 6), weight(3)], {"transB": 1, "alpha": 0.5}),
    "product": ("MatMul", ROW, [weight(6, 3)], {}),
    "flatten": ("Flatten", PICTURE, [], {}),
    "reshape": ("Reshape", PICTURE, [ints(0, 4, 42)], {}),
    "transpose": ("Transpose", PICTURE, [], {"perm": [0, 2, 1, 3]}),
    "padding": ("Pad", PICTURE, [ints(0, 0, 1, 2, 0, 1, 0, 1)], {}),
    "padding with ones": ("Pad", PICTURE, [ints(0, 0, 1, 2, 0, 0, 0, 1), np.float32(1)], {}),
}  # fmt: skip


def model_of(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], shape: tuple[int, ...]) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape[1:]])]
    result = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "graph", values, result, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def check(model: onnx.ModelProto, shape: tuple[int, ...], folder: Path) -> int:
    """Compare both runtimes; the number of operators in the file."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    wanted = session.run(None, {"x": inputs})[0]
    path = folder / "m.tflite"
    path.write_bytes(emit(model, batch=shape[0], half=False).content)
    made = Model(path, 1)
    (found,) = made(inputs)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    return sum(one["op_name"] != "DELEGATE" for one in made._interpreter._get_ops_details())


@pytest.mark.parametrize("name", CASES)
def test_an_operator_computes_what_it_computes_in_onnx_runtime(name: str, tmp_path: Path) -> None:
    kind, shape, constants, attributes = CASES[name]
    names = [f"c{number}" if array.size else "" for number, array in enumerate(constants)]
    weights = {key: array for key, array in zip(names, constants, strict=True) if key}
    check(model_of([helper.make_node(kind, ["x", *names], ["y"], **attributes)], weights, shape), shape, tmp_path)


def test_a_block_of_convolutions_is_turned_at_its_ends_only(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", "s", "b", "m", "v"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "k"], ["h"]),
        helper.make_node("Reshape", ["h", "shape"], ["gate"]),
        helper.make_node("Mul", ["d", "gate"], ["e"]),
        helper.make_node("Concat", ["e", "x"], ["y"], axis=1),
    ]
    weights = {"w": weight(4, 4, 3, 3), "k": weight(4, 4), "shape": ints(-1, 4, 1, 1)}
    weights |= dict(zip("sbmv", STATISTICS, strict=True))
    # Transpose in and out; the normalisation is part of the convolution.
    assert check(model_of(nodes, weights, PICTURE), PICTURE, tmp_path) == 2 + 8


def test_a_network_that_begins_with_channels_last_is_not_turned_at_all(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w"], ["c"]),
        helper.make_node("Transpose", ["c"], ["y"], perm=[0, 2, 3, 1]),
    ]
    assert check(model_of(nodes, {"w": weight(5, 3, 3, 3)}, (1, 8, 8, 3)), (1, 8, 8, 3), tmp_path) == 1


def test_a_split_gives_its_parts(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2),
        helper.make_node("Sub", ["a", "b"], ["y"]),
    ]
    check(model_of(nodes, {}, PICTURE), PICTURE, tmp_path)
