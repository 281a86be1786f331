"""ONNX models with several outputs are optimised and converted; each output is compared by itself."""

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper

from tests.zoo_vision.detectors import write_detector
from tests.zoo_vision.samples import context_for, inputs, measured, npz_digits
from zoo_onnxruntime import half_precision
from zoo_onnxruntime.specs import CONVERT_FP16, CONVERT_OPSET, OPTIMISE, QUANTIZE
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, ParityFailed
from zoo_sdk.execution import LocalContext, run_operation
from zoo_sdk.operations import OperationSpec


def made_by(spec: OperationSpec, item: InputItem, folder: Path, **params: Any) -> LocalContext:
    context = context_for(spec, folder)
    run_operation(spec, {"parity_samples": 6, **params}, inputs(model=item), context)
    return context


@pytest.mark.parametrize(
    ("spec", "params", "batch"),
    [(OPTIMISE, {}, "batch"), (CONVERT_FP16, {}, 2), (CONVERT_OPSET, {"target_opset": 18}, "batch")],
)
def test_every_output_is_kept_and_compared(
    spec: OperationSpec, params: dict[str, Any], batch: int | str, tmp_path: Path
) -> None:
    context = made_by(spec, write_detector(tmp_path / "detector.onnx", batch=batch), tmp_path, **params)
    artifact = context.artifacts["model"][0]
    assert artifact.signature
    assert [(one.name, one.layout) for one in artifact.signature.outputs] == [("head_0", "NCHW"), ("head_1", "NCHW")]
    assert [one["name"] for one in artifact.details["parity"]["outputs"]] == ["head_0", "head_1"]
    assert set(measured(context)) == {"max_abs_diff", "mean_abs_diff"}


def test_a_wrong_output_fails_with_its_name_and_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(model: onnx.ModelProto, *_: object, **__: object) -> onnx.ModelProto:
        weight = next(tensor for tensor in model.graph.initializer if tensor.name == "weight_1")
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 2, "weight_1"))
        return model

    monkeypatch.setattr(half_precision, "convert_float_to_float16", spoiled)
    told = r"1 of the new model's 2 outputs .* 'head_1': largest .* begins at 'head_1' \(Conv, "
    with pytest.raises(ParityFailed, match=told):
        made_by(CONVERT_FP16, write_detector(tmp_path / "detector.onnx"), tmp_path)


def test_quantization_is_judged_by_classes_and_refuses_several_outputs(tmp_path: Path) -> None:
    given = inputs(model=write_detector(tmp_path / "detector.onnx"), data=npz_digits(tmp_path / "data"))
    with pytest.raises(InvalidInput, match="1 inputs and 2 outputs; a classifier has one of each"):
        run_operation(QUANTIZE, {}, given, context_for(QUANTIZE, tmp_path))
