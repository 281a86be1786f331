"""Groups of coupled channels: what shares one choice, and what is left as it is."""

import pytest
import torch
from torch import nn

from tests.plugins.zoo_torch.pruning.nets import Flattened, inputs, network_of
from zoo_sdk.errors import InvalidInput
from zoo_torch.networks.architectures import Architecture
from zoo_torch.pruning.groups import MAKES_OUTPUTS, Structure, find_groups


def structure_of(network: nn.Module, *, keep_stem: bool = False, ignore: tuple[str, ...] = ()) -> Structure:
    return find_groups(network, inputs(1), keep_stem=keep_stem, ignore=ignore)


def channels_of(structure: Structure, kept: dict[str, list[int]]) -> dict[str, tuple[list[int], list[int]]]:
    return {layer: (list(outs), list(ins)) for layer, (outs, ins) in structure.channels(kept).items()}


def test_layers_that_are_added_up_share_one_choice() -> None:
    structure = structure_of(network_of("zoo:resnet_small"))
    makers = [set(group.makers) for group in structure.groups]
    assert {"features.0.0", "features.1.second.0"} in makers
    assert {"features.2.second.0", "features.2.shortcut.0"} in makers
    assert {"features.1.first.0"} in makers
    assert structure.left == {"classifier": MAKES_OUTPUTS}


def test_a_depthwise_convolution_belongs_to_the_channels_it_filters() -> None:
    structure = structure_of(network_of("mobile"))
    expanded = next(group for group in structure.groups if group.name == "expand.0")
    assert expanded.layers == ("expand.0", "expand.1", "depthwise.0", "depthwise.1", "project.0")
    assert expanded.makers == ("expand.0",)
    kept = channels_of(structure, {"expand.0": [0, 5, 7]})
    assert kept["depthwise.0"] == ([0, 5, 7], [0, 5, 7])
    assert kept["project.0"] == (list(range(8)), [0, 5, 7])


def test_channels_that_a_grouped_convolution_shares_out_form_classes() -> None:
    structure = structure_of(network_of("grouped"))
    read = next(group for group in structure.groups if group.name == "first.0")
    assert read.classes == tuple(tuple(range(4 * k, 4 * k + 4)) for k in range(4))
    stem = next(group for group in structure.groups if group.name == "stem.0")
    assert len(stem.classes) == 1


def test_a_concatenation_is_read_at_an_offset() -> None:
    structure = structure_of(network_of("dense"))
    kept = channels_of(structure, {"growth.0": [0, 2]})
    assert kept["norm"] == ([*range(8), 8, 10], [*range(8), 8, 10])
    assert kept["classifier"] == ([0, 1, 2, 3], [*range(8), 8, 10])


def test_a_flattened_channel_takes_all_its_pixels_with_it() -> None:
    kept = channels_of(structure_of(network_of("flattened")), {"first": [1]})
    assert kept["hidden"] == (list(range(10)), list(range(16, 32)))


def test_channels_that_are_split_and_meet_again_are_left() -> None:
    structure = structure_of(network_of("gated"))
    assert structure.left["stem.0"] == "its channels are split and meet again"
    assert [group.name for group in structure.groups] == ["mixed"]


def test_of_a_vision_transformer_the_hidden_widths_are_pruned_and_attention_is_left() -> None:
    architecture = Architecture(name="timm:vit_tiny_patch16_224", num_classes=4, options={"img_size": 32})
    structure = find_groups(architecture.build(), torch.zeros(1, 3, 32, 32), keep_stem=False, ignore=())
    assert [group.name for group in structure.groups] == [f"blocks.{k}.mlp.fc1" for k in range(12)]
    assert "attention" in structure.left["blocks.0.attn.qkv"]
    assert "tensor outside any layer" in structure.left["patch_embed.proj"]


def test_ignored_modules_and_the_stem_keep_their_outputs() -> None:
    network = network_of("zoo:resnet_small")
    everything = {group.name for group in structure_of(network).groups}
    some = structure_of(network, ignore=("features.2.first", "features.3"))
    assert everything - {group.name for group in some.groups} == {
        "features.2.first.0",
        "features.3.first.0",
        "features.3.second.0",
    }
    assert "features.2.first" in some.left["features.2.first.0"]
    stemless = structure_of(network, keep_stem=True)
    assert everything - {group.name for group in stemless.groups} == {"features.0.0"}
    assert stemless.left["features.0.0"] == "it is the first layer"


def test_a_prefix_that_names_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"'features\.9'"):
        structure_of(network_of("zoo:resnet_small"), ignore=("features.9",))


def test_tracing_leaves_the_network_as_it_was() -> None:
    network = network_of("zoo:conv_tiny").train()
    network.get_submodule("classifier").requires_grad_(requires_grad=False)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    structure_of(network)
    assert network.training
    assert [p.requires_grad for p in network.get_submodule("classifier").parameters()] == [False, False]
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


class Broken(Flattened):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError("no such size")


def test_a_network_that_cannot_be_traced_is_refused() -> None:
    with pytest.raises(InvalidInput, match="cannot follow this network: ValueError: no such size"):
        structure_of(Broken())
