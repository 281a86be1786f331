"""Evaluation in Keras: the same pictures and labels give the same score as the ONNX file of the same network."""

from pathlib import Path

import pytest

from tests.plugins.zoo_keras.old_files import PREPROCESSING, digits_network, item_for, write_old_h5
from tests.zoo_vision.samples import context_for, inputs, made_item, measured, npz_digits
from zoo_keras.specs import BENCHMARK, EVALUATE, EXPORT_ONNX
from zoo_onnxruntime.specs import EVALUATE as EVALUATE_ONNX
from zoo_sdk.errors import InvalidInput
from zoo_sdk.execution import run_operation


def test_a_file_scores_in_keras_what_its_onnx_scores_in_onnx_runtime(tmp_path: Path) -> None:
    item = item_for(write_old_h5(digits_network(), tmp_path / "m.h5"), preprocessing=PREPROCESSING)
    data = npz_digits(tmp_path / "data")
    in_keras, conversion, in_onnx = (context_for(spec, tmp_path) for spec in (EVALUATE, EXPORT_ONNX, EVALUATE_ONNX))
    run_operation(EVALUATE, {}, inputs(model=item, data=data), in_keras)
    run_operation(EXPORT_ONNX, {"parity_samples": 8}, inputs(model=item), conversion)
    run_operation(EVALUATE_ONNX, {}, inputs(model=made_item(conversion), data=data), in_onnx)
    one, other = measured(in_keras), measured(in_onnx)
    assert one["top1"] == other["top1"]
    assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
    assert one["macs"] == other["macs"] > 10_000
    assert one["size_bytes"] == item.main_file.stat().st_size
    assert {(found.runtime, found.device) for found in in_keras.measurements if found.name == "top1"} == {
        ("keras", "cpu")
    }


def test_a_model_without_preprocessing_is_refused_with_what_to_do(tmp_path: Path) -> None:
    item = item_for(write_old_h5(digits_network(), tmp_path / "m.h5"))
    with pytest.raises(InvalidInput, match="Push the version again with `preprocessing`"):
        run_operation(BENCHMARK, {"seconds": 0.1}, inputs(model=item), context_for(BENCHMARK, tmp_path))
