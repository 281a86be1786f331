"""Accuracy control: layers go back into floating point until the metric is kept; and POT's files lead there too."""

import json
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.zoo_vision.samples import (
    CHANNELS,
    context_for,
    inputs,
    measured,
    npz_digits,
    onnx_item,
    write_digits_model,
)
from zoo_openvino.accuracy import drop_of
from zoo_openvino.quantize_params import AccuracyControl
from zoo_openvino.specs import QUANTIZE
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, ParityFailed
from zoo_sdk.execution import LocalContext, run_operation
from zoo_sdk.messages import EventBody

CONTROL = {"max_drop": 2.0, "samples": 150, "ranking_samples": 50}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return npz_digits(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def delicate(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    """Computes what the digits model does, but one channel before the head is 1000 times larger than the others.

    One scale for all channels leaves nothing of the others, so the head cannot stand INT8.
    """
    path = write_digits_model(tmp_path_factory.mktemp("model") / "digits.onnx")
    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor).copy()
        if tensor.name in {"depth_weight", "depth_bias"}:
            values[0] *= 1000
        elif tensor.name == "head_weight":
            values.reshape(CHANNELS, 16, 10)[0] /= 1000
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, str(path))
    return onnx_item(path)


def quantise(item: InputItem, data: InputItem, folder: Path, **params: Any) -> LocalContext:
    context = context_for(QUANTIZE, folder)
    chosen = {"samples": 20, "parity_samples": 100, "min_agreement": 0, **params}
    run_operation(QUANTIZE, chosen, inputs(model=item, data=data), context)
    return context


@pytest.fixture(scope="module")
def controlled(delicate: InputItem, data: InputItem, tmp_path_factory: pytest.TempPathFactory) -> LocalContext:
    return quantise(delicate, data, tmp_path_factory.mktemp("controlled"), accuracy_control=CONTROL)


def test_only_the_layers_that_cost_accuracy_go_back_into_floating_point(controlled: LocalContext) -> None:
    details = controlled.artifacts["model"][0].details
    report = details["accuracy_control"]
    assert report["reverted"] == ["head/WithoutBiases"]
    assert (details["int8_operations"], details["operations"]) == (2, 3)
    assert report["before"] - report["after"] == pytest.approx(report["drop"])
    assert report["drop"] <= 2.0
    assert (report["split"], report["samples"]) == ("test", 150)
    assert measured(controlled)["top1"] == report["after"] > 90


def test_without_control_the_same_network_loses_most_of_its_accuracy(
    delicate: InputItem, data: InputItem, tmp_path: Path
) -> None:
    """The other half of the claim above; the gate says where the loss begins."""
    with pytest.raises(ParityFailed, match=r"The difference begins at") as caught:
        quantise(delicate, data, tmp_path, min_agreement=95)
    assert caught.value.facts["agreement_top1"] < 60
    assert caught.value.facts["worst_layer"]["name"] in {"e", "features", "scores"}


