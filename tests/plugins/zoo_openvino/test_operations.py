"""Convert, quantize, evaluate and benchmark in OpenVINO, on a real model and real digits."""

import re
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest
from onnx import numpy_helper

from tests.zoo_vision.samples import (
    DIGITS,
    MACS,
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
from zoo_openvino import conversion, quantization
from zoo_openvino.specs import BENCHMARK, CONVERT, EVALUATE, QUANTIZE
from zoo_sdk.context import InputItem
from zoo_sdk.errors import Cancelled, InvalidInput, OperationError, ParityFailed, UnknownName
from zoo_sdk.execution import LocalContext, run_operation
from zoo_sdk.messages import EventBody
from zoo_sdk.operations import OperationSpec


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return onnx_item(write_digits_model(tmp_path_factory.mktemp("model") / "digits.onnx"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return npz_digits(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def converted(model: InputItem, data: InputItem, tmp_path_factory: pytest.TempPathFactory) -> LocalContext:
    context = context_for(CONVERT, tmp_path_factory.mktemp("converted"))
    run_operation(CONVERT, {}, inputs(model=model, data=data), context)
    return context


@pytest.fixture(scope="module")
def quantised(model: InputItem, data: InputItem, tmp_path_factory: pytest.TempPathFactory) -> LocalContext:
    context = context_for(QUANTIZE, tmp_path_factory.mktemp("quantised"))
    run_operation(QUANTIZE, {"samples": 100}, inputs(model=model, data=data), context)
    return context


def file_bytes(context: LocalContext) -> list[bytes]:
    return [(context.output() / path).read_bytes() for path in context.artifacts["model"][0].files]


def evaluated(item: InputItem, data: InputItem, folder: Path, **params: object) -> LocalContext:
    context = context_for(EVALUATE, folder)
    run_operation(EVALUATE, params, inputs(model=item, data=data), context)
    return context


def test_a_converted_model_carries_signature_preprocessing_and_parity(
    converted: LocalContext, model: InputItem
) -> None:
    artifact = converted.artifacts["model"][0]
    assert artifact.format == "openvino-ir"
    assert artifact.files == ("model.xml", "model.bin")
    assert (artifact.precision, artifact.runtime) == ("fp32", "openvino")
    assert model.artifact
    assert artifact.preprocessing == model.artifact.preprocessing
    assert artifact.signature
    assert artifact.signature.inputs[0].shape == (None, 1, 8, 8)
    assert artifact.signature.outputs[0].shape == (None, 10)
    assert artifact.details["opset"] == 20
    assert artifact.details["parity"]["samples"] == 256
    assert artifact.details["versions"]["openvino"] == ov.__version__
    assert measured(converted)["agreement_top1"] == 100
    assert {item.dataset_port for item in converted.measurements} == {"data"}


def test_fp16_weights_take_half_the_space_and_stay_within_their_tolerance(
    model: InputItem, converted: LocalContext, tmp_path: Path
) -> None:
    context = context_for(CONVERT, tmp_path)
    run_operation(CONVERT, {"precision": "fp16"}, inputs(model=model), context)
    assert context.artifacts["model"][0].precision == "fp16"
    assert len(file_bytes(context)[1]) < 0.6 * len(file_bytes(converted)[1])
    assert 0 < measured(context)["max_abs_diff"] < 0.05
    assert context.artifacts["model"][0].details["parity"]["inputs"] == "random"
    assert {item.dataset_port for item in context.measurements} == {None}


def test_the_models_own_names_stay_and_counted_ones_begin_anew(converted: LocalContext) -> None:
    read = ov.Core().read_model(converted.output() / "model.xml")
    names = {item.get_friendly_name() for item in read.get_ops()}
    assert {"image", "depth", "first_weight"} <= names
    assert any("_auto0" in name for name in names)
    assert not [name for name in names if re.search(r"[A-Z][a-z]+_\d+", name)]


def test_converting_and_quantizing_twice_gives_the_same_bytes(
    model: InputItem, data: InputItem, converted: LocalContext, quantised: LocalContext, tmp_path: Path
) -> None:
    for spec, former, params in ((CONVERT, converted, {}), (QUANTIZE, quantised, {"samples": 100})):
        context = context_for(spec, tmp_path)
        run_operation(spec, params, inputs(model=model, data=data), context)
        assert file_bytes(context) == file_bytes(former)


def test_a_tolerance_that_cannot_be_met_fails_with_the_figures_and_declares_nothing(
    model: InputItem, data: InputItem, tmp_path: Path
) -> None:
    context = context_for(CONVERT, tmp_path)
    params = {"precision": "fp16", "max_abs_diff": 1e-6}
    with pytest.raises(ParityFailed, match=r"largest difference 0\.\d+ \(allowed 1e-06\)") as caught:
        run_operation(CONVERT, params, inputs(model=model, data=data), context)
    assert caught.value.facts["max_abs_diff"] > 1e-6
    assert caught.value.facts["samples"] == 256
    assert context.artifacts == {}
    assert context.measurements == []


def test_a_conversion_that_computes_something_else_fails(
    model: InputItem, data: InputItem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ov.convert_model(write_digits_model(tmp_path / "other.onnx", seed=1))
    monkeypatch.setattr(conversion, "_converted", lambda item: other)
    told = r"does not compute what its source computes.* begins at 'a' \(Conv, 1 of 7 layers\)"
    with pytest.raises(ParityFailed, match=told) as caught:
        run_operation(CONVERT, {}, inputs(model=model, data=data), context_for(CONVERT, tmp_path))
    assert caught.value.facts["worst_layer"]["error"] > 0.5


@pytest.mark.parametrize("batch", ["batch", 7])
def test_a_conversion_that_goes_wrong_in_one_layer_fails_with_that_layer(
    batch: int | str, data: InputItem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = onnx_item(write_digits_model(tmp_path / "model.onnx", batch=batch))
    loaded = onnx.load(str(source.main_file))
    depth = next(tensor for tensor in loaded.graph.initializer if tensor.name == "depth_weight")
    depth.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(depth) * np.float32(1.01), "depth_weight"))
    onnx.save(loaded, str(tmp_path / "wrong.onnx"))
    monkeypatch.setattr(conversion, "_converted", lambda item: ov.convert_model(tmp_path / "wrong.onnx"))
    # What precedes it differs by rounding at most, and by nothing on some processors.
    told = r"begins at 'd' \(Conv, 4 of 7 layers\): relative error 0\.0101 there, (0|\d\S*e-0[78]) before it"
    with pytest.raises(ParityFailed, match=told):
        run_operation(CONVERT, {}, inputs(model=source, data=data), context_for(CONVERT, tmp_path))


def test_an_onnx_source_is_run_in_its_own_runtime_and_an_ir_in_openvino(
    converted: LocalContext, data: InputItem, tmp_path: Path
) -> None:
    assert converted.measurements[0].details["source_runtime"] == "onnxruntime"
    assert converted.artifacts["model"][0].details["parity"]["source_runtime"] == "onnxruntime"
    context = context_for(QUANTIZE, tmp_path)
    dark = (digits()[0][:1297] // 64).astype(np.uint8)
    params = {"samples": 10, "parity_samples": 100, "min_agreement": 100}
    poor = npz_digits(tmp_path / "poor", train_images=dark)
    with pytest.raises(ParityFailed, match=r"begins at '\w+' \((Convolution|Add|Relu)") as caught:
        run_operation(QUANTIZE, params, inputs(model=made_item(converted), data=poor), context)
    assert caught.value.facts["worst_layer"]["layers"] > 3


def test_a_source_that_gives_nan_fails_before_anything_is_made(data: InputItem, tmp_path: Path) -> None:
    loaded = onnx.load(str(write_digits_model(tmp_path / "nan.onnx")))
    bias = next(tensor for tensor in loaded.graph.initializer if tensor.name == "depth_bias")
    bias.CopyFrom(numpy_helper.from_array(np.full(16, np.nan, np.float32), "depth_bias"))
    onnx.save(loaded, str(tmp_path / "nan.onnx"))
    for spec in (CONVERT, QUANTIZE):
        context = context_for(spec, tmp_path)
        with pytest.raises(ParityFailed, match="The source gave an output that is not a finite number"):
            run_operation(spec, {}, inputs(model=onnx_item(tmp_path / "nan.onnx"), data=data), context)
        assert not list((tmp_path / spec.name / "outputs").rglob("*.*"))


def test_dynamic_height_and_width_are_converted_and_quantized(data: InputItem, tmp_path: Path) -> None:
    loaded = onnx.load(str(write_digits_model(tmp_path / "dynamic.onnx")))
    for dim, name in zip(loaded.graph.input[0].type.tensor_type.shape.dim[2:], ("h", "w"), strict=True):
        dim.dim_param = name
    onnx.save(loaded, str(tmp_path / "dynamic.onnx"))
    item = onnx_item(tmp_path / "dynamic.onnx")
    for spec, params in ((CONVERT, {"parity_samples": 32}), (QUANTIZE, {"samples": 10, "parity_samples": 100})):
        context = context_for(spec, tmp_path)
        run_operation(spec, params, inputs(model=item, data=data), context)
        assert measured(context)["agreement_top1"] >= 95


def test_weights_outside_the_artifact_are_never_read(data: InputItem, tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret").write_bytes(bytes(4 * 16 * 9))
    loaded = onnx.load(str(write_digits_model(tmp_path / "inside" / "model.onnx")))
    tensor = next(item for item in loaded.graph.initializer if item.name == "first_weight")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret"
    (tmp_path / "inside" / "model.onnx").write_bytes(loaded.SerializeToString())
    item = onnx_item(tmp_path / "inside" / "model.onnx")
    for spec in (CONVERT, QUANTIZE, EVALUATE):
        with pytest.raises(InvalidInput, match=r"lies in '\.\./secret', which is not one of the artifact's files"):
            run_operation(spec, {}, inputs(model=item, data=data), context_for(spec, tmp_path))


def test_quantization_makes_every_weighted_operation_int8_and_agrees_with_its_base(
    quantised: LocalContext, converted: LocalContext
) -> None:
    artifact = quantised.artifacts["model"][0]
    assert artifact.precision == "int8"
    assert (artifact.details["int8_operations"], artifact.details["operations"]) == (3, 3)
    assert artifact.details["versions"]["nncf"]
    assert measured(quantised)["agreement_top1"] >= 97
    assert len(file_bytes(quantised)[1]) < 0.5 * len(file_bytes(converted)[1])


def test_an_ir_can_be_quantized_as_well_as_onnx(converted: LocalContext, data: InputItem, tmp_path: Path) -> None:
    context = context_for(QUANTIZE, tmp_path)
    params = {"samples": 50, "preset": "mixed", "fast_bias_correction": False, "parity_split": "train"}
    run_operation(QUANTIZE, params, inputs(model=made_item(converted), data=data), context)
    assert context.artifacts["model"][0].details["int8_operations"] == 3
    assert {item.split for item in context.measurements} == {"train"}


def test_ignored_operations_stay_in_floating_point(model: InputItem, data: InputItem, tmp_path: Path) -> None:
    context = context_for(QUANTIZE, tmp_path)
    params = {"samples": 20, "ignored_types": ["MatMul"]}
    run_operation(QUANTIZE, params, inputs(model=model, data=data), context)
    assert context.artifacts["model"][0].details["int8_operations"] == 2


def test_an_ignored_name_that_does_not_exist_is_refused(model: InputItem, data: InputItem, tmp_path: Path) -> None:
    params = {"samples": 20, "ignored_names": ["nowhere"]}
    with pytest.raises(InvalidInput, match=r"NNCF refuses the ignored operations: .*nowhere"):
        run_operation(QUANTIZE, params, inputs(model=model, data=data), context_for(QUANTIZE, tmp_path))


def test_ignoring_everything_is_an_error_and_not_a_float_model_called_int8(
    model: InputItem, data: InputItem, tmp_path: Path
) -> None:
    params = {"samples": 20, "ignored_types": ["MatMul", "Convolution", "GroupConvolution"]}
    with pytest.raises(OperationError, match="quantized none of the 3 weighted operations"):
        run_operation(QUANTIZE, params, inputs(model=model, data=data), context_for(QUANTIZE, tmp_path))


def test_an_agreement_that_cannot_be_met_fails_with_the_figures(
    model: InputItem, data: InputItem, tmp_path: Path
) -> None:
    """Calibrated on almost black pictures, the ranges are too narrow for real digits."""
    images, _ = digits()
    dark = npz_digits(tmp_path / "dark", train_images=(images[:1297] // 64).astype(np.uint8))
    context = context_for(QUANTIZE, tmp_path)
    with pytest.raises(ParityFailed, match=r"same top class \d+\.\d+ % \(required 100 %\)") as caught:
        run_operation(QUANTIZE, {"samples": 20, "min_agreement": 100}, inputs(model=model, data=dark), context)
    assert caught.value.facts["agreement_top1"] < 100
    assert caught.value.facts["samples"] == TEST_SAMPLES
    assert context.artifacts == {}


def test_a_quantized_model_is_not_quantized_again(quantised: LocalContext, data: InputItem, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="demo/made@1 is quantized already"):
        run_operation(QUANTIZE, {}, inputs(model=made_item(quantised), data=data), context_for(QUANTIZE, tmp_path))


def test_a_cancelled_quantization_stops_while_it_calibrates(model: InputItem, data: InputItem, tmp_path: Path) -> None:
    events: list[EventBody] = []

    def fed() -> bool:
        return any(event.kind == "progress" and event.message == "calibration samples" for event in events)

    context = context_for(QUANTIZE, tmp_path, emit=events.append, cancelled=fed)
    with pytest.raises(Cancelled):
        run_operation(QUANTIZE, {"samples": 300}, inputs(model=model, data=data), context)
    assert not any(event.kind == "progress" and event.done >= 300 for event in events)


def test_evaluation_gives_the_figures_of_the_source_for_onnx_and_ir(
    model: InputItem, converted: LocalContext, data: InputItem, tmp_path: Path
) -> None:
    ir = made_item(converted)
    first = evaluated(model, data, tmp_path / "onnx")
    second = evaluated(ir, data, tmp_path / "ir", batch=33)
    assert measured(first)["top1"] == measured(second)["top1"] > 90
    assert measured(second)["parameters"] == measured(first)["parameters"] == PARAMETERS
    assert measured(second)["macs"] == measured(first)["macs"] == MACS
    assert measured(second)["size_bytes"] == sum(map(len, file_bytes(converted)))
    top1 = second.measurements[0]
    assert top1.value == pytest.approx(100 * top1.details["correct"] / TEST_SAMPLES)
    assert (top1.details["precision_hint"], top1.details["precision_used"]) == ("f32", "f32")
    assert (top1.dataset_port, top1.split, top1.runtime) == ("data", "test", "openvino")


def test_an_int8_model_stays_within_a_point_of_its_base_and_counts_the_same(
    model: InputItem, quantised: LocalContext, data: InputItem, tmp_path: Path
) -> None:
    base = measured(evaluated(model, data, tmp_path / "base"))
    int8 = measured(evaluated(made_item(quantised), data, tmp_path / "int8"))
    assert abs(int8["top1"] - base["top1"]) <= 1
    assert int8["parameters"] == PARAMETERS
    assert int8["macs"] == MACS


def test_a_fixed_batch_is_kept_and_its_last_one_filled_up(data: InputItem, model: InputItem, tmp_path: Path) -> None:
    fixed = onnx_item(write_digits_model(tmp_path / "fixed.onnx", batch=7))
    context = evaluated(fixed, data, tmp_path / "fixed")
    assert context.measurements[0].details["batch"] == 7
    assert measured(context)["top1"] == measured(evaluated(model, data, tmp_path / "free"))["top1"]
    with pytest.raises(InvalidInput, match="takes exactly 7 samples"):
        run_operation(BENCHMARK, {"batch": 1}, inputs(model=fixed), context_for(BENCHMARK, tmp_path))


def test_benchmark_records_hint_threads_and_versions(converted: LocalContext, tmp_path: Path) -> None:
    context = context_for(BENCHMARK, tmp_path, threads=2)
    params = {"batch": 2, "threads": 1, "seconds": 0.2, "warmup": 1}
    run_operation(BENCHMARK, params, inputs(model=made_item(converted)), context)
    values, details = measured(context), context.measurements[0].details
    assert 0 < values["latency_ms"] <= values["latency_ms_p95"]
    assert values["throughput"] == pytest.approx(2000 / details["mean_ms"], rel=1e-3)
    assert (details["threads"], details["precision_hint"], details["batch"]) == (1, "f32", 2)
    assert details["versions"]["openvino"] == ov.__version__
    assert details["noisy"] == bool(details["noise_reasons"])


def test_the_pinned_hint_reaches_the_compiled_model(
    converted: LocalContext, data: InputItem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    compile_model = ov.Core.compile_model

    def spy(core: ov.Core, model: ov.Model, device: str, config: dict[str, object]) -> object:
        seen.append(config["INFERENCE_PRECISION_HINT"])
        return compile_model(core, model, device, config)

    monkeypatch.setattr(ov.Core, "compile_model", spy)
    evaluated(made_item(converted), data, tmp_path / "a", limit=10)
    evaluated(made_item(converted), data, tmp_path / "b", limit=10, precision_hint="bf16")
    assert seen == ["f32", "bf16"]


def test_another_format_is_refused_by_name(model: InputItem, data: InputItem, tmp_path: Path) -> None:
    wrong = onnx_item(model.main_file, format="safetensors")
    for spec in (CONVERT, QUANTIZE, EVALUATE):
        with pytest.raises(InvalidInput, match="demo/digits@1 is safetensors, not onnx or openvino-ir"):
            run_operation(spec, {}, inputs(model=wrong, data=data), context_for(spec, tmp_path))


@pytest.mark.parametrize("spec", [CONVERT, QUANTIZE, EVALUATE])
def test_a_damaged_model_is_refused(spec: OperationSpec, data: InputItem, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"\x80\x04not a model")
    item = onnx_item(tmp_path / "broken.onnx")
    with pytest.raises(InvalidInput, match=r"OpenVINO .* cannot read 'broken.onnx' of demo/digits@1"):
        run_operation(spec, {}, inputs(model=item, data=data), context_for(spec, tmp_path))


def test_an_ir_without_its_weights_is_refused(converted: LocalContext, data: InputItem, tmp_path: Path) -> None:
    item = made_item(converted)
    assert item.artifact
    alone = item.model_copy(update={"artifact": item.artifact.model_copy(update={"files": ("model.xml",)})})
    with pytest.raises(InvalidInput, match=r"one .xml and one .bin are needed"):
        evaluated(alone, data, tmp_path)


def test_an_ir_whose_weights_are_cut_is_refused(converted: LocalContext, data: InputItem, tmp_path: Path) -> None:
    item = made_item(converted)
    for path in ("model.xml", "model.bin"):
        content = (item.folder / path).read_bytes()
        (tmp_path / path).write_bytes(content if path.endswith("xml") else content[:1000])
    with pytest.raises(InvalidInput, match=r"cannot read 'model.xml' of demo/made@1"):
        evaluated(item.model_copy(update={"folder": tmp_path}), data, tmp_path)


def test_a_data_set_that_does_not_fit_is_refused_before_anything_is_converted(model: InputItem, tmp_path: Path) -> None:
    other = npz_digits(tmp_path / "data", classes=(*DIGITS, "ten"))
    for spec in (CONVERT, QUANTIZE, EVALUATE):
        context = context_for(spec, tmp_path)
        with pytest.raises(InvalidInput, match="has 10 outputs, but the data set has 11 classes"):
            run_operation(spec, {}, inputs(model=model, data=other), context)
        assert not list((tmp_path / spec.name / "outputs").rglob("*.*"))


def test_a_model_without_preprocessing_is_refused_with_what_to_do(
    model: InputItem, data: InputItem, tmp_path: Path
) -> None:
    bare = onnx_item(model.main_file, preprocessing=None)
    for spec in (CONVERT, QUANTIZE, EVALUATE):
        with pytest.raises(InvalidInput, match="Push the version again with `preprocessing`"):
            run_operation(spec, {}, inputs(model=bare, data=data), context_for(spec, tmp_path))


def test_an_unknown_split_is_refused_by_name(model: InputItem, data: InputItem, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean train"):
        run_operation(QUANTIZE, {"split": "trains"}, inputs(model=model, data=data), context_for(QUANTIZE, tmp_path))


def test_a_data_set_without_a_test_split_is_checked_on_its_calibration_split(
    model: InputItem, data: InputItem, tmp_path: Path
) -> None:
    assert data.dataset
    splits = {"train": data.dataset.splits["train"]}
    only = data.model_copy(update={"dataset": data.dataset.model_copy(update={"splits": splits})})
    context = context_for(QUANTIZE, tmp_path)
    run_operation(QUANTIZE, {"samples": 20}, inputs(model=model, data=only), context)
    assert {item.split for item in context.measurements} == {"train"}


@pytest.mark.parametrize(
    ("spec", "params"),
    [
        (CONVERT, {"precision": "int8"}),
        (CONVERT, {"max_abs_diff": -1}),
        (QUANTIZE, {"samples": 0}),
        (QUANTIZE, {"preset": "fast"}),
        (QUANTIZE, {"min_agreement": 101}),
        (EVALUATE, {"precision_hint": "fp32"}),
        (BENCHMARK, {"seconds": float("inf")}),
    ],
)
def test_wrong_parameters_name_the_field(
    spec: OperationSpec, params: dict, model: InputItem, data: InputItem, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=next(iter(params))):
        run_operation(spec, params, inputs(model=model, data=data), context_for(spec, tmp_path))


def test_the_float_model_given_to_nncf_has_its_depthwise_weights_folded(model: InputItem) -> None:
    """``read_model`` alone would leave a Reshape before the depthwise weight, which keeps it out of INT8."""
    folded = quantization._float_model(model)
    (depthwise,) = [item for item in folded.get_ordered_ops() if item.get_type_name() == "GroupConvolution"]
    assert depthwise.input_value(1).get_node().get_type_name() == "Constant"
