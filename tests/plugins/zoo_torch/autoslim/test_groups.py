"""Groups of coupled channels."""

import pytest
import torch
from torch import nn

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.errors import InvalidInput
from zoo_torch.autoslim.groups import WidthGroup, find_groups, layers_at
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.narrowing import narrow


def network_and_groups(name: str, *, channels: int = 1, size: int = 8) -> tuple[nn.Module, tuple[WidthGroup, ...]]:
    network = Architecture(name=name, num_classes=10, in_chans=channels).build()
    return network, find_groups(network, Preprocessing(channels=channels, crop=(size, size)))


def test_a_chain_has_one_group_for_each_convolution() -> None:
    _, groups = network_and_groups("zoo:conv_tiny")
    assert [(group.name, group.channels) for group in groups] == [
        ("features.0.0", 12),
        ("features.1.0", 24),
        ("features.2.0", 24),
    ]
    assert groups[0] == WidthGroup("features.0.0", 12, ("features.0.0", "features.0.1"), ("features.1.0",))
    assert groups[2].inputs == ("classifier",)


def test_branches_that_are_added_up_share_one_group() -> None:
    _, groups = network_and_groups("zoo:resnet_small")
    stem = groups[0]
    assert set(stem.outputs) == {"features.0.0", "features.0.1", "features.1.second.0", "features.1.second.1"}
    assert set(stem.inputs) == {"features.1.first.0", "features.2.first.0", "features.2.shortcut.0"}
    assert len(groups) == 6


def test_a_depthwise_convolution_has_the_width_of_its_input() -> None:
    network, groups = network_and_groups("timm:mobilenetv2_050", channels=3, size=32)
    (expanded,) = (group for group in groups if "blocks.1.0.conv_dw" in group.outputs)
    assert {"blocks.1.0.conv_pw", "blocks.1.0.conv_dw", "blocks.1.0.bn1", "blocks.1.0.bn2"} == set(expanded.outputs)
    layers = layers_at(network, groups, {expanded.name: 8})
    assert layers["blocks.1.0.conv_dw"] == (8, 8)
    assert layers["blocks.1.0.conv_pwl"] == (16, 8)


@pytest.mark.parametrize(
    ("name", "count"), [("timm:resnet18", 12), ("timm:mobilenetv1_100", 14), ("timm:mobilenetv3_small_050", 26)]
)
def test_a_network_of_timm_runs_with_every_group_at_its_narrowest(name: str, count: int) -> None:
    network, groups = network_and_groups(name, channels=3, size=32)
    assert len(groups) == count
    narrow(network, layers_at(network, groups, {group.name: 1 + position % 3 for position, group in enumerate(groups)}))
    assert network.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_grouped_convolutions_keep_their_width() -> None:
    network, groups = network_and_groups("timm:resnext50_32x4d", channels=3, size=32)
    grouped = {
        name for name, module in network.named_modules() if isinstance(module, nn.Conv2d) and 1 < module.groups < 999
    }
    assert grouped
    assert grouped.isdisjoint(name for group in groups for name in (*group.outputs, *group.inputs))


def test_concatenated_channels_keep_their_width() -> None:
    class Concatenating(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 8, 3)
            self.left, self.right = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 1)
            self.classifier = nn.Linear(8, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            return self.classifier(torch.cat([self.left(x), self.right(x)], 1).mean((2, 3)))

    groups = find_groups(Concatenating(), Preprocessing(channels=1, crop=(8, 8)))
    assert [group.name for group in groups] == ["stem"]


def test_a_network_that_cannot_be_followed_is_refused() -> None:
    class Deciding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ValueError("no such picture")

    with pytest.raises(InvalidInput, match="cannot follow this network"):
        find_groups(Deciding(), Preprocessing(channels=1, crop=(8, 8)))


def test_of_a_transformer_the_hidden_layers_are_slimmable() -> None:
    network, groups = network_and_groups("timm:vit_tiny_patch16_224", channels=3, size=224)
    assert {group.name for group in groups} == {f"blocks.{number}.mlp.fc1" for number in range(12)}
    narrow(network, layers_at(network, groups, {group.name: 8 for group in groups}))
    assert network.eval()(torch.zeros(1, 3, 224, 224)).shape == (1, 10)


def test_a_network_without_inner_layers_is_refused() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(InvalidInput, match="no layer whose width can be chosen"):
        find_groups(network, Preprocessing(channels=1, crop=(8, 8)))


def test_looking_for_groups_changes_nothing() -> None:
    network = Architecture(name="zoo:resnet_small", num_classes=10, in_chans=1).build().train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    find_groups(network, Preprocessing(channels=1, crop=(8, 8)))
    assert network.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_only_narrower_layers_are_named() -> None:
    network, groups = network_and_groups("zoo:conv_tiny")
    assert layers_at(network, groups, {}) == {}
    assert layers_at(network, groups, {"features.1.0": 8}) == {
        "features.1.0": (8, 12),
        "features.1.1": (8, 8),
        "features.2.0": (24, 8),
    }


def test_a_network_without_gradients_has_the_same_groups() -> None:
    network, groups = network_and_groups("zoo:resnet_small")
    frozen = network.requires_grad_(requires_grad=False)
    assert find_groups(frozen, Preprocessing(channels=1, crop=(8, 8))) == groups
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
