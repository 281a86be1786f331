"""Parameters and multiply-accumulates of ONNX graphs against counts made by hand."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

from tests.zoo_vision.samples import CHANNELS, MACS, PARAMETERS, write_digits_model
from zoo_onnxruntime.complexity import load_graph
from zoo_vision.onnx_costs import count_macs, count_parameters


class OneBatch(CalibrationDataReader):
    def __init__(self) -> None:
        self.batches = iter([{"image": np.random.default_rng(0).normal(size=(8, 1, 8, 8)).astype(np.float32)}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


def save(path: Path, nodes: list, shapes: dict[str, list], weights: dict[str, tuple[int, ...]]) -> Path:
    names = list(shapes)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    tensors = [numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in weights.items()]
    graph = helper.make_graph(nodes, "graph", values[: len(names) - 1], values[-1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), str(path))
    return path


def test_a_small_network_counts_as_by_hand(tmp_path: Path) -> None:
    graph = load_graph(write_digits_model(tmp_path / "m.onnx"))
    assert count_parameters(graph) == PARAMETERS
    assert count_macs(graph) == MACS


@pytest.mark.parametrize("style", [QuantFormat.QDQ, QuantFormat.QOperator])
def test_an_int8_file_counts_as_its_float_source(tmp_path: Path, style: QuantFormat) -> None:
    source = write_digits_model(tmp_path / "m.onnx")
    quantize_static(str(source), str(tmp_path / "q.onnx"), OneBatch(), quant_format=style, per_channel=True)
    graph = load_graph(tmp_path / "q.onnx")
    assert count_parameters(graph) == PARAMETERS
    assert count_macs(graph) == MACS


def test_a_transposed_convolution_counts_its_inputs(tmp_path: Path) -> None:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])
    path = save(tmp_path / "t.onnx", [node], {"x": ["n", 4, 5, 5], "y": ["n", 6, 11, 11]}, {"w": (4, 6, 3, 3)})
    assert count_macs(load_graph(path)) == 4 * 5 * 5 * 6 * 9


def test_a_transposed_gemm_and_a_batched_product_count_their_inner_size(tmp_path: Path) -> None:
    gemm = helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)
    path = save(tmp_path / "g.onnx", [gemm], {"x": ["n", 12], "y": ["n", 5]}, {"w": (5, 12)})
    assert count_macs(load_graph(path)) == 60
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = save(tmp_path / "m.onnx", [product], {"x": ["n", 3, 7, 12], "y": ["n", 3, 7, 5]}, {"w": (12, 5)})
    assert count_macs(load_graph(path)) == 3 * 7 * 12 * 5


def test_a_shape_that_depends_on_the_input_gives_no_count_instead_of_a_wrong_one(tmp_path: Path) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    shapes: dict[str, list] = {"x": ["n", 1, "h", "w"], "y": ["n", 2, "a", "b"]}
    assert count_macs(load_graph(save(tmp_path / "d.onnx", [node], shapes, {"w": (2, 1, 3, 3)}))) is None


def test_an_operation_that_is_not_known_gives_no_count_instead_of_a_wrong_one(tmp_path: Path) -> None:
    node = helper.make_node("Einsum", ["x", "w"], ["y"], equation="ni,ij->nj")
    path = save(tmp_path / "e.onnx", [node], {"x": ["n", 4], "y": ["n", 5]}, {"w": (4, 5)})
    assert count_macs(load_graph(path)) is None


def test_shapes_written_for_another_batch_do_not_count(tmp_path: Path) -> None:
    path = write_digits_model(tmp_path / "m.onnx", batch="n")
    model = onnx.load(str(path))
    model.graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, [32, CHANNELS, 8, 8]))
    onnx.save(model, str(path))
    assert count_macs(load_graph(path)) == MACS
