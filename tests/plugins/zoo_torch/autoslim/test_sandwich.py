"""The sandwich rule against a transcription by hand."""

import copy

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from zoo_sdk.artifacts import Preprocessing
from zoo_torch.autoslim.groups import WidthGroup, find_groups, layers_at
from zoo_torch.autoslim.params import SlimSupernetParams
from zoo_torch.autoslim.sandwich import Sandwich, in_place_distillation
from zoo_torch.autoslim.subnets import extract
from zoo_torch.networks.architectures import Architecture
from zoo_torch.training.batches import Batch

OPTIONS = {"features.0.0": (4, 8, 12), "features.1.0": (8, 16, 24), "features.2.0": (8, 16, 24)}


def sample(
    random_subnets: int, accumulation_steps: int = 1
) -> tuple[nn.Module, tuple[WidthGroup, ...], Sandwich, Tensor, Batch]:
    torch.manual_seed(0)
    network = Architecture(name="zoo:conv_tiny", num_classes=10, in_chans=1).build().train()
    groups = find_groups(network, Preprocessing(channels=1, crop=(8, 8)))
    params = SlimSupernetParams(
        architecture="zoo:conv_tiny", random_subnets=random_subnets, accumulation_steps=accumulation_steps
    )
    method = Sandwich(network, groups, OPTIONS, params, seed=3)
    labels = torch.arange(6)
    batch = Batch(np.zeros((6, 8, 8), np.uint8), torch.arange(6), labels)
    return network, groups, method, torch.randn(6, 1, 8, 8), batch


def drawn(method: Sandwich, network: nn.Module, inputs: Tensor, batch: Batch) -> list[tuple[int, ...]]:
    """The output widths that the convolutions of the network had, run by run."""
    seen = []

    def forward(tensor: Tensor) -> Tensor:
        seen.append(tuple(network.get_submodule(name).weight.shape[0] for name in OPTIONS))
        return network(tensor)

    method.backward(forward, inputs, batch, lambda loss: loss)
    return seen


def test_in_place_distillation_is_the_divergence_from_the_widest_and_leaves_it_alone() -> None:
    torch.manual_seed(0)
    narrow = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    widest = torch.randn(5, 7, requires_grad=True)
    p, q = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (widest.detach().numpy(), narrow.detach().numpy()))
    expected = (p * (np.log(p) - np.log(q))).sum(1).mean()
    loss = in_place_distillation(narrow, widest)
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-6)
    loss.backward()
    assert widest.grad is None
    assert narrow.grad is not None


def test_the_widest_comes_first_then_the_narrowest_then_random_ones() -> None:
    network, _, method, inputs, batch = sample(random_subnets=3)
    runs = drawn(method, network, inputs, batch)
    assert runs[:2] == [(12, 24, 24), (4, 8, 8)]
    assert len(runs) == 5
    assert all(width in OPTIONS[name] for run in runs for name, width in zip(OPTIONS, run, strict=True))


def test_the_gradient_is_the_sum_over_separate_networks() -> None:
    network, groups, method, inputs, batch = sample(random_subnets=2)
    reference = copy.deepcopy(network)
    widths = drawn(method, network, inputs, batch)
    assert len(set(widths)) == 4
    method.resume({"parts": 0})
    network.zero_grad()
    reported = method.backward(network, inputs, batch, lambda loss: loss)

    widest = copy.deepcopy(reference)
    logits = widest(inputs)
    loss = F.cross_entropy(logits, batch.labels)
    loss.backward()
    expected = {name: parameter.grad for name, parameter in widest.named_parameters()}
    target = logits.detach().softmax(1)
    divergences = []
    for run in widths[1:]:
        subnet = extract(reference, groups, dict(zip(OPTIONS, run, strict=True)))
        log_q = subnet(inputs).log_softmax(1)
        divergence = (target * (target.log() - log_q)).sum() / len(inputs)
        divergence.backward()
        divergences.append(divergence.detach())
        for name, parameter in subnet.named_parameters():
            expected[name][tuple(slice(0, size) for size in parameter.shape)] += parameter.grad
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(reported, loss.detach() + torch.stack(divergences).mean())


def test_only_the_widest_network_moves_the_running_statistics() -> None:
    network, _, method, inputs, batch = sample(random_subnets=2)
    alone = copy.deepcopy(network)
    method.backward(network, inputs, batch, lambda loss: loss)
    alone(inputs)
    for (name, value), expected in zip(network.named_buffers(), alone.buffers(), strict=True):
        assert torch.equal(value, expected), name


def test_every_loss_is_scaled_before_its_backward_pass() -> None:
    network, _, method, inputs, batch = sample(random_subnets=1)
    plain, scaled = copy.deepcopy(network), network
    method._network = plain
    method.backward(plain, inputs, batch, lambda loss: loss)
    method.resume({"parts": 0})
    method._network = scaled
    method.backward(scaled, inputs, batch, lambda loss: loss * 4)
    for one, other in zip(plain.parameters(), scaled.parameters(), strict=True):
        torch.testing.assert_close(one.grad * 4, other.grad)


def test_random_widths_differ_by_batch_and_go_on_after_an_interruption() -> None:
    network, _, method, inputs, batch = sample(random_subnets=4)
    first, second = (drawn(method, network, inputs, batch) for _ in range(2))
    assert first != second
    _, _, resumed, _, _ = sample(random_subnets=4)
    resumed.resume({"parts": 1})
    resumed._network = network
    assert drawn(resumed, network, inputs, batch) == second


def test_the_parts_of_an_accumulated_batch_take_the_same_widths() -> None:
    network, _, method, inputs, batch = sample(random_subnets=4, accumulation_steps=2)
    first, second, third = (drawn(method, network, inputs, batch) for _ in range(3))
    assert first == second != third


def test_the_narrowest_is_the_least_width_of_every_group() -> None:
    network, groups, method, _, _ = sample(random_subnets=0)
    assert method.narrowest == {name: widths[0] for name, widths in OPTIONS.items()}
    assert layers_at(network, groups, method.narrowest)["features.2.0"] == (8, 8)
