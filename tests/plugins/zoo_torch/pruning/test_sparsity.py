"""The gradients of sparse training, by hand."""

import torch

from tests.plugins.zoo_torch.pruning.nets import network_of, pruner_of
from zoo_torch.pruning.sparsity import push_down


def test_bn_gamma_gets_its_sign_times_the_strength() -> None:
    network = network_of("zoo:conv_tiny")
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    gamma = network.get_parameter("features.0.1.weight")
    gamma.data[:3] = torch.tensor([-0.7, 0.0, 2.0])
    push_down(network, pruner_of(network).groups(), "bn_gamma", 1e-2)
    assert gamma.grad is not None
    torch.testing.assert_close(gamma.grad[:3], torch.tensor([0.49, 0.5, 0.51]))
    for name, parameter in network.named_parameters():
        if not name.endswith("1.weight"):
            assert torch.equal(parameter.grad, torch.full_like(parameter, 0.5)), name  # type: ignore[arg-type]


def test_ignored_channels_are_not_pushed_down() -> None:
    network = network_of("zoo:conv_tiny")
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    push_down(network, pruner_of(network, keep_stem=True).groups(), "bn_gamma", 1e-2)
    untouched, pushed = (network.get_parameter(f"features.{k}.1.weight").grad for k in (0, 1))
    assert untouched is not None
    assert pushed is not None
    assert not untouched.any()
    assert pushed.abs().min() > 0


def test_a_group_is_pushed_down_16_times_as_hard_at_its_least_important_channel() -> None:
    network = network_of("flattened")
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    first, hidden = network.get_parameter("first.weight"), network.get_parameter("hidden.weight")
    for channel in range(6):
        first.data[channel] = channel + 1
        hidden.data[:, 16 * channel : 16 * (channel + 1)] = channel + 1
    groups = [group for group in pruner_of(network).groups() if group.name == "first"]
    push_down(network, groups, "group_norm", 1e-3)
    # I_k is proportional to (k + 1)^2, from 1 to 36.
    shrinkage = torch.tensor([1e-3 * 2 ** (4 * (36 - (k + 1) ** 2) / 35) for k in range(6)])
    expected = shrinkage * torch.arange(1.0, 7)
    assert first.grad is not None
    assert hidden.grad is not None
    torch.testing.assert_close(first.grad[:, 0, 0, 0], expected)
    torch.testing.assert_close(hidden.grad[0].reshape(6, 16)[:, 5], expected)
    assert float(shrinkage[0] / shrinkage[5]) == 16


def test_the_weights_that_read_a_channel_in_a_grouped_convolution_are_pushed_too() -> None:
    network = network_of("grouped")
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    groups = [group for group in pruner_of(network).groups() if group.name == "first.0"]
    push_down(network, groups, "group_norm", 1e-3)
    made, read = network.get_parameter("first.0.weight"), network.get_parameter("grouped.0.weight")
    assert made.grad is not None
    assert read.grad is not None
    shrinkage = made.grad[:, 0, 0, 0] / made[:, 0, 0, 0].detach()
    for channel in (0, 6, 15):
        rows = slice(4 * (channel // 4), 4 * (channel // 4) + 4)
        ratio = read.grad[rows, channel % 4] / read[rows, channel % 4].detach()
        torch.testing.assert_close(ratio, shrinkage[channel].expand_as(ratio), rtol=1e-4, atol=1e-7)
