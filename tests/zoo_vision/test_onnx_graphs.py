"""A parsed ONNX model stays in its folder, and shows what is inside it."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tests.zoo_vision.samples import onnx_item, write_digits_model
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput
from zoo_vision.onnx_graphs import check_external_data, expose, layers_of, output_of


def external(path: Path, location: str) -> InputItem:
    """The digits model whose weights are said to lie at ``location``; ``model.data`` is one of the artifact's files."""
    write_digits_model(path / "model.onnx")
    model = onnx.load(str(path / "model.onnx"))
    for tensor in model.graph.initializer:
        onnx.external_data_helper.set_external_data(tensor, location=location)
        tensor.ClearField("raw_data")
    (path / "model.onnx").write_bytes(model.SerializeToString())
    (path / "model.data").write_bytes(bytes(100_000))
    item = onnx_item(path / "model.onnx")
    assert item.artifact
    return item.model_copy(
        update={"artifact": item.artifact.model_copy(update={"files": ("model.onnx", "model.data")})}
    )


def parsed(item: InputItem) -> onnx.ModelProto:
    return onnx.load(str(item.main_file), load_external_data=False)


def test_weights_in_a_file_of_the_artifact_are_fine(tmp_path: Path) -> None:
    item = external(tmp_path, "model.data")
    check_external_data(parsed(item), item)


@pytest.mark.parametrize(
    "location", ["/etc/hostname", "../model.data", "sub/../../x", "other.data", "", "model.onnx/x"]
)
def test_weights_anywhere_else_are_refused_by_name(tmp_path: Path, location: str) -> None:
    (tmp_path / "other.data").write_bytes(bytes(10))
    item = external(tmp_path, location)
    with pytest.raises(InvalidInput, match=r"The weight '\w+' of demo/digits@1 lies in '.*', which is not one of"):
        check_external_data(parsed(item), item)


def test_weights_of_attributes_and_of_subgraphs_are_looked_at_too(tmp_path: Path) -> None:
    item = external(tmp_path, "model.data")
    outside = helper.make_tensor("outside", TensorProto.FLOAT, [1], [0.0])
    outside.data_location = TensorProto.EXTERNAL
    entry = outside.external_data.add()
    entry.key, entry.value = "location", "../x"
    constant = helper.make_node("Constant", [], ["k"], value=outside)
    result = helper.make_tensor_value_info("k", TensorProto.FLOAT, [1])
    branch = helper.make_graph([constant], "branch", [], [result])
    condition = helper.make_node("If", ["c"], ["r"], then_branch=branch, else_branch=branch)
    for nodes in ([constant], [condition]):
        model = helper.make_model(helper.make_graph(nodes, "g", [], []))
        with pytest.raises(InvalidInput, match="'outside'"):
            check_external_data(model, item)


def test_layers_are_the_floating_point_values_in_order_and_can_be_read(tmp_path: Path) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(str(write_digits_model(tmp_path / "m.onnx"))))
    layers = layers_of(model)
    assert [(layer.name, layer.kind) for layer in layers[:4]] == [
        ("a", "Conv"), ("b", "Relu"), ("c", "MaxPool"), ("d", "Conv"),
    ]  # fmt: skip
    assert output_of(model).name == "scores"
    expose(model, ["b", "d", "scores", "nowhere"])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_outputs()] == ["scores", "b", "d"]
    values = session.run(None, {"image": np.ones((2, 1, 8, 8), np.float32)})
    assert values[1].shape == (2, 16, 8, 8)
    assert values[1].min() == 0
