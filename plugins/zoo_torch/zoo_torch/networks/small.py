"""Our own small networks for small images, by name.

The convolutional ones take (batch, channels, height, width) of any size from 8 x 8.  Each of the families of the Adlik
zoo's classification table has its counterpart here: the same blocks and stages, narrow enough for a processor.
"""

from collections.abc import Callable
from types import MappingProxyType

from torch import nn

from zoo_torch.networks.transformers import vision_transformer
from zoo_torch.networks.units import (
    BottleneckUnit,
    ConvUnit,
    FirstInvertedUnit,
    InvertedResidualUnit,
    ResidualUnit,
    SeparableUnit,
    SmallNetwork,
)

Build = Callable[[int, int], nn.Module]
"""Called with (in_chans, num_classes)."""
Unit = Callable[[int, int, int], nn.Module]
"""Called with (inputs, outputs, stride)."""


def _plain(widths: tuple[int, ...], strides: tuple[int, ...]) -> Build:
    """A chain of 3 x 3 convolutions."""

    def build(in_chans: int, num_classes: int) -> nn.Module:
        inputs = (in_chans, *widths)
        units = [ConvUnit(inputs[k], width, 3, strides[k]) for k, width in enumerate(widths)]
        return SmallNetwork(nn.Sequential(*units), widths[-1], num_classes)

    return build


def _residual(widths: tuple[int, ...], stem_stride: int) -> Build:
    """A stem, then one residual unit per width; each but the first halves the size."""

    def build(in_chans: int, num_classes: int) -> nn.Module:
        units: list[nn.Module] = [ConvUnit(in_chans, widths[0], 3, stem_stride)]
        inputs = (widths[0], *widths)
        units += [ResidualUnit(inputs[k], width, 1 if k == 0 else 2) for k, width in enumerate(widths)]
        return SmallNetwork(nn.Sequential(*units), widths[-1], num_classes)

    return build


def _staged(stem: int, stages: tuple[tuple[Unit, int, int, int], ...], head: int | None = None) -> Build:
    """A stem that halves the size, stages of (unit, count, width, stride of the first), and a 1 x 1 ``head``."""

    def build(in_chans: int, num_classes: int) -> nn.Module:
        parts: list[nn.Module] = [ConvUnit(in_chans, stem, 3, 2)]
        inputs = stem
        for unit, count, width, stride in stages:
            units = [unit(inputs if k == 0 else width, width, stride if k == 0 else 1) for k in range(count)]
            parts.append(nn.Sequential(*units))
            inputs = width
        if head is not None:
            parts.append(ConvUnit(inputs, head, 1))
        return SmallNetwork(nn.Sequential(*parts), head or inputs, num_classes)

    return build


def _resnet(unit: Unit, depths: tuple[int, ...], widths: tuple[int, ...]) -> Build:
    """The four stages of He et al. 2015, table 1; each but the first halves the size."""
    strides = (1, *[2] * (len(depths) - 1))
    stages = [(unit, *stage) for stage in zip(depths, widths, strides, strict=True)]
    return _staged(widths[0] // getattr(unit, "EXPANSION", 1), tuple(stages))


# The numbers of units of the papers; strides that would leave less than 4 x 4 of 28 x 28 pixels are left out.
MOBILENET_V1 = ((1, 32, 1), (2, 64, 2), (2, 128, 1), (6, 128, 2), (2, 256, 1))
MOBILENET_V2 = ((2, 12, 2), (3, 16, 1), (4, 24, 1), (3, 32, 2), (1, 64, 1))
BASIC_WIDTHS = (8, 16, 32, 64)
BOTTLENECK_WIDTHS = (24, 48, 96, 192)

SMALL_NETWORKS = MappingProxyType(
    {
        "conv_tiny": _plain((12, 24, 24), (2, 2, 1)),
        "conv_small": _plain((16, 32, 64), (1, 2, 2)),
        "conv_medium": _plain((24, 48, 96), (2, 2, 1)),
        "resnet_small": _residual((24, 48, 96), 2),
        "resnet_medium": _residual((32, 64, 128), 2),
        "resnet_tiny_18": _resnet(ResidualUnit, (2, 2, 2, 2), BASIC_WIDTHS),
        "resnet_tiny_34": _resnet(ResidualUnit, (3, 4, 6, 3), BASIC_WIDTHS),
        "resnet_tiny_50": _resnet(BottleneckUnit, (3, 4, 6, 3), BOTTLENECK_WIDTHS),
        "resnet_tiny_101": _resnet(BottleneckUnit, (3, 4, 23, 3), BOTTLENECK_WIDTHS),
        "mobilenet_v1_small": _staged(16, tuple((SeparableUnit, *stage) for stage in MOBILENET_V1)),
        "mobilenet_v2_small": _staged(
            16,
            ((FirstInvertedUnit, 1, 8, 1), *((InvertedResidualUnit, *stage) for stage in MOBILENET_V2)),
            256,
        ),
    }
)
"""Each is called with (in_chans, num_classes)."""

SIZED_NETWORKS = MappingProxyType(
    {
        "vit_tiny": vision_transformer(width=48, depth=4, heads=3),
        "vit_small": vision_transformer(width=64, depth=6, heads=4),
    }
)
"""Made for one square image size: each is called with (in_chans, num_classes, image size)."""

DEFAULT_IMAGE_SIZE = 28
