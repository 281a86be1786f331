"""A tiny network in every runtime, by our operations and by hand; and which photographs count as right."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.photographs import LITE0, LITE2, Pretrained
from bench.runtimes import Form, Laboratory, measure
from tests.zoo_vision.samples import PREPROCESSING, npz_digits
from zoo_sdk.artifacts import ArtifactDescription, Preprocessing
from zoo_sdk.context import InputItem
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.weights import save_weights
from zoo_torch.training.results import signature_of


class Tiny(Pretrained):
    """A network for digits instead of photographs."""

    @property
    def preprocessing(self) -> Preprocessing:
        return PREPROCESSING


def item(folder: Path) -> InputItem:
    torch.manual_seed(0)
    folder.mkdir()
    architecture = Architecture.of("zoo:conv_tiny", num_classes=10, in_chans=1)
    save_weights(architecture.build().eval(), architecture, folder / "model.safetensors")
    artifact = ArtifactDescription(
        format="safetensors",
        files=("model.safetensors",),
        signature=signature_of(PREPROCESSING, 10),
        preprocessing=PREPROCESSING,
    )
    return InputItem(reference="bench/tiny@1", folder=folder, artifact=artifact)


def test_a_photograph_is_right_if_its_class_is_among_the_first_choices(tmp_path: Path) -> None:
    outputs = np.array([[0.1, 0.9, 0.0], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
    form = Form("float", "torch", InputItem(reference="a/b@1", folder=tmp_path), outputs)
    labels = np.array([1, 1, 0])
    assert form.right(labels) == 1
    assert form.right(labels, 2) == 2
    assert form.right(labels, 3) == 3


def test_the_networks_look_at_the_centre_seven_eighths() -> None:
    assert [(item.preprocessing.resize, item.preprocessing.crop) for item in (LITE0, LITE2)] == [
        (256, (224, 224)), (297, (260, 260)),
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the frameworks' own deprecations are not ours
def test_a_tiny_run_compares_every_form_and_our_operations_with_the_tools(tmp_path: Path) -> None:
    network = Tiny("tiny", "", "", "", "zoo:conv_tiny", 8)
    data = npz_digits(tmp_path / "data")
    laboratory = Laboratory(network, item(tmp_path / "float"), data, tmp_path / "made", 1, 20, variants=False)
    report = measure(laboratory, rounds=2, seconds=0.01, options={}).report()
    photographs, against, latency = report.tables
    rows = {row[0]: row for row in photographs.rows}
    assert len(rows) == 10
    floats = [row for name, row in rows.items() if name.startswith("float, ")]
    assert len({row[2] for row in floats}) == 1
    assert {row[1] for row in rows.values()} == {"torch", "ONNX Runtime", "OpenVINO"}
    assert [row[0] for row in against.rows] == ["INT8, openvino.quantize", "INT8, onnxruntime.quantize"]
    assert len(latency.rows) == 6
    assert sum("latency" in figure.name for figure in report.figures) == 4
