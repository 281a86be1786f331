"""The full network with the pruned channels unread: it must compute what the pruned network computes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from zoo_sdk.errors import OperationError
from zoo_torch.networks.narrowing import Channels, is_depthwise

TOLERANCE = 1e-3
"""Largest difference of an output that is accepted, relative to the largest output (float32 sums in another order)."""


@contextmanager
def masked(network: nn.Module, channels: Mapping[str, Channels]) -> Iterator[nn.Module]:
    """The network, whose layers read 0 instead of each input that they do not keep, as long as this lasts.

    A pruned channel may still hold a value (a bias, the shift of a batch normalisation), but nobody reads it.
    """
    handles = []
    for name, (_, inputs) in channels.items():
        module = network.get_submodule(name)
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and not is_depthwise(module)):
            axis, width = (-1, module.in_features) if isinstance(module, nn.Linear) else (1, module.in_channels)
            mask = torch.zeros(width)
            mask[list(inputs)] = 1
            handles.append(module.register_forward_pre_hook(partial(_silenced, mask=mask, axis=axis)))
    try:
        yield network
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def outputs_of(network: nn.Module, example: Tensor) -> Tensor:
    """What it computes in evaluation mode, with all of float32's digits (a GPU's convolutions usually drop half)."""
    training, short_products = network.training, torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        outputs: Tensor = network.eval()(example)
    finally:
        torch.backends.cudnn.allow_tf32 = short_products
        network.train(training)
    return outputs


def check_equal(expected: Tensor, found: Tensor) -> None:
    """Compare the outputs of the masked network with those of the pruned one.

    Raises:
        OperationError: they differ, so a dependency between layers was missed.

    """
    allowed = TOLERANCE * max(1.0, float(expected.abs().max()))
    difference = float((found - expected).abs().max())
    if not difference <= allowed:
        raise OperationError(
            f"The pruned network differs by {difference:.3g} from the full one with the same channels silenced "
            f"(allowed: {allowed:.3g}): a dependency between its layers was not understood.",
            hint="Name the layers that are special in `ignore`, or prune another architecture.",
            facts={"difference": difference, "allowed": allowed},
        )


def _silenced(_module: nn.Module, inputs: tuple[Tensor, ...], *, mask: Tensor, axis: int) -> tuple[Tensor, ...]:
    shape = [1] * inputs[0].dim()
    shape[axis] = -1
    return (inputs[0] * mask.to(inputs[0].device, inputs[0].dtype).reshape(shape), *inputs[1:])
