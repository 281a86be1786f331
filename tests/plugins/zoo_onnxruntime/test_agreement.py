"""Agreement of two models over the same pictures, measured by ``onnxruntime.evaluate``."""

from pathlib import Path

import pytest

from tests.zoo_vision.samples import context_for, inputs, npz_digits, onnx_item, write_digits_model
from zoo_onnxruntime.specs import EVALUATE
from zoo_sdk.execution import run_operation


def test_agreement_with_another_model_is_measured_with_its_name(tmp_path: Path) -> None:
    model = onnx_item(write_digits_model(tmp_path / "digits.onnx"))
    other = onnx_item(write_digits_model(tmp_path / "other.onnx", seed=5))
    other = other.model_copy(update={"reference": "demo/other@7"})
    context = context_for(EVALUATE, tmp_path)
    ports = inputs(model=model, data=npz_digits(tmp_path / "data"), reference=other)
    run_operation(EVALUATE, {}, ports, context)
    (found,) = [item for item in context.measurements if item.name == "agreement_top1"]
    assert 70 < found.value < 100
    assert found.details["reference"] == "demo/other@7"
    assert found.value == pytest.approx(100 * found.details["same"] / found.details["samples"])
    assert context.reports[0].content["agreement"]["reference"] == "demo/other@7"
