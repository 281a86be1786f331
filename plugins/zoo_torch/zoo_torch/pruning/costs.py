"""What a network costs when some of its channels are gone, without building it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo_sdk.artifacts import Preprocessing
from zoo_torch.measuring.scoring import count_macs, count_parameters
from zoo_torch.networks.narrowing import Channels, is_depthwise, layer_widths


@dataclass(frozen=True)
class Cost:
    """Multiply-accumulate operations for one sample, and parameters."""

    macs: int
    parameters: int


@dataclass(frozen=True)
class _LayerCost:
    """``weight``: numbers of the weight; ``rest``: numbers of all else; ``reads``: the weight has an input axis."""

    widths: tuple[int, int]
    macs: int
    weight: int
    rest: int
    reads: bool

    def saved(self, outputs: int, inputs: int) -> Cost:
        """How much less it costs with these widths.  All divisions are exact."""
        full_outputs, full_inputs = self.widths
        share, whole = (outputs * inputs, full_outputs * full_inputs) if self.reads else (outputs, full_outputs)
        weight, macs = (value - value * share // whole for value in (self.weight, self.macs))
        return Cost(macs, weight + self.rest - self.rest * outputs // full_outputs)


@dataclass(frozen=True)
class CostModel:
    """The costs of a network and of each of its layers that can be narrowed."""

    full: Cost
    layers: Mapping[str, _LayerCost]

    def cost(self, channels: Mapping[str, Channels]) -> Cost:
        """That of the network whose named layers keep these channels."""
        saved = [self.layers[name].saved(len(outputs), len(inputs)) for name, (outputs, inputs) in channels.items()]
        macs, parameters = (sum(getattr(one, what) for one in saved) for what in ("macs", "parameters"))
        return Cost(self.full.macs - macs, self.full.parameters - parameters)


def cost_model(network: nn.Module, preprocessing: Preprocessing, device: torch.device) -> CostModel:
    """Run one sample through the network and count."""
    macs: dict[nn.Module, int] = {}

    def count(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if isinstance(module, nn.Conv2d | nn.Linear):
            width = module.out_channels if isinstance(module, nn.Conv2d) else module.out_features
            macs[module] = macs.get(module, 0) + output.numel() // width * module.weight.numel()

    training = network.training
    handles = [module.register_forward_hook(count) for module in network.modules() if layer_widths(module)]
    try:
        total = count_macs(network, preprocessing, device)
    finally:
        for handle in handles:
            handle.remove()
        network.train(training)
    layers = {}
    for name, module in network.named_modules():
        widths = layer_widths(module)
        if widths is not None:
            sizes = {key: value.numel() for key, value in module.named_parameters(recurse=False)}
            weight = sizes.pop("weight", 0)
            reads = isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and not is_depthwise(module))
            layers[name] = _LayerCost(widths, macs.get(module, 0), weight, sum(sizes.values()), reads)
    return CostModel(Cost(total, count_parameters(network)), layers)