def test_a_drop_that_could_not_be_kept_fails_with_the_report_and_declares_nothing(
    delicate: InputItem, data: InputItem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = nncf.quantize_with_accuracy_control

    def gives_up(*arguments: Any, **options: Any) -> Any:
        return control(*arguments, **{**options, "max_drop": 100})

    monkeypatch.setattr(nncf, "quantize_with_accuracy_control", gives_up)
    context = context_for(QUANTIZE, tmp_path)
    params = {"samples": 20, "min_agreement": 0, "accuracy_control": CONTROL}
    told = r"could not keep top1: \d+\.\d+ % became \d+\.\d+ % \(\d+\.\d+ points lost, 2 allowed\), with 0 operations"
    with pytest.raises(ParityFailed, match=told) as caught:
        run_operation(QUANTIZE, params, inputs(model=delicate, data=data), context)
    assert caught.value.facts["accuracy_control"]["reverted"] == []
    assert context.artifacts == {}
    assert context.measurements == []


def test_a_pot_file_as_an_input_controls_accuracy_and_is_reported_key_by_key(
    delicate: InputItem, data: InputItem, tmp_path: Path
) -> None:
    params = {"preset": "mixed", "stat_subset_size": 20, "maximal_drop": 0.02, "ranking_subset_size": 50}
    algorithm = {"name": "AccuracyAwareQuantization", "params": params}
    (tmp_path / "pot.json").write_text(json.dumps({"compression": {"algorithms": [algorithm]}}) + " // POT\n")
    file = InputItem(
        reference="demo/pot@1", folder=tmp_path, artifact=ArtifactDescription(format="json", files=("pot.json",))
    )
    events: list[EventBody] = []
    context = context_for(QUANTIZE, tmp_path, emit=events.append)
    ports = inputs(model=delicate, data=data, pot_config=file)
    run_operation(QUANTIZE, {"parity_samples": 100, "min_agreement": 0}, ports, context)
    details = context.artifacts["model"][0].details
    assert details["accuracy_control"]["max_drop"] == 2.0
    assert "head/WithoutBiases" in details["accuracy_control"]["reverted"]
    lines = {line["key"]: line["outcome"] for line in details["pot"]}
    assert lines["compression.algorithms[0].params.maximal_drop"] == "translated"
    told = [event.message for event in events if event.kind == "log"]
    assert any(
        "POT: compression.algorithms[0].params.preset = \"mixed\": translated: preset = 'mixed'" in x for x in told
    )
    assert any(line.startswith("top1 ") and "head" in line for line in told)


def test_a_configuration_given_twice_is_refused(delicate: InputItem, data: InputItem, tmp_path: Path) -> None:
    (tmp_path / "pot.json").write_bytes(b"\xff\xfe")
    file = InputItem(
        reference="demo/pot@1", folder=tmp_path, artifact=ArtifactDescription(format="json", files=("pot.json",))
    )
    ports = inputs(model=delicate, data=data, pot_config=file)
    with pytest.raises(InvalidInput, match="as the parameter pot_config and as the input"):
        run_operation(QUANTIZE, {"pot_config": "{}"}, ports, context_for(QUANTIZE, tmp_path))
    with pytest.raises(InvalidInput, match=r"'pot\.json' is not text in UTF-8"):
        run_operation(QUANTIZE, {}, ports, context_for(QUANTIZE, tmp_path))


def test_wrong_control_is_refused_before_anything_is_quantized(
    delicate: InputItem, data: InputItem, tmp_path: Path
) -> None:
    assert data.dataset
    for split, control, told in (
        ("nowhere", {"split": "nowhere"}, "Unknown split of data/digits@1 'nowhere'"),
        ("bare", {"split": "bare"}, "does not name its 'labels'"),
        ("test", {"max_drop": 101}, "max_drop"),
        ("test", {"metric": "mAP"}, "metric"),
    ):
        splits = {**data.dataset.splits, "bare": {"archive": "digits.npz", "images": "test_images"}}
        item = data.model_copy(update={"dataset": data.dataset.model_copy(update={"splits": splits})})
        with pytest.raises(InvalidInput, match=told):
            quantise(delicate, item, tmp_path / split, accuracy_control=control)


def test_labels_that_the_float_model_never_gets_right_are_refused(
    delicate: InputItem, data: InputItem, tmp_path: Path
) -> None:
    wrong = npz_digits(tmp_path / "wrong", test_images=np.zeros((500, 8, 8), np.uint8), test_labels=np.full(500, 7))
    with pytest.raises(InvalidInput, match="top1 of the float model is 0 % on 'test', so there is nothing to keep"):
        quantise(delicate, wrong, tmp_path, accuracy_control=CONTROL)


def test_a_drop_is_in_points_or_in_percent_of_the_value() -> None:
    assert drop_of(AccuracyControl(), 80.0, 76.0) == 4
    assert drop_of(AccuracyControl(drop_type="relative"), 80.0, 76.0) == pytest.approx(5)
    assert drop_of(AccuracyControl(), 80.0, 81.0) == -1
