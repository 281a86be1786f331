"""Which memory layout a network can be trained in."""

import torch
from torch import nn

SAFE_CHANNELS = 8
"""On a CPU, the weight gradient of a 1 x 1 convolution with a stride writes beyond its memory if its input has fewer
channels and lies channels last (seen with torch 2.14.1 and AVX2, for every number of outputs; it ends in a crash or in
wrong numbers).  Narrow and pruned residual networks have such shortcuts.
"""


def training_layout(
    network: nn.Module, device: torch.device, *, channels_last: bool, narrowest: int | None = None
) -> torch.memory_format:
    """The wanted layout where it is safe, else the contiguous one.

    ``narrowest``: the fewest channels that any layer may be given, where that is below what the network says.
    """
    if channels_last and device.type == "cpu":
        convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
        strided = [item for item in convolutions if item.kernel_size == (1, 1) and max(item.stride) > 1]
        widths = [min(item.in_channels // item.groups, narrowest or item.in_channels) for item in strided]
        channels_last = not widths or min(widths) >= SAFE_CHANNELS
    return torch.channels_last if channels_last else torch.contiguous_format
