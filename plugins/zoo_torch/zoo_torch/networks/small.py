"""Our own small networks for small images, by name.

All take (batch, channels, height, width) of any size from 8 x 8 and are built of 3 x 3 convolutions with batch
normalisation, which every converter and quantizer handles well.
"""

from collections.abc import Callable
from types import MappingProxyType

import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn


class ConvUnit(nn.Sequential):
    """Convolution, batch normalisation and, unless told otherwise, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, activation: bool = True) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True) if activation else nn.Identity(),
        )


class ResidualUnit(nn.Module):
    """The basic block of He et al. 2015 (arXiv 1512.03385, figure 5 left), with a projection where shapes change."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvUnit(inputs, outputs, 3, stride)
        self.second = ConvUnit(outputs, outputs, 3, activation=False)
        changes = inputs != outputs or stride != 1
        self.shortcut = ConvUnit(inputs, outputs, 1, stride, activation=False) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, h, w) to (batch, outputs, h / stride, w / stride)."""
        return F.relu(self.second(self.first(x)) + self.shortcut(x))


class SmallNetwork(nn.Module):
    """Features, global average pooling and a linear classifier."""

    def __init__(self, features: nn.Module, width: int, num_classes: int) -> None:
        super().__init__()
        self.features = features
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, h, w) to logits (batch, num_classes)."""
        return self.classifier(self.features(x).mean(dim=(2, 3)))


def _plain(widths: tuple[int, ...], strides: tuple[int, ...]) -> Callable[[int, int], nn.Module]:
    """A chain of 3 x 3 convolutions."""

    def build(in_chans: int, num_classes: int) -> nn.Module:
        inputs = (in_chans, *widths)
        units = [ConvUnit(inputs[k], width, 3, strides[k]) for k, width in enumerate(widths)]
        return SmallNetwork(nn.Sequential(*units), widths[-1], num_classes)

    return build


def _residual(widths: tuple[int, ...], stem_stride: int) -> Callable[[int, int], nn.Module]:
    """A stem, then one residual unit per width; each but the first halves the size."""

    def build(in_chans: int, num_classes: int) -> nn.Module:
        units: list[nn.Module] = [ConvUnit(in_chans, widths[0], 3, stem_stride)]
        inputs = (widths[0], *widths)
        units += [ResidualUnit(inputs[k], width, 1 if k == 0 else 2) for k, width in enumerate(widths)]
        return SmallNetwork(nn.Sequential(*units), widths[-1], num_classes)

    return build


SMALL_NETWORKS = MappingProxyType(
    {
        "conv_tiny": _plain((12, 24, 24), (2, 2, 1)),
        "conv_small": _plain((16, 32, 64), (1, 2, 2)),
        "conv_medium": _plain((24, 48, 96), (2, 2, 1)),
        "resnet_small": _residual((24, 48, 96), 2),
        "resnet_medium": _residual((32, 64, 128), 2),
    }
)
"""Each is called with (in_chans, num_classes)."""
