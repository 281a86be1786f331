"""``zoo convert`` on a whole Zoo: a stranger's checkpoint becomes OpenVINO IR, with a version for each step."""

from pathlib import Path
from typing import Any

import torch

from zoo_client.describing import collect_files
from zoo_client.publishing import Draft, publish
from zoo_sdk.artifacts import ArtifactDescription, Preprocessing
from zoo_torch.networks.architectures import Architecture

from .running_zoo import TEAM, RunningZoo

ARCHITECTURE = {"torch.import_weights": {"architecture": "zoo:conv_tiny"}}


def foreign_checkpoint(zoo: RunningZoo, folder: Path) -> str:
    """What somebody's training script left, published as it is."""
    torch.manual_seed(3)
    network = Architecture(name="zoo:conv_tiny", num_classes=10, in_chans=1).build()
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"epoch": 3, "arch": "tiny", "state_dict": state, "optimizer": {"state": {}}}, folder / "best.pth.tar")
    files = collect_files([folder / "best.pth.tar"])
    preprocessing = Preprocessing(channels=1, crop=(16, 16))
    artifact = ArtifactDescription(format="pickle", files=("best.pth.tar",), preprocessing=preprocessing)
    return publish(zoo.client, "models", f"{TEAM}/foreign", Draft(files=files, artifacts=(artifact,), seal=True))[
        "reference"
    ]


def measured(version: Any, name: str) -> float:
    return float(next(metric["value"] for metric in version["metrics"] if metric["name"] == name))


def test_a_strangers_checkpoint_becomes_openvino_ir_step_by_step(zoo: RunningZoo, digits: str, tmp_path: Path) -> None:
    source = foreign_checkpoint(zoo, tmp_path)
    unasked = zoo.client.conversions.plan(source, "openvino-ir")
    assert unasked["found"] is False
    assert ["needs the option torch.import_weights.architecture"] in [
        edge["reasons"] for edge in unasked["unavailable"]
    ]
    plan = zoo.client.conversions.plan(source, "openvino-ir", options=ARCHITECTURE, data=digits)
    path = [step["operation"] for step in plan["steps"]]
    assert path == ["torch.import_weights", "torch.export_onnx", "openvino.convert"]
    started = zoo.client.conversions.start(source, "openvino-ir", options=ARCHITECTURE, data=digits)
    pipeline = zoo.client.pipelines.wait(started["id"])
    assert pipeline["state"] == "succeeded", pipeline
    parent = source
    for number, (step, form) in enumerate(
        zip(pipeline["steps"], ("safetensors", "onnx", "openvino-ir"), strict=True), 2
    ):
        assert step["result"] == f"{TEAM}/foreign@{number}"
        version = zoo.client.models.versions.show(step["result"])
        assert version["artifacts"][0]["format"] == form
        assert [edge["reference"] for edge in version["parents"] if edge["role"] == "converted_from"] == [parent]
        assert measured(version, "agreement_top1") == 100
        parent = step["result"]
    assert [step["operation"] for step in version["strategy"]][-3:] == path
