"""Our small networks and their cost."""

import pytest
import torch
from torch import nn

from tests.plugins.zoo_torch.samples import build
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_torch.measuring.scoring import count_macs, count_parameters
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.small import SIZED_NETWORKS, SMALL_NETWORKS

SIZES = {
    "conv_tiny": 8_254,
    "conv_small": 24_058,
    "conv_medium": 53_362,
    "resnet_small": 173_842,
    "resnet_medium": 308_074,
    "resnet_tiny_18": 176_258,
    "resnet_tiny_34": 335_010,
    "resnet_tiny_50": 213_028,
    "resnet_tiny_101": 384_388,
    "mobilenet_v1_small": 249_994,
    "mobilenet_v2_small": 128_330,
    "vit_tiny": 116_938,
    "vit_small": 305_034,
}


@pytest.mark.parametrize("name", SMALL_NETWORKS)
@pytest.mark.parametrize("size", [8, 28, 33])
def test_a_small_network_takes_any_small_image(name: str, size: int) -> None:
    assert build(f"zoo:{name}", channels=3).eval()(torch.zeros(2, 3, size, size)).shape == (2, 10)


@pytest.mark.parametrize("name", [*SMALL_NETWORKS, *SIZED_NETWORKS])
def test_the_number_of_parameters_is_as_documented(name: str) -> None:
    assert count_parameters(build(f"zoo:{name}")) == SIZES[name]


def test_multiply_accumulates_are_those_counted_by_hand() -> None:
    convolutions = 14 * 14 * 9 * 1 * 12 + 7 * 7 * 9 * 12 * 24 + 7 * 7 * 9 * 24 * 24
    preprocessing = Preprocessing(channels=1, crop=(28, 28))
    macs = count_macs(build("zoo:conv_tiny"), preprocessing, torch.device("cpu"))
    assert macs == convolutions + 24 * 10


def test_attention_is_counted_with_the_rest() -> None:
    tokens, width, depth = 7 * 7 + 1, 48, 4
    linear = tokens * width * width * 12
    attention = 2 * tokens * tokens * width
    patches = 49 * 16 * width
    macs = count_macs(build("zoo:vit_tiny"), Preprocessing(channels=1, crop=(28, 28)), torch.device("cpu"))
    assert macs == depth * (linear + attention) + patches + width * 10


@pytest.mark.parametrize("name", SIZED_NETWORKS)
@pytest.mark.parametrize(("size", "side"), [(8, 4), (28, 7), (32, 8)])
def test_a_small_transformer_has_a_square_grid_of_tokens_and_shows_them(name: str, size: int, side: int) -> None:
    network = Architecture(name=f"zoo:{name}", num_classes=10, in_chans=1, options={"img_size": size}).build().eval()
    inputs = torch.zeros(2, 1, size, size)
    assert network(inputs).shape == (2, 10)
    final, features = network.forward_intermediates(inputs, indices=[0, 1])  # type: ignore[operator]
    assert [tuple(one.shape[2:]) for one in features] == [(side, side)] * 2
    assert final.shape[1] == side * side + 1


def test_the_residual_networks_have_the_depths_of_their_names() -> None:
    for name, depth in (("18", 18), ("34", 34), ("50", 50), ("101", 101)):
        network = build(f"zoo:resnet_tiny_{name}")
        layers = [key for key, module in network.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
        assert len([key for key in layers if "shortcut" not in key]) == depth


@pytest.mark.parametrize(
    ("option", "value"), [("img_size", 30), ("img_size", 4), ("img_size", "big"), ("drop_rate", 0.1)]
)
def test_a_transformer_of_an_impossible_size_is_refused(option: str, value: object) -> None:
    with pytest.raises(InvalidInput):
        Architecture.of("zoo:vit_tiny", num_classes=10, in_chans=1, options={option: value}).build()  # type: ignore[dict-item]


def test_an_unknown_small_network_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="zoo:vit_tiny"):
        build("zoo:vit_tinny")
