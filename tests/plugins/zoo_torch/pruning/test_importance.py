"""Importances against sums by hand, and against Torch-Pruning."""

import copy

import pytest
import torch
import torch_pruning
from torch import Tensor, nn

from tests.plugins.zoo_torch.pruning.nets import cut, inputs, network_of, no_losses, pruner_of
from zoo_sdk.errors import InvalidInput
from zoo_torch.pruning.groups import find_groups
from zoo_torch.pruning.importance import score, taylor_scores
from zoo_torch.pruning.params import ImportanceName


def scores_of(network: nn.Module, importance: ImportanceName) -> dict[str, Tensor]:
    groups = pruner_of(network).groups()
    return score(importance, network, groups, seed=0, losses=no_losses)


def weight(network: nn.Module, name: str) -> Tensor:
    return network.get_parameter(f"{name}.weight").detach()


def test_l1_sums_a_filter_s_weights_and_averages_over_added_layers() -> None:
    network = network_of("zoo:resnet_small")
    scores = scores_of(network, "l1")
    torch.testing.assert_close(scores["features.1.first.0"], weight(network, "features.1.first.0").abs().sum((1, 2, 3)))
    both = [weight(network, name).abs().sum((1, 2, 3)) for name in ("features.0.0", "features.1.second.0")]
    torch.testing.assert_close(scores["features.0.0"], (both[0] + both[1]) / 2)


def test_l2_is_the_norm_of_the_filter() -> None:
    network = network_of("flattened")
    torch.testing.assert_close(scores_of(network, "l2")["hidden"], weight(network, "hidden").norm(dim=1))


def test_bn_gamma_is_the_mean_factor_of_the_normalisations() -> None:
    network = network_of("zoo:resnet_small")
    expected = (weight(network, "features.0.1").abs() + weight(network, "features.1.second.1").abs()) / 2
    torch.testing.assert_close(scores_of(network, "bn_gamma")["features.0.0"], expected)


def test_bn_gamma_without_normalisations_is_refused() -> None:
    with pytest.raises(InvalidInput, match="needs batch normalisations"):
        scores_of(network_of("flattened"), "bn_gamma")


def test_group_norm_adds_what_makes_a_channel_what_scales_it_and_what_reads_it() -> None:
    network = network_of("mobile")
    made = weight(network, "expand.0").square().sum((1, 2, 3))
    filtered = weight(network, "depthwise.0").square().sum((1, 2, 3))
    scaled = weight(network, "expand.1").square() + weight(network, "depthwise.1").square()
    read = weight(network, "project.0").square().sum((0, 2, 3))
    torch.testing.assert_close(scores_of(network, "group_norm")["expand.0"], (made + filtered + scaled + read) / 5)


def test_group_norm_of_a_grouped_convolution_counts_the_filters_that_read_a_channel() -> None:
    network = network_of("grouped")
    filters = weight(network, "grouped.0")
    read = torch.stack([filters[4 * (k // 4) : 4 * (k // 4) + 4, k % 4].square().sum() for k in range(16)])
    made = weight(network, "first.0").square().sum((1, 2, 3)) + weight(network, "first.1").square()
    torch.testing.assert_close(scores_of(network, "group_norm")["first.0"], (made + read) / 3)


def test_random_scores_follow_the_seed() -> None:
    network = network_of("zoo:conv_tiny")
    groups = pruner_of(network).groups()
    first, same, other = (score("random", network, groups, seed=seed, losses=no_losses) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["features.0.0"], other["features.0.0"])


class TwoLayers(nn.Module):
    """y = classifier(hidden(x)), without a bend, so that the loss without a channel is known exactly."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(3, 4)
        self.classifier = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.hidden(x))


def test_taylor_is_the_squared_first_order_change_by_hand() -> None:
    torch.manual_seed(0)
    network = TwoLayers().train()
    groups = find_groups(network, torch.zeros(1, 3), keep_stem=False, ignore=()).groups
    batches = [torch.randn(5, 3), torch.randn(5, 3)]
    losses = [lambda x=x: network(x)[:, 0].mean() for x in batches]
    found = taylor_scores(network, groups, losses)["hidden"]
    # The loss is linear in each hidden value: without channel k it changes by the mean of -h_k v_k.
    changes = [(network.hidden(x) * network.classifier.weight[0]).mean(dim=0).detach() for x in batches]
    torch.testing.assert_close(found, torch.stack(changes).square().mean(dim=0))
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())


def test_taylor_puts_its_gate_behind_the_batch_normalisation() -> None:
    network = network_of("zoo:conv_tiny")
    groups = pruner_of(network).groups()
    labels = torch.tensor([0, 1])
    found = taylor_scores(network, groups, [lambda: nn.functional.cross_entropy(network(inputs()), labels)])
    gate = torch.ones(24, requires_grad=True)
    norm = network.get_submodule("features.1.1")
    handle = norm.register_forward_hook(lambda _module, _inputs, output: output * gate[:, None, None])
    nn.functional.cross_entropy(network(inputs()), labels).backward()
    handle.remove()
    assert gate.grad is not None
    torch.testing.assert_close(found["features.1.0"], gate.grad.square())


def test_l1_uniform_keeps_the_channels_that_torch_pruning_keeps() -> None:
    network = network_of("zoo:conv_medium")
    theirs = copy.deepcopy(network)
    pruner = pruner_of(network)
    cut(pruner, 0.5)
    by_hand = torch_pruning.pruner.BasePruner(
        theirs,
        inputs(1),
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=1, group_reduction="first", normalizer=None),
        pruning_ratio=0.5,
        ignored_layers=[theirs.classifier],
    )
    removed: dict[str, set[int]] = {}
    for group in by_hand.step(interactive=True):
        removed[by_hand.DG._module2name[group[0].dep.target.module]] = set(group[0].idxs)
        group.prune()
    assert {name: set(range(len(pruner.scores[name]))) - set(kept) for name, kept in pruner.kept.items()} == removed
    assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in network.state_dict().items())


def test_group_norm_keeps_the_channels_that_torch_pruning_keeps_across_residuals() -> None:
    network = network_of("zoo:resnet_small")
    theirs = copy.deepcopy(network)
    cut(pruner_of(network), 0.5, "group_norm")
    torch_pruning.pruner.BasePruner(
        theirs,
        inputs(1),
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=0.5,
        ignored_layers=[theirs.classifier],
    ).step()
    assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in network.state_dict().items())
