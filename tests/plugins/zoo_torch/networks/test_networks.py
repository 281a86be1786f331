"""Our small networks and their cost."""

import pytest
import torch

from tests.plugins.zoo_torch.samples import build
from zoo_sdk.artifacts import Preprocessing
from zoo_torch.measuring.scoring import count_macs, count_parameters
from zoo_torch.networks.small import SMALL_NETWORKS

SIZES = {
    "conv_tiny": 8_254,
    "conv_small": 24_058,
    "conv_medium": 53_362,
    "resnet_small": 173_842,
    "resnet_medium": 308_074,
}


@pytest.mark.parametrize("name", SMALL_NETWORKS)
@pytest.mark.parametrize("size", [8, 28, 33])
def test_a_small_network_takes_any_small_image(name: str, size: int) -> None:
    assert build(f"zoo:{name}", channels=3).eval()(torch.zeros(2, 3, size, size)).shape == (2, 10)


@pytest.mark.parametrize("name", SMALL_NETWORKS)
def test_the_number_of_parameters_is_as_documented(name: str) -> None:
    assert count_parameters(build(f"zoo:{name}")) == SIZES[name]


def test_multiply_accumulates_are_those_counted_by_hand() -> None:
    convolutions = 14 * 14 * 9 * 1 * 12 + 7 * 7 * 9 * 12 * 24 + 7 * 7 * 9 * 24 * 24
    preprocessing = Preprocessing(channels=1, crop=(28, 28))
    macs = count_macs(build("zoo:conv_tiny"), preprocessing, torch.device("cpu"))
    assert macs == convolutions + 24 * 10
