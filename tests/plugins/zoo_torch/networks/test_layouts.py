"""Networks with narrow strided shortcuts are trained in the layout in which torch does not corrupt its memory."""

import torch
from torch import nn

from zoo_torch.networks.layouts import training_layout

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def layout(
    device: torch.device, *layers: nn.Module, channels_last: bool = True, narrowest: int | None = None
) -> object:
    return training_layout(nn.Sequential(*layers), device, channels_last=channels_last, narrowest=narrowest)


def test_a_strided_pointwise_convolution_of_few_channels_is_trained_contiguous_on_a_cpu() -> None:
    narrow, wide = nn.Conv2d(7, 16, 1, stride=2), nn.Conv2d(8, 16, 1, stride=2)
    assert layout(CPU, wide, narrow) is torch.contiguous_format
    assert layout(CPU, wide) is torch.channels_last
    assert layout(GPU, narrow) is torch.channels_last
    assert layout(CPU, wide, channels_last=False) is torch.contiguous_format


def test_other_convolutions_of_few_channels_are_safe() -> None:
    assert layout(CPU, nn.Conv2d(3, 16, 3, stride=2), nn.Conv2d(4, 8, 1)) is torch.channels_last


def test_a_network_that_is_run_narrower_than_it_is_counts_as_narrow() -> None:
    wide = nn.Conv2d(64, 64, 1, stride=2)
    assert layout(CPU, wide, narrowest=4) is torch.contiguous_format
    assert layout(CPU, wide, narrowest=8) is torch.channels_last
