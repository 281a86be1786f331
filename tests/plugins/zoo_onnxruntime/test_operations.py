"""``onnxruntime.evaluate`` and ``onnxruntime.benchmark`` on a real model and real digits."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.zoo_vision.samples import (
    DIGITS,
    MACS,
    PARAMETERS,
    PREPROCESSING,
    TEST_SAMPLES,
    context_for,
    inputs,
    measured,
    npz_digits,
    onnx_item,
    write_digits_model,
)
from zoo_onnxruntime.specs import BENCHMARK, EVALUATE
from zoo_sdk.context import InputItem
from zoo_sdk.errors import Cancelled, InvalidInput
from zoo_sdk.execution import run_operation
from zoo_sdk.messages import EventBody


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return onnx_item(write_digits_model(tmp_path_factory.mktemp("model") / "digits.onnx"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return npz_digits(tmp_path_factory.mktemp("data"))


def test_evaluation_measures_accuracy_with_counts_size_parameters_and_macs(
    model: InputItem, data: InputItem, tmp_path: Path
) -> None:
    events: list[EventBody] = []
    context = context_for(EVALUATE, tmp_path, emit=events.append)
    run_operation(EVALUATE, {"batch": 128}, inputs(model=model, data=data), context)
    values = measured(context)
    top1 = next(item for item in context.measurements if item.name == "top1")
    assert values["top1"] > 90
    assert top1.value == pytest.approx(100 * top1.details["correct"] / TEST_SAMPLES)
    assert top1.details["samples"] == TEST_SAMPLES
    assert (top1.dataset_port, top1.split, top1.runtime, top1.device) == ("data", "test", "onnxruntime", "cpu")
    assert top1.details["versions"]["onnxruntime"]
    assert values["top5"] >= values["top1"]
    assert values["size_bytes"] == model.main_file.stat().st_size
    assert values["parameters"] == PARAMETERS
    assert values["macs"] == MACS
    assert any(event.kind == "progress" and event.done == TEST_SAMPLES for event in events)


def test_evaluation_gives_the_same_figures_for_every_batch_and_for_a_fixed_batch(
    model: InputItem, data: InputItem, tmp_path: Path
) -> None:
    fixed = onnx_item(write_digits_model(tmp_path / "fixed.onnx", batch=7))
    found = []
    for number, (item, batch) in enumerate(((model, 500), (model, 33), (fixed, 64))):
        context = context_for(EVALUATE, tmp_path / str(number))
        run_operation(EVALUATE, {"batch": batch}, inputs(model=item, data=data), context)
        found.append(measured(context))
    assert found[0]["top1"] == found[1]["top1"] == found[2]["top1"]
    assert found[0]["loss"] == pytest.approx(found[2]["loss"], rel=1e-5)


def test_a_limit_is_counted_in_the_details(model: InputItem, data: InputItem, tmp_path: Path) -> None:
    context = context_for(EVALUATE, tmp_path)
    run_operation(EVALUATE, {"limit": 50}, inputs(model=model, data=data), context)
    assert context.measurements[0].details["samples"] == 50


def test_benchmark_measures_latency_and_throughput_with_what_they_depend_on(model: InputItem, tmp_path: Path) -> None:
    context = context_for(BENCHMARK, tmp_path, threads=2)
    run_operation(BENCHMARK, {"batch": 4, "threads": 1, "seconds": 0.2, "warmup": 2}, inputs(model=model), context)
    values = measured(context)
    details = context.measurements[0].details
    assert 0 < values["latency_ms"] <= values["latency_ms_p95"]
    assert values["throughput"] == pytest.approx(4000 / details["mean_ms"], rel=1e-3)
    assert (details["batch"], details["threads"], details["warmup"]) == (4, 1, 2)
    assert details["noisy"] == bool(details["noise_reasons"])
    assert details["versions"]["onnxruntime"]
    assert details["repeats"] >= 15


def test_more_threads_than_the_worker_gives_are_refused(model: InputItem, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="threads = 4, but this worker gives an operation 2"):
        run_operation(BENCHMARK, {"threads": 4}, inputs(model=model), context_for(BENCHMARK, tmp_path, threads=2))


def test_a_benchmark_with_another_batch_than_the_models_fixed_one_is_refused(tmp_path: Path) -> None:
    item = onnx_item(write_digits_model(tmp_path / "fixed.onnx", batch=7))
    with pytest.raises(InvalidInput, match="batch = 2, but demo/digits@1 takes exactly 7 samples"):
        run_operation(BENCHMARK, {"batch": 2}, inputs(model=item), context_for(BENCHMARK, tmp_path))


def test_a_cancelled_job_stops_between_batches_and_between_runs(
    model: InputItem, data: InputItem, tmp_path: Path
) -> None:
    for spec, params in ((EVALUATE, {}), (BENCHMARK, {"seconds": 0.05})):
        context = context_for(spec, tmp_path, cancelled=lambda: True)
        with pytest.raises(Cancelled):
            run_operation(spec, params, inputs(model=model, data=data), context)


def test_another_format_is_refused_by_name(model: InputItem, data: InputItem, tmp_path: Path) -> None:
    wrong = onnx_item(model.main_file, format="safetensors")
    with pytest.raises(InvalidInput, match="demo/digits@1 is safetensors, not onnx"):
        run_operation(EVALUATE, {}, inputs(model=wrong, data=data), context_for(EVALUATE, tmp_path))


def test_a_file_that_is_no_onnx_model_is_refused(data: InputItem, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"\x80\x04not a model")
    with pytest.raises(InvalidInput, match=r"ONNX .* cannot open 'broken.onnx' of demo/digits@1"):
        run_operation(
            EVALUATE, {}, inputs(model=onnx_item(tmp_path / "broken.onnx"), data=data), context_for(EVALUATE, tmp_path)
        )


def test_a_model_without_preprocessing_is_refused_with_what_to_do(
    model: InputItem, data: InputItem, tmp_path: Path
) -> None:
    bare = onnx_item(model.main_file, preprocessing=None)
    with pytest.raises(InvalidInput, match="Push the version again with `preprocessing`"):
        run_operation(EVALUATE, {}, inputs(model=bare, data=data), context_for(EVALUATE, tmp_path))


def test_a_data_set_of_other_classes_is_refused_before_the_first_batch(model: InputItem, tmp_path: Path) -> None:
    other = npz_digits(tmp_path / "data", classes=(*DIGITS, "ten"))
    events: list[EventBody] = []
    context = context_for(EVALUATE, tmp_path, emit=events.append)
    with pytest.raises(InvalidInput, match="has 10 outputs, but the data set has 11 classes"):
        run_operation(EVALUATE, {}, inputs(model=model, data=other), context)
    assert not events


def test_colour_pictures_are_refused_by_a_grey_model(model: InputItem, tmp_path: Path) -> None:
    colour = npz_digits(tmp_path / "data", test_images=np.zeros((TEST_SAMPLES, 8, 8, 3), np.uint8))
    with pytest.raises(InvalidInput, match="colour pictures"):
        run_operation(EVALUATE, {}, inputs(model=model, data=colour), context_for(EVALUATE, tmp_path))


def test_a_preprocessing_of_another_size_than_the_models_input_is_refused(
    model: InputItem, data: InputItem, tmp_path: Path
) -> None:
    wrong = onnx_item(model.main_file, preprocessing=PREPROCESSING.model_copy(update={"crop": (6, 6)}))
    with pytest.raises(InvalidInput, match=r"its preprocessing makes \(\?, 1, 6, 6\)"):
        run_operation(EVALUATE, {}, inputs(model=wrong, data=data), context_for(EVALUATE, tmp_path))


def test_a_model_with_two_inputs_is_refused(data: InputItem, tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 8, 8]) for name in ("a", "b", "c")]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "sum", values[:2], values[2:])
    onnx.save(helper.make_model(graph, ir_version=10), str(tmp_path / "sum.onnx"))
    item = onnx_item(tmp_path / "sum.onnx")
    with pytest.raises(InvalidInput, match="has 2 inputs and 1 outputs"):
        run_operation(EVALUATE, {}, inputs(model=item, data=data), context_for(EVALUATE, tmp_path))


@pytest.mark.parametrize("params", [{"batch": 0}, {"limit": 0}, {"splitt": "test"}, {"batch": "many"}])
def test_wrong_parameters_name_the_field(model: InputItem, data: InputItem, tmp_path: Path, params: dict) -> None:
    with pytest.raises(InvalidInput, match=next(iter(params))):
        run_operation(EVALUATE, params, inputs(model=model, data=data), context_for(EVALUATE, tmp_path))
