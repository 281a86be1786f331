"""Detectors and other models whose outputs are no class scores: converted, each output compared by itself."""

from pathlib import Path

import onnx
import openvino as ov
import pytest
from onnx import TensorProto, helper

from tests.zoo_vision.detectors import write_detector
from tests.zoo_vision.samples import PREPROCESSING, context_for, inputs, made_item, measured, npz_digits
from zoo_openvino import conversion
from zoo_openvino.specs import BENCHMARK, CONVERT
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, OperationError, ParityFailed
from zoo_sdk.execution import LocalContext, run_operation


def convert(item: InputItem, folder: Path, **params: object) -> LocalContext:
    context = context_for(CONVERT, folder)
    run_operation(CONVERT, {"parity_samples": 6, **params}, inputs(model=item), context)
    return context


@pytest.mark.parametrize("batch", ["batch", 2])
def test_a_detector_is_converted_with_the_difference_of_every_output(batch: int | str, tmp_path: Path) -> None:
    context = convert(write_detector(tmp_path / "detector.onnx", batch=batch), tmp_path)
    artifact = context.artifacts["model"][0]
    assert artifact.signature
    size = batch if isinstance(batch, int) else None
    assert [(one.name, one.shape, one.layout) for one in artifact.signature.outputs] == [
        ("head_0", (size, 5, 8, 8), "NCHW"), ("head_1", (size, 6, 8, 8), "NCHW"),
    ]  # fmt: skip
    parity = artifact.details["parity"]
    assert [one["name"] for one in parity["outputs"]] == ["head_0", "head_1"]
    assert all(one["max_abs_diff"] <= one["allowed_max_abs_diff"] < 1e-2 for one in parity["outputs"])
    assert (parity["agreement_top1"], parity["samples"]) == (None, 6)
    assert set(measured(context)) == {"max_abs_diff", "mean_abs_diff"}
    assert [one["name"] for one in context.measurements[0].details["outputs"]] == ["head_0", "head_1"]
    assert len(ov.Core().read_model(context.output() / "model.xml").outputs) == 2


def test_a_single_map_has_no_top_class_either(tmp_path: Path) -> None:
    context = convert(write_detector(tmp_path / "one.onnx", heads=1), tmp_path, precision="fp16")
    assert 0 < measured(context)["max_abs_diff"] < 1e-2
    assert "agreement_top1" not in measured(context)


def test_a_wrong_output_fails_with_its_name_and_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = write_detector(tmp_path / "right.onnx")
    wrong = write_detector(tmp_path / "wrong.onnx", wrong=1.01)
    monkeypatch.setattr(conversion, "_converted", lambda _: ov.convert_model(wrong.main_file))
    told = r"1 of the new model's 2 outputs .* 'head_1': largest .* begins at 'head_1' \(Convolution, "
    with pytest.raises(ParityFailed, match=told) as caught:
        convert(item, tmp_path)
    differences = [one["max_abs_diff"] for one in caught.value.facts["outputs"]]
    assert differences[0] < 1e-5
    assert differences[1] > 1e-3


def test_an_output_without_a_row_for_each_sample_is_refused_by_name(tmp_path: Path) -> None:
    item = write_detector(tmp_path / "gathered.onnx")
    model = onnx.load(str(item.main_file))
    model.graph.node.append(helper.make_node("ReduceMax", ["head_0"], ["best"], keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("best", TensorProto.FLOAT, []))
    onnx.save(model, str(item.main_file))
    with pytest.raises(OperationError, match=r"'best' has the shape \(\) for 1 samples: its first axis is no batch"):
        convert(item, tmp_path)


def test_what_needs_class_scores_still_refuses_several_outputs(tmp_path: Path) -> None:
    made = made_item(convert(write_detector(tmp_path / "detector.onnx"), tmp_path))
    data = npz_digits(tmp_path / "data")
    assert made.artifact
    assert made.artifact.preprocessing == PREPROCESSING
    with pytest.raises(InvalidInput, match="has 2 outputs; a classifier has one"):
        run_operation(BENCHMARK, {"seconds": 0.1}, inputs(model=made, data=data), context_for(BENCHMARK, tmp_path))
