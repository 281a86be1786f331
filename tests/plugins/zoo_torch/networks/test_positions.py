"""Transformers at another image size."""

from pathlib import Path

import pytest
import torch

from tests.plugins.zoo_torch.samples import npz_digits, perform
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.names import OptionValue
from zoo_torch.networks.positions import at_image_size
from zoo_torch.networks.weights import Weights, load_weights


def weights_of(name: str, **options: OptionValue) -> Weights:
    torch.manual_seed(0)
    architecture = Architecture(name=name, num_classes=10, in_chans=1, options=options)
    return Weights(architecture, architecture.build().state_dict(), "a/b@1")


def test_the_positions_are_those_of_a_finer_grid() -> None:
    weights = weights_of("zoo:vit_tiny", img_size=16)
    # A ramp from left to right stays one, and the class token keeps its own.
    ramp = torch.linspace(0, 1, 4).expand(4, 4).reshape(1, 16, 1).expand(1, 16, 48)
    weights.state["pos_embed"] = torch.cat([torch.full((1, 1, 48), 7.0), ramp], dim=1)
    larger = at_image_size(weights, (32, 32))
    assert larger.architecture.options == {"img_size": 32}
    made = larger.state["pos_embed"]
    assert torch.equal(made[:, 0], torch.full((1, 48), 7.0))
    grid = made[0, 1:].reshape(8, 8, 48)
    torch.testing.assert_close(grid[0], grid[-1])
    assert bool((grid[:, 1:] > grid[:, :-1]).all())
    assert larger.build()(torch.zeros(1, 1, 32, 32)).shape == (1, 10)
    assert weights.state["pos_embed"].shape == (1, 17, 48)


@pytest.mark.parametrize("name", ["zoo:conv_tiny", "zoo:vit_tiny"])
def test_a_network_that_takes_the_size_already_is_left_as_it_is(name: str) -> None:
    weights = weights_of(name)
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    assert at_image_size(weights, (28, 28)) is weights
    assert torch.equal(torch.rand(2), expected)


def test_a_timm_transformer_is_resampled_too() -> None:
    larger = at_image_size(weights_of("timm:vit_tiny_patch16_224", img_size=32), (64, 64))
    assert larger.build()(torch.zeros(1, 1, 64, 64)).shape == (1, 10)


def test_a_transformer_is_finetuned_on_larger_pictures(tmp_path: Path) -> None:
    data = npz_digits(tmp_path / "data")
    short = {"epochs": 1, "batch_size": 64, "limit_samples": 128, "limit_test_samples": 50}
    first = perform("torch.train", tmp_path / "first", {"data": data}, architecture="zoo:vit_tiny", **short)
    ports = {"data": data, "init": first.item}
    second = perform("torch.train", tmp_path / "second", ports, image_size=12, stage="finetuning", **short)
    loaded = load_weights(second.item)
    assert loaded.architecture.options == {"img_size": 12}
    assert loaded.state["pos_embed"].shape[1] == 6 * 6 + 1
    evaluated = perform("torch.evaluate", tmp_path / "third", {"model": second.item, "data": data}, limit_samples=50)
    assert evaluated.measured("top1") == second.measured("top1")
