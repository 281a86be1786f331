"""``torch.export_torchscript`` and ``torch.export_program``, and the layer that the parity gate names."""

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.plugins.zoo_torch.samples import PREPROCESSING, fresh_model, perform, pickle_item
from zoo_inspection.inspection import inspect
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, OperationError, ParityFailed
from zoo_torch.conversion import export_onnx, export_program
from zoo_torch.networks.units import ResidualUnit
from zoo_torch.networks.weights import load_weights

EXPORTS = [("torch.export_torchscript", "torchscript"), ("torch.export_program", "torch-export")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return fresh_model(tmp_path_factory.mktemp("base") / "model", name="zoo:resnet_small", seed=3)


def loaded(path: Path) -> Any:
    if path.suffix == ".pt2":
        return torch.export.load(path).module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.load(path)


@pytest.mark.parametrize(("operation", "format_name"), EXPORTS)
def test_an_exported_program_computes_the_same_for_any_batch(
    tmp_path: Path, model: InputItem, operation: str, format_name: str
) -> None:
    outcome = perform(operation, tmp_path, {"model": model}, parity_samples=8)
    program, network = loaded(outcome.model), load_weights(model).build().eval()
    for batch in (1, 5):
        images = torch.from_numpy(np.random.default_rng(batch).standard_normal((batch, 1, 8, 8), dtype=np.float32))
        torch.testing.assert_close(program(images), network(images), atol=1e-5, rtol=1e-4)
    artifact = outcome.context.artifacts["model"][0]
    assert (artifact.format, artifact.precision, artifact.runtime) == (format_name, "fp32", "torch")
    assert artifact.preprocessing == PREPROCESSING
    assert artifact.details["architecture"]["name"] == "zoo:resnet_small"
    assert artifact.details["parity"]["inputs"] == "random"
    assert outcome.measured("agreement_top1") == 100
    found = inspect(outcome.model, name=outcome.model.name)
    assert (found.format, found.severity) == (format_name, "clean" if format_name == "torch-export" else "suspicious")
    # It names no folder of its maker.
    content = outcome.model.read_bytes()
    assert b"site-packages" not in content
    assert str(Path(__file__).parents[4]).encode() not in content


def depends_on_the_batch(self: ResidualUnit, x: torch.Tensor) -> torch.Tensor:
    """A decision that tracing bakes into a program."""
    found: torch.Tensor = self.shortcut(x) * (2 if x.shape[0] == 2 else 1)
    return found


def test_a_decision_that_is_baked_into_a_trace_is_found_with_its_layer(
    tmp_path: Path, model: InputItem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ResidualUnit, "forward", depends_on_the_batch)
    with pytest.raises(ParityFailed, match=r"begins at 'features\.1' \(ResidualUnit") as caught:
        perform("torch.export_torchscript", tmp_path, {"model": model}, parity_samples=8)
    assert caught.value.facts["worst_layer"]["error"] == pytest.approx(1)


def test_code_that_torch_export_cannot_follow_is_said(
    tmp_path: Path, model: InputItem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ResidualUnit, "forward", depends_on_the_batch)
    with pytest.raises(OperationError, match="cannot export this network"):
        perform("torch.export_program", tmp_path, {"model": model}, parity_samples=8)


def damaged(network: nn.Module) -> nn.Module:
    """A copy whose second residual unit computes something else."""
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.get_parameter("features.2.shortcut.0.weight").mul_(1.5)
    return other


@pytest.mark.parametrize(
    ("module", "function", "operation"),
    [(export_program, "write_program", "torch.export_program"), (export_onnx, "export_network", "torch.export_onnx")],
)
def test_the_layer_where_a_file_departs_from_its_source_is_named(
    tmp_path: Path, model: InputItem, monkeypatch: pytest.MonkeyPatch, module: Any, function: str, operation: str
) -> None:
    original = getattr(module, function)
    monkeypatch.setattr(module, function, lambda network, *others: original(damaged(network), *others))
    with pytest.raises(ParityFailed) as caught:
        perform(operation, tmp_path, {"model": model}, parity_samples=8)
    assert caught.value.facts["worst_layer"]["name"].startswith("features.2")
    assert caught.value.facts["worst_layer"]["error_before"] < 1e-5


@pytest.mark.parametrize(("operation", "format_name"), EXPORTS)
def test_weights_in_a_pickle_need_their_architecture(tmp_path: Path, operation: str, format_name: str) -> None:
    item = pickle_item(tmp_path / "model", {"classifier.weight": torch.zeros(10, 3)})
    with pytest.raises(InvalidInput, match="does not name its architecture"):
        perform(operation, tmp_path / "made", {"model": item})
    with pytest.raises(InvalidInput, match="do not fit zoo:resnet_small"):
        perform(operation, tmp_path / "other", {"model": item}, architecture="zoo:resnet_small")
