"""A moving average of a network's weights, which is often better than the weights themselves."""

import copy
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of all weights and running statistics.

    After update t: average = d_t * average + (1 - d_t) * network, with d_t = min(decay, (1 + t) / (10 + t)), as
    TensorFlow's ExponentialMovingAverage with ``num_updates`` does; Polyak and Juditsky 1992 is the source of the idea.
    Integers (the counters of batch normalisations) are copied.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=False).eval()
        self._decay = decay
        self._updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move towards ``network`` as it is now."""
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        averages, values = self.network.state_dict(), network.state_dict()
        floating = [name for name, value in values.items() if value.is_floating_point()]
        torch._foreach_lerp_([averages[name] for name in floating], [values[name] for name in floating], 1 - decay)
        for name in values.keys() - set(floating):
            averages[name].copy_(values[name])

    def state(self) -> dict[str, Any]:
        """For :meth:`resume`."""
        return {"updates": self._updates, "network": self.network.state_dict()}

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state`."""
        self._updates = state["updates"]
        weights: dict[str, Tensor] = state["network"]
        self.network.load_state_dict(weights)
