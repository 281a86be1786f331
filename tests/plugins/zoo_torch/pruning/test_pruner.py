"""Removing channels: the pruned network computes what the masked one does, and can be rebuilt."""

import copy

import pytest
import torch

from tests.plugins.zoo_torch.pruning.nets import cut, inputs, network_of, pruner_of
from zoo_sdk.errors import OperationError
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.narrowing import keep_channels
from zoo_torch.pruning.masking import check_equals_masked, silence

KINDS = ["zoo:conv_tiny", "zoo:resnet_small", "mobile", "grouped", "dense", "flattened"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_pruned_network_equals_the_masked_one(kind: str) -> None:
    network = network_of(kind)
    full = copy.deepcopy(network)
    pruner = pruner_of(network)
    cut(pruner, 0.5)
    masked = silence(copy.deepcopy(full), pruner.channels())
    with torch.no_grad():
        expected, found = masked(inputs(8, seed=3)), network(inputs(8, seed=3))
        assert not torch.allclose(full(inputs(8, seed=3)), expected, atol=1e-2), "masking changed nothing"
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
        expected = silence(copy.deepcopy(full), pruner.channels())(inputs(8, seed=3))
        torch.testing.assert_close(network(inputs(8, seed=3)), expected, rtol=1e-4, atol=1e-5)
    once = copy.deepcopy(full)
    keep_channels(once, pruner.channels())
    assert all(torch.equal(value, once.state_dict()[key]) for key, value in network.state_dict().items())


def test_a_missed_dependency_is_noticed() -> None:
    network = network_of("zoo:conv_tiny")
    full = copy.deepcopy(network)
    kept = [0, 3, 4, 5]
    keep_channels(network, {"features.0.0": (kept, [0, 1, 2]), "features.0.1": (kept, kept)})
    keep_channels(network, {"features.1.0": (range(24), [0, 1, 2, 3])})
    choice = {"features.1.0": (range(24), kept)}
    with pytest.raises(OperationError, match="not understood"):
        check_equals_masked(full, network, choice, inputs())


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
