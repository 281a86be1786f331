"""TorchScript is evaluated and timed like weights; what is no classifier is refused in words."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.plugins.zoo_torch.samples import PREPROCESSING, fresh_model, npz_digits, perform
from zoo_sdk.artifacts import ArtifactDescription, Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput
from zoo_torch.networks.weights import load_weights


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return npz_digits(tmp_path_factory.mktemp("digits"))


def scripted(module: nn.Module, folder: Path, how: Preprocessing | None = PREPROCESSING) -> InputItem:
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(module.eval(), torch.zeros(2, 1, 8, 8)), folder / "net.jit")
    artifact = ArtifactDescription(format="torchscript", files=("net.jit",), preprocessing=how)
    return InputItem(reference="digits/script@1", folder=folder, artifact=artifact)


def test_torchscript_has_the_figures_of_the_weights_that_it_was_made_from(tmp_path: Path, data: InputItem) -> None:
    weights = fresh_model(tmp_path / "weights", seed=3)
    script = scripted(load_weights(weights).build(), tmp_path / "script")
    ports = {"model": script, "data": data, "reference": weights}
    found = perform("torch.evaluate", tmp_path / "out", ports)
    wanted = perform("torch.evaluate", tmp_path / "wanted", {"model": weights, "data": data})
    for name in ("top1", "f1_macro", "macs", "parameters"):
        assert found.measured(name) == wanted.measured(name)
    assert found.measured("loss") == pytest.approx(wanted.measured("loss"), rel=1e-5)
    assert found.measured("agreement_top1") == 100
    assert found.measured("size_bytes") == script.main_file.stat().st_size


def test_torchscript_is_timed_for_several_batches(tmp_path: Path) -> None:
    script = scripted(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), tmp_path / "script")
    outcome = perform("torch.benchmark", tmp_path / "run", {"model": script}, seconds=0.02, warmup=1, batches=[4])
    found = [item.details["batch"] for item in outcome.context.measurements if item.name == "latency_ms"]
    assert found == [4, 1]


class Pair(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x


@pytest.mark.parametrize(
    ("module", "fault"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 7)), "7 outputs"),
        (nn.Conv2d(1, 4, 3), "not .1, classes."),
        (Pair(), "tuple, not one tensor"),
    ],
)
def test_a_program_that_is_no_classifier_of_this_data_is_refused(
    module: nn.Module, fault: str, tmp_path: Path, data: InputItem
) -> None:
    script = scripted(module, tmp_path / "script")
    with pytest.raises(InvalidInput, match=fault):
        perform("torch.evaluate", tmp_path / "out", {"model": script, "data": data})


def test_a_program_for_other_inputs_is_refused(tmp_path: Path, data: InputItem) -> None:
    script = scripted(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), tmp_path / "script")
    assert script.artifact is not None
    larger = script.artifact.model_copy(update={"preprocessing": Preprocessing(channels=1, crop=(7, 7))})
    with pytest.raises(InvalidInput, match="does not take what its preprocessing makes"):
        perform(
            "torch.evaluate", tmp_path / "out", {"model": script.model_copy(update={"artifact": larger}), "data": data}
        )


def test_a_program_without_preprocessing_and_a_damaged_file_are_refused(tmp_path: Path, data: InputItem) -> None:
    bare = scripted(nn.Flatten(), tmp_path / "bare", how=None)
    with pytest.raises(InvalidInput, match="how a picture becomes its input"):
        perform("torch.evaluate", tmp_path / "out", {"model": bare, "data": data})
    damaged = scripted(nn.Flatten(), tmp_path / "damaged")
    damaged.main_file.write_bytes(damaged.main_file.read_bytes()[:200])
    with pytest.raises(InvalidInput, match="cannot be loaded as TorchScript"):
        perform("torch.evaluate", tmp_path / "out", {"model": damaged, "data": data})
