"""``onnxruntime.quantize`` on a real model and real digits: what it makes, leaves alone, and refuses."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from tests.zoo_vision.samples import (
    DIGITS,
    PARAMETERS,
    TEST_SAMPLES,
    context_for,
    digits,
    inputs,
    made_item,
    measured,
    npz_digits,
    onnx_item,
    write_digits_model,
)
from zoo_onnxruntime import calibration
from zoo_onnxruntime.specs import EVALUATE, QUANTIZE
from zoo_sdk.context import InputItem
from zoo_sdk.errors import Cancelled, InvalidInput, OperationError, ParityFailed, UnknownName
from zoo_sdk.execution import LocalContext, run_operation
from zoo_sdk.messages import EventBody


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return onnx_item(write_digits_model(tmp_path_factory.mktemp("model") / "digits.onnx"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return npz_digits(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def quantised(model: InputItem, data: InputItem, tmp_path_factory: pytest.TempPathFactory) -> LocalContext:
    return quantise(model, data, tmp_path_factory.mktemp("quantised"), samples=100)


def quantise(item: InputItem, data: InputItem, folder: Path, **params: Any) -> LocalContext:
    context = context_for(QUANTIZE, folder)
    run_operation(QUANTIZE, {"samples": 30, **params}, inputs(model=item, data=data), context)
    return context


def graph_of(context: LocalContext) -> onnx.GraphProto:
    return onnx.load(str(context.output() / "model.onnx")).graph


def initializers(context: LocalContext) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph_of(context).initializer}


def changed(folder: Path, change: Any) -> InputItem:
    """The digits model after ``change(model)``."""
    loaded = onnx.load(str(write_digits_model(folder / "changed.onnx")))
    change(loaded)
    onnx.save(loaded, str(folder / "changed.onnx"))
    return onnx_item(folder / "changed.onnx")


def test_every_weighted_operation_becomes_int8_per_channel_and_agrees_with_its_base(quantised: LocalContext) -> None:
    artifact = quantised.artifacts["model"][0]
    assert (artifact.format, artifact.precision, artifact.runtime) == ("onnx", "int8", "onnxruntime")
    assert (artifact.details["int8_operations"], artifact.details["operations"]) == (3, 3)
    assert artifact.details["quantization"]["samples"] == 100
    assert artifact.details["versions"]["onnxruntime"] == onnxruntime.__version__
    assert artifact.signature
    assert artifact.signature.inputs[0].shape == (None, 1, 8, 8)
    assert measured(quantised)["agreement_top1"] >= 99
    tensors = initializers(quantised)
    assert tensors["first_weight_quantized"].dtype == np.int8
    assert tensors["first_weight_scale"].shape == (16,)
    assert {node.op_type for node in graph_of(quantised).node} >= {"QuantizeLinear", "DequantizeLinear"}


def test_an_int8_file_counts_the_same_parameters_and_stays_within_a_point_of_its_base(
    model: InputItem, quantised: LocalContext, data: InputItem, tmp_path: Path
) -> None:
    found = []
    for number, item in enumerate((model, made_item(quantised))):
        context = context_for(EVALUATE, tmp_path / str(number))
        run_operation(EVALUATE, {}, inputs(model=item, data=data), context)
        found.append(measured(context))
    assert abs(found[0]["top1"] - found[1]["top1"]) <= 1
    assert found[1]["parameters"] == PARAMETERS


def test_weights_keep_to_seven_bits_by_default_so_that_no_processor_overflows(
    model: InputItem, quantised: LocalContext, data: InputItem, tmp_path: Path
) -> None:
    assert np.abs(initializers(quantised)["head_weight_quantized"].astype(int)).max() <= 64
    wide = quantise(model, data, tmp_path, reduce_range=False, min_agreement=0)
    assert np.abs(initializers(wide)["head_weight_quantized"].astype(int)).max() >= 127


@pytest.mark.parametrize("method", ["entropy", "percentile"])
def test_every_calibration_method_agrees_and_chooses_other_ranges(
    method: str, model: InputItem, quantised: LocalContext, data: InputItem, tmp_path: Path
) -> None:
    made = quantise(model, data, tmp_path, samples=100, calibration=method, percentile=99.9)
    assert measured(made)["agreement_top1"] >= 97
    assert made.artifacts["model"][0].details["quantization"]["calibration"] == method
    if method == "percentile":
        assert initializers(made)["b_scale"] < initializers(quantised)["b_scale"]


def test_symmetric_int8_activations_have_no_zero_point_of_their_own(
    model: InputItem, data: InputItem, tmp_path: Path
) -> None:
    made = quantise(model, data, tmp_path, activations="symmetric", activation_type="int8", per_channel=False)
    tensors = initializers(made)
    points = [tensors[name] for name in tensors if name.endswith("_zero_point") and "weight" not in name]
    assert all(not point.any() for point in points)
    assert tensors["image_zero_point"].dtype == np.int8
    assert tensors["first_weight_scale"].shape == ()


def test_excluded_nodes_and_types_stay_in_floating_point(model: InputItem, data: InputItem, tmp_path: Path) -> None:
    by_name = quantise(model, data, tmp_path / "name", excluded_names=["depth"])
    assert "depth_weight" in initializers(by_name)
    assert by_name.artifacts["model"][0].details["int8_operations"] == 2
    assert by_name.artifacts["model"][0].details["quantization"]["excluded_nodes"] == ["depth"]
    by_type = quantise(model, data, tmp_path / "type", excluded_types=["Conv"])
    assert {"first_weight", "depth_weight"} <= set(initializers(by_type))
    assert by_type.artifacts["model"][0].details["int8_operations"] == 1


def test_a_node_without_a_name_is_excluded_by_its_output(data: InputItem, tmp_path: Path) -> None:
    def unnamed(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            node.ClearField("name")

    made = quantise(changed(tmp_path, unnamed), data, tmp_path, excluded_names=["d"])
    assert "depth_weight" in initializers(made)
    assert made.artifacts["model"][0].details["int8_operations"] == 2


def test_a_node_or_type_that_does_not_exist_is_refused_with_the_nearest(
    model: InputItem, data: InputItem, tmp_path: Path
) -> None:
    with pytest.raises(UnknownName, match=r"Unknown node of demo/digits@1 'deptt'. Did you mean depth\?"):
        quantise(model, data, tmp_path, excluded_names=["deptt"])
    with pytest.raises(UnknownName, match=r"Unknown operation type of demo/digits@1 'Convs'. Did you mean Conv\?"):
        quantise(model, data, tmp_path, excluded_types=["Convs"])


def test_excluding_everything_is_an_error_and_not_a_float_model_called_int8(
    model: InputItem, data: InputItem, tmp_path: Path
) -> None:
    with pytest.raises(OperationError, match="quantized none of the 3 weighted operations"):
        quantise(model, data, tmp_path, excluded_types=["Conv", "Gemm"])


def test_an_agreement_that_cannot_be_met_fails_with_the_layer_and_declares_nothing(
    model: InputItem, tmp_path: Path
) -> None:
    """Calibrated on almost black pictures, the ranges are too narrow for real digits: the input itself is clipped."""
    images, _ = digits()
    dark = npz_digits(tmp_path / "dark", train_images=(images[:1297] // 64).astype(np.uint8))
    context = context_for(QUANTIZE, tmp_path)
    told = r"same top class \d+\.\d+ % \(required 100 %\)\. The difference begins at 'b' \(Relu, 2 of 7 layers\)"
    with pytest.raises(ParityFailed, match=told) as caught:
        run_operation(QUANTIZE, {"samples": 20, "min_agreement": 100}, inputs(model=model, data=dark), context)
    assert caught.value.facts["samples"] == TEST_SAMPLES
    assert caught.value.facts["worst_layer"]["name"] == "b"
    assert context.artifacts == {}
    assert context.measurements == []


def test_a_model_with_dynamic_height_and_width_is_quantized_like_a_static_one(
    quantised: LocalContext, data: InputItem, tmp_path: Path
) -> None:
    def dynamic(model: onnx.ModelProto) -> None:
        for dim, name in zip(model.graph.input[0].type.tensor_type.shape.dim, ("n", None, "h", "w"), strict=True):
            if name:
                dim.dim_param = name

    made = quantise(changed(tmp_path, dynamic), data, tmp_path, samples=100)
    assert made.artifacts["model"][0].details["int8_operations"] == 3
    assert np.array_equal(initializers(made)["b_scale"], initializers(quantised)["b_scale"])


def test_a_fixed_batch_is_calibrated_and_compared_as_it_is(data: InputItem, tmp_path: Path) -> None:
    fixed = onnx_item(write_digits_model(tmp_path / "fixed.onnx", batch=7))
    made = quantise(fixed, data, tmp_path)
    assert made.artifacts["model"][0].signature
    assert made.artifacts["model"][0].signature.inputs[0].shape == (7, 1, 8, 8)


def test_a_source_that_gives_nan_fails_before_it_is_calibrated(
    data: InputItem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(model: onnx.ModelProto) -> None:
        tensor = next(item for item in model.graph.initializer if item.name == "depth_bias")
        tensor.CopyFrom(numpy_helper.from_array(np.full(16, np.nan, np.float32), "depth_bias"))

    monkeypatch.setattr(calibration, "create_calibrator", lambda *_, **__: pytest.fail("calibrated"))
    with pytest.raises(ParityFailed, match="The source gave an output that is not a finite number"):
        quantise(changed(tmp_path, broken), data, tmp_path)


def test_a_data_set_without_labels_for_the_split_is_refused(model: InputItem, data: InputItem, tmp_path: Path) -> None:
    assert data.dataset
    splits = {"train": {"archive": "digits.npz", "images": "train_images"}}
    bare = data.model_copy(update={"dataset": data.dataset.model_copy(update={"splits": splits})})
    with pytest.raises(InvalidInput, match="The split 'train' does not name its 'labels'"):
        quantise(model, bare, tmp_path)


def test_a_quantized_model_is_not_quantized_again(quantised: LocalContext, data: InputItem, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="demo/made@1 is quantized already"):
        quantise(made_item(quantised), data, tmp_path)


def test_a_data_set_of_other_classes_is_refused(model: InputItem, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has 10 outputs, but the data set has 11 classes"):
        quantise(model, npz_digits(tmp_path / "data", classes=(*DIGITS, "ten")), tmp_path)


def test_weights_outside_the_artifact_are_never_read(data: InputItem, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(4 * 16 * 9))

    def external(model: onnx.ModelProto) -> None:
        tensor = next(item for item in model.graph.initializer if item.name == "first_weight")
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "../secret"

    (tmp_path / "model").mkdir()
    item = changed(tmp_path / "model", external)
    for spec in (QUANTIZE, EVALUATE):
        with pytest.raises(InvalidInput, match=re.escape("lies in '../secret', which is not one of")):
            run_operation(spec, {}, inputs(model=item, data=data), context_for(spec, tmp_path))


def test_a_cancelled_quantization_stops_while_it_calibrates(model: InputItem, data: InputItem, tmp_path: Path) -> None:
    events: list[EventBody] = []

    def fed() -> bool:
        return any(event.kind == "progress" and event.message == "calibration samples" for event in events)

    context = context_for(QUANTIZE, tmp_path, emit=events.append, cancelled=fed)
    with pytest.raises(Cancelled):
        run_operation(QUANTIZE, {"samples": 300}, inputs(model=model, data=data), context)
    assert not any(event.kind == "progress" and event.done >= 300 for event in events)


@pytest.mark.parametrize(
    "params",
    [
        {"samples": 0},
        {"calibration": "kl"},
        {"percentile": 101},
        {"activation_type": "int8", "weight_type": "uint8"},
        {"min_agreement": 101},
    ],
)
def test_wrong_parameters_are_refused(params: dict, model: InputItem, data: InputItem, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"{next(iter(params))}|int8 activations with uint8 weights"):
        quantise(model, data, tmp_path, **params)
