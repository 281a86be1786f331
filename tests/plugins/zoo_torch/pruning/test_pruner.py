"""Removing channels: the pruned network computes what the masked one does, and can be rebuilt."""

import copy
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.plugins.zoo_torch.pruning.nets import cut, inputs, network_of, no_losses, pruner_of
from zoo_sdk.errors import OperationError
from zoo_torch.measuring.scoring import count_parameters
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.narrowing import Channels, is_depthwise, keep_channels
from zoo_torch.pruning.choice import Rule
from zoo_torch.pruning.groups import find_groups
from zoo_torch.pruning.masking import masked
from zoo_torch.pruning.method import Pruning
from zoo_torch.pruning.plan import Cut
from zoo_torch.pruning.pruner import Pruner


def zeroed(network: nn.Module, channels: Mapping[str, Channels]) -> nn.Module:
    """The weights of all inputs that are not kept become 0."""
    for name, (_, kept) in channels.items():
        module = network.get_submodule(name)
        if isinstance(module, nn.Linear):
            module.weight[:, [index for index in range(module.in_features) if index not in kept]] = 0
        elif isinstance(module, nn.Conv2d) and not is_depthwise(module):
            share, rows = module.in_channels // module.groups, module.out_channels // module.groups
            for index in set(range(module.in_channels)).difference(kept):
                block = index // share
                module.weight[block * rows : (block + 1) * rows, index % share] = 0
    return network


KINDS = ["zoo:conv_tiny", "zoo:resnet_small", "mobile", "grouped", "dense", "flattened"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_pruned_network_equals_the_masked_one(kind: str) -> None:
    network = network_of(kind)
    full = copy.deepcopy(network)
    pruner = pruner_of(network)
    cut(pruner, 0.5)
    with torch.no_grad():
        silenced = zeroed(copy.deepcopy(full), pruner.channels)
        expected, found = silenced(inputs(8, seed=3)), network(inputs(8, seed=3))
        assert not torch.allclose(full(inputs(8, seed=3)), expected, atol=1e-2), "masking changed nothing"
        with masked(full, pruner.channels):
            torch.testing.assert_close(full(inputs(8, seed=3)), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in network.parameters()) < 0.6 * sum(p.numel() for p in full.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_pruning_twice_equals_masking_once(kind: str) -> None:
    network = network_of(kind)
    full = copy.deepcopy(network)
    pruner = pruner_of(network, scope="global")
    cut(pruner, 0.25)
    cut(pruner, 0.25, "random")
    with torch.no_grad():
        expected = zeroed(copy.deepcopy(full), pruner.channels)(inputs(8, seed=3))
        torch.testing.assert_close(network(inputs(8, seed=3)), expected, rtol=1e-4, atol=1e-5)
    once = copy.deepcopy(full)
    keep_channels(once, pruner.channels)
    assert all(torch.equal(value, once.state_dict()[key]) for key, value in network.state_dict().items())


def test_a_missed_dependency_is_noticed() -> None:
    network = network_of("zoo:conv_tiny")
    pruner = pruner_of(network)
    groups = list(pruner.structure.groups)
    # As if the second layer's inputs were counted from the wrong end.
    members = [
        replace(member, indices=member.indices[::-1]) if member.side == "in" else member for member in groups[0].members
    ]
    groups[0] = replace(groups[0], members=tuple(members))
    pruner.structure = replace(pruner.structure, groups=tuple(groups))
    with pytest.raises(OperationError, match="was not understood"):
        cut(pruner, 0.5)


@pytest.mark.parametrize("kind", ["zoo:resnet_small", "mobile"])
def test_the_state_restores_structure_and_scores(kind: str) -> None:
    network = network_of(kind)
    full = copy.deepcopy(network)
    pruner = pruner_of(network)
    cut(pruner, 0.3)
    again = pruner_of(full)
    again.restore(pruner.state())
    assert (again.kept, again.scores) == (pruner.kept, pruner.scores)
    assert all(torch.equal(value, full.state_dict()[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("kind", ["zoo:resnet_small", "grouped"])
def test_the_momentum_of_kept_channels_is_carried_over(kind: str) -> None:
    network = network_of(kind)
    pruner = pruner_of(network)
    method = Pruning(
        lambda logits, _: logits.sum(),
        pruner,
        {3: [Cut("l1", 0.25), Cut("random", 0.25)]},
        lambda cut, _: pruner.prune(pruner.candidates(cut.importance, no_losses, None), 0.25),
        None,
        {},
    )
    former = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(inputs()).square().mean().backward()
    former.step()
    # Momentum like the weights, so that it is seen which of it was kept.
    for parameter in network.parameters():
        former.state[parameter]["momentum_buffer"] = 3 * parameter.detach()
    assert not method.before_epoch(2)
    assert method.before_epoch(3)
    fresh = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    method.carry_over(former, fresh)
    assert sum(len(kept) for kept in pruner.kept.values()) < 0.6 * sum(group.size for group in pruner.structure.groups)
    for parameter in network.parameters():
        torch.testing.assert_close(fresh.state[parameter]["momentum_buffer"], 3 * parameter.detach())


def test_a_pruned_network_is_rebuilt_from_its_description_alone() -> None:
    architecture = Architecture(name="zoo:resnet_small", num_classes=4, in_chans=3)
    network = network_of("zoo:resnet_small")
    cut(pruner_of(network, scope="isomorphic"), 0.4)
    text = architecture.narrowed_as(network).model_dump_json()
    rebuilt = Architecture.parse(text, "a file").build().eval()
    rebuilt.load_state_dict(network.state_dict())
    torch.testing.assert_close(rebuilt(inputs()), network(inputs()), rtol=0, atol=0)


def test_the_outputs_of_the_classifier_are_never_pruned() -> None:
    network = network_of("zoo:resnet_small")
    cut(pruner_of(network, max_ratio=1), 0.9, "random")
    assert network(inputs()).shape == (2, 4)


def test_resnet50_with_half_its_channels_but_the_stem_s_has_the_size_that_adlik_publishes() -> None:
    """6,954,152 parameters, of 25,610,152, as Keras counts them: with the running statistics of normalisations."""
    architecture = Architecture(name="timm:resnet50", num_classes=1000)
    network = architecture.build().eval()
    pruner = Pruner(
        network,
        find_groups(network, torch.zeros(1, 3, 32, 32), keep_stem=True, ignore=()),
        Rule("uniform", 0.9, 1),
        torch.zeros(2, 3, 32, 32),
        0,
    )

    def size() -> int:
        statistics = sum(value.numel() for name, value in network.named_buffers() if "running" in name)
        return statistics + count_parameters(network)

    assert size() == 25_610_152
    cut(pruner, 0.5)
    assert size() == 6_954_152
