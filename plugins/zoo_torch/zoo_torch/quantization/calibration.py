"""First steps of the activations, from pictures that the float network sees."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from zoo_sdk.errors import InvalidInput
from zoo_torch.quantization.network import in_floating_point, quantised_layers


@torch.no_grad()
def calibrate(network: nn.Module, batches: Iterable[Tensor]) -> int:
    """Initialise the activations' steps: 2 <|v|> / sqrt(Q_P), with <|v|> averaged over all batches.

    Returns how many batches there were.  Esser et al. 2020, section 2.1, take the first one alone.  All layers see what
    the float network computes, so that a step does not depend on those before it.

    Args:
        network: of :func:`zoo_torch.quantization.network.quantise`; in evaluation mode during the call.
        batches: input tensors on the network's device.

    Raises:
        InvalidInput: no batches, or activations that are not finite numbers.

    """
    layers = quantised_layers(network)
    sums: dict[str, list[Tensor]] = {name: [] for name in layers}

    def observe(name: str, _module: nn.Module, values: tuple[Any, ...]) -> None:
        sums[name].append(values[0].detach().float().abs().mean())

    handles = [
        layer.input_quantiser.register_forward_pre_hook(partial(observe, name)) for name, layer in layers.items()
    ]
    was_training, count = network.training, 0
    network.eval()
    try:
        with in_floating_point(network):
            for inputs in batches:
                network(inputs)
                count += 1
    finally:
        network.train(was_training)
        for handle in handles:
            handle.remove()
    for name, layer in layers.items():
        layer.input_quantiser.initialise(_average(name, sums[name]))
    return count


def _average(name: str, means: list[Tensor]) -> Tensor:
    if not means:
        raise InvalidInput(
            f"Nothing reached the layer {name} during calibration.",
            hint="Give at least one batch, and leave layers that the network does not use in float.",
            facts={"layer": name},
        )
    average = torch.stack(means).double().mean()
    if not torch.isfinite(average):
        raise InvalidInput(
            f"The network computes numbers that are not finite before the layer {name}.",
            hint="Its weights are damaged; give another base.",
            facts={"layer": name},
        )
    # An input that is always zero tells nothing about the step.
    return average.float() if average > 0 else torch.ones_like(average).float()
