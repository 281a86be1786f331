"""Latency of made networks in PyTorch, on one thread, taking turns with their baseline."""

import torch
from torch import nn

from bench.methods.records import Times
from bench.timing import interleaved_medians
from zoo_sdk.context import InputItem
from zoo_torch.networks.weights import load_weights
from zoo_vision.agreement import preprocessing_of
from zoo_vision.preprocessing import random_inputs

BATCHES = (1, 32)
ROUNDS = 7
SECONDS = 0.08
"""Length of one block."""


def measure_times(
    own: InputItem, baseline: InputItem | None, *, rounds: int = ROUNDS, seconds: float = SECONDS
) -> dict[int, Times]:
    """Median ms of a batch of :data:`BATCHES` in each round, float32, channels-last, one thread."""
    items = {"own": own} | ({"baseline": baseline} if baseline else {})
    networks = {name: _network(item) for name, item in items.items()}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            return {batch: _times(networks, own, batch, rounds, seconds) for batch in BATCHES}
    finally:
        torch.set_num_threads(threads)


def _network(item: InputItem) -> nn.Module:
    network = load_weights(item).build().eval()
    return network.to(memory_format=torch.channels_last)


def _times(networks: dict[str, nn.Module], item: InputItem, batch: int, rounds: int, seconds: float) -> Times:
    inputs = torch.from_numpy(random_inputs(preprocessing_of(item), batch, 0)).to(memory_format=torch.channels_last)
    calls = {name: lambda network=network: network(inputs) for name, network in networks.items()}
    found = interleaved_medians(calls, rounds=rounds, seconds=seconds, warmup=3)
    rounded = {name: tuple(round(value, 5) for value in values) for name, values in found.items()}
    return Times(own=rounded["own"], baseline=rounded.get("baseline", ()))
