"""The moving average of the weights."""

import torch
from torch import nn

from zoo_torch.training.ema import WeightAverage


def test_the_average_is_that_of_the_formula() -> None:
    network = nn.Sequential(nn.Linear(2, 1, bias=False), nn.BatchNorm1d(1))
    average = WeightAverage(network, 0.5)
    expected = network[0].weight.detach().clone()
    for update in range(1, 20):
        with torch.no_grad():
            network[0].weight += 0.1 * update
        network(torch.randn(8, 2))
        average.update(network)
        decay = min(0.5, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * network[0].weight.detach()
    torch.testing.assert_close(average.network[0].weight, expected)  # type: ignore[index]


def test_statistics_are_averaged_and_counters_copied() -> None:
    network = nn.BatchNorm1d(1)
    average = WeightAverage(network, 0.9)
    network(torch.full((4, 1), 100.0))
    average.update(network)
    assert network.running_mean is not None
    assert 0 < float(average.network.running_mean) < 100  # type: ignore[arg-type]
    assert float(average.network.running_mean) != float(network.running_mean)  # type: ignore[arg-type]
    assert int(average.network.num_batches_tracked) == 1  # type: ignore[arg-type]


def test_a_resumed_average_goes_on_where_it_was() -> None:
    network = nn.Linear(2, 2)
    first, second = WeightAverage(network, 0.99), WeightAverage(network, 0.99)
    first.update(network)
    second.resume(first.state())
    with torch.no_grad():
        network.weight += 1
    first.update(network)
    second.update(network)
    assert torch.equal(first.network.weight, second.network.weight)  # type: ignore[arg-type]


def test_the_average_takes_no_gradient_and_leaves_the_network_alone() -> None:
    network = nn.Linear(2, 2)
    average = WeightAverage(network, 0.9)
    average.update(network)
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())
