"""``torch.export_onnx`` and ``torch.evaluate`` on real digits."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from tests.plugins.zoo_torch.samples import PREPROCESSING, fresh_model, npz_digits, perform
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, OperationError, ParityFailed
from zoo_torch.conversion import export_onnx
from zoo_torch.networks.weights import load_weights
from zoo_vision.datasets import open_split


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return npz_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return fresh_model(tmp_path_factory.mktemp("base") / "model", name="zoo:resnet_small", seed=3)


def test_an_exported_file_computes_the_same_for_any_batch(tmp_path: Path, data: InputItem, model: InputItem) -> None:
    outcome = perform("torch.export_onnx", tmp_path, {"model": model, "data": data}, opset=20)
    session = onnxruntime.InferenceSession(outcome.model, providers=["CPUExecutionProvider"])
    network = load_weights(model).build().eval()
    for batch in (1, 5):
        images = np.random.default_rng(batch).standard_normal((batch, 1, 8, 8), dtype=np.float32)
        found = session.run(["logits"], {"input": images})[0]
        np.testing.assert_allclose(found, network(torch.from_numpy(images)).detach().numpy(), atol=1e-4)
    assert outcome.measured("agreement_top1") == 100
    assert outcome.measured("max_abs_diff") < 1e-3
    artifact = outcome.context.artifacts["model"][0]
    assert (artifact.format, artifact.precision, artifact.runtime) == ("onnx", "fp32", "onnxruntime")
    assert artifact.preprocessing == PREPROCESSING
    assert artifact.details["opset"] == 20
    proto = onnx.load(outcome.model)
    assert proto.opset_import[0].version == 20
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param


def test_an_exported_file_names_no_folder_of_its_maker(tmp_path: Path, model: InputItem) -> None:
    outcome = perform("torch.export_onnx", tmp_path, {"model": model})
    content = outcome.model.read_bytes()
    assert b"site-packages" not in content
    assert b".py" not in content


def test_a_file_that_computes_something_else_fails_the_job_with_the_figures(
    tmp_path: Path, data: InputItem, model: InputItem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export_damaged(network: nn.Module, *_: object) -> None:
        with torch.no_grad():
            network.classifier.bias[3] += 0.5  # type: ignore[index, operator, union-attr]

    original = export_onnx.export_network

    def export_another(network: nn.Module, *others: Any) -> Any:
        damaged = copy.deepcopy(network)
        export_damaged(damaged)
        return original(damaged, *others)

    monkeypatch.setattr(export_onnx, "export_network", export_another)
    with pytest.raises(ParityFailed) as caught:
        perform("torch.export_onnx", tmp_path, {"model": model, "data": data})
    assert caught.value.facts["max_abs_diff"] == pytest.approx(0.5, abs=0.01)
    assert caught.value.facts["worst_layer"]["name"] in {"classifier", "(output)"}


def test_a_network_that_cannot_be_exported_is_said(
    tmp_path: Path, model: InputItem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def branch_on_values(self: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return self.features(x).mean((2, 3))[:, :10] if x.sum() > 0 else x  # type: ignore[operator]

    monkeypatch.setattr("zoo_torch.networks.small.SmallNetwork.forward", branch_on_values)
    with pytest.raises(OperationError, match="cannot export this network"):
        perform("torch.export_onnx", tmp_path, {"model": model})


def test_a_model_of_unknown_input_size_needs_data(tmp_path: Path, model: InputItem) -> None:
    assert model.artifact is not None
    bare = model.model_copy(update={"artifact": model.artifact.model_copy(update={"preprocessing": None})})
    with pytest.raises(InvalidInput, match="input `data`"):
        perform("torch.export_onnx", tmp_path, {"model": bare})


@pytest.mark.parametrize("opset", [17, 99])
def test_an_opset_out_of_range_is_refused(tmp_path: Path, model: InputItem, opset: int) -> None:
    with pytest.raises(InvalidInput, match="opset"):
        perform("torch.export_onnx", tmp_path, {"model": model}, opset=opset)


def test_an_evaluation_counts_what_it_says(tmp_path: Path, data: InputItem, model: InputItem) -> None:
    outcome = perform("torch.evaluate", tmp_path, {"model": model, "data": data}, limit_samples=150, batch_size=40)
    split = open_split(data, "test")
    images, labels = next(split.batches(PREPROCESSING, 150, limit=150))
    network = load_weights(model).build().eval()
    with torch.no_grad():
        logits = network(torch.from_numpy(images))
    truth = torch.from_numpy(labels)
    assert outcome.measured("top1") == pytest.approx(100 * float((logits.argmax(1) == truth).float().mean()))
    assert outcome.measured("loss") == pytest.approx(float(nn.functional.cross_entropy(logits, truth)), rel=1e-4)
    top1 = next(item for item in outcome.context.measurements if item.name == "top1")
    assert (top1.details["samples"], top1.details["threads"]) == (150, 1)
    assert outcome.measured("size_bytes") == model.main_file.stat().st_size
    assert outcome.measured("parameters") == 173_842
    assert outcome.measured("macs") > 0


def test_a_model_for_other_classes_is_refused(tmp_path: Path, data: InputItem) -> None:
    with pytest.raises(InvalidInput, match="7 outputs"):
        perform("torch.evaluate", tmp_path / "out", {"model": fresh_model(tmp_path / "m", classes=7), "data": data})


def test_a_model_for_larger_pictures_is_refused(tmp_path: Path, data: InputItem) -> None:
    large = Preprocessing(channels=1, crop=(28, 28))
    with pytest.raises(InvalidInput, match="28 x 28"):
        perform(
            "torch.evaluate",
            tmp_path / "out",
            {"model": fresh_model(tmp_path / "m", preprocessing=large), "data": data},
        )


def test_channels_last_inputs_are_refused(tmp_path: Path, data: InputItem) -> None:
    last = PREPROCESSING.model_copy(update={"layout": "NHWC"})
    with pytest.raises(InvalidInput, match="NCHW"):
        perform(
            "torch.evaluate", tmp_path / "out", {"model": fresh_model(tmp_path / "m", preprocessing=last), "data": data}
        )


def test_weights_that_give_no_numbers_are_refused(tmp_path: Path, data: InputItem) -> None:
    from safetensors.torch import load_file, save_file

    from zoo_torch.networks.weights import METADATA_KEY

    item = fresh_model(tmp_path / "m")
    weights = load_weights(item)
    state = load_file(item.main_file)
    state["classifier.bias"][0] = float("nan")
    save_file(state, item.main_file, metadata={METADATA_KEY: weights.architecture.model_dump_json()})
    with pytest.raises(OperationError, match="not a finite number"):
        perform("torch.evaluate", tmp_path / "out", {"model": item, "data": data})
