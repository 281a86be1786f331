"""The full network with the pruned channels unread: it must compute what the pruned network computes."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from zoo_sdk.errors import OperationError
from zoo_torch.networks.narrowing import Channels, Indices, is_depthwise

TOLERANCE = 1e-3
"""Largest difference of an output that is accepted, relative to the largest output (float32 sums in another order)."""


@torch.no_grad()
def silence(network: nn.Module, channels: Mapping[str, Channels]) -> nn.Module:
    """Give the weight 0 to each input that a layer does not keep, in place; nothing else changes.

    A pruned channel may still hold a value (a bias, the shift of a batch normalisation), but nobody reads it.
    """
    for name, (_, inputs) in channels.items():
        _silence(network.get_submodule(name), inputs)
    return network


@torch.no_grad()
def check_equals_masked(full: nn.Module, pruned: nn.Module, channels: Mapping[str, Channels], example: Tensor) -> None:
    """Compare in evaluation mode, unless a layer normalisation was narrowed, whose statistics then rightly differ.

    ``full`` is silenced by it.

    Raises:
        OperationError: the outputs differ, so a dependency between layers was missed.

    """
    if any(isinstance(full.get_submodule(name), nn.LayerNorm) for name in channels):
        return
    training = pruned.training
    expected = silence(full, channels).eval()(example)
    found = pruned.eval()(example)
    pruned.train(training)
    allowed = TOLERANCE * max(1.0, float(expected.abs().max()))
    difference = float((found - expected).abs().max())
    if not difference <= allowed:
        raise OperationError(
            f"The pruned network differs by {difference:.3g} from the full one with the same channels silenced "
            f"(allowed: {allowed:.3g}): a dependency between its layers was not understood.",
            hint="Name the layers that are special in `ignore`, or prune another architecture.",
            facts={"difference": difference, "allowed": allowed},
        )


def _silence(module: nn.Module, kept_inputs: Indices) -> None:
    if isinstance(module, nn.Linear):
        missing = sorted(set(range(module.in_features)).difference(kept_inputs))
        module.weight[:, missing] = 0
    elif isinstance(module, nn.Conv2d) and not is_depthwise(module):
        whole, rows = module.in_channels // module.groups, module.out_channels // module.groups
        for index in set(range(module.in_channels)).difference(kept_inputs):
            block = index // whole
            module.weight[block * rows : (block + 1) * rows, index % whole] = 0
