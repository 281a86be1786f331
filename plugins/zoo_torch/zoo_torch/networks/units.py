"""The building blocks of our small networks."""

import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn


class ConvUnit(nn.Sequential):
    """Convolution, batch normalisation and, unless told otherwise, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, groups: int = 1, activation: bool = True
    ) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
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


class BottleneckUnit(nn.Module):
    """The bottleneck block of He et al. 2015 (figure 5 right): 1 x 1, 3 x 3, 1 x 1, the middle a quarter as wide.

    The stride is in the 3 x 3 convolution, as in torchvision and timm.
    """

    EXPANSION = 4

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        middle = outputs // self.EXPANSION
        self.first = ConvUnit(inputs, middle, 1)
        self.second = ConvUnit(middle, middle, 3, stride)
        self.third = ConvUnit(middle, outputs, 1, activation=False)
        changes = inputs != outputs or stride != 1
        self.shortcut = ConvUnit(inputs, outputs, 1, stride, activation=False) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, h, w) to (batch, outputs, h / stride, w / stride)."""
        return F.relu(self.third(self.second(self.first(x))) + self.shortcut(x))


class SeparableUnit(nn.Sequential):
    """Depthwise 3 x 3, then 1 x 1: the block of MobileNet, Howard et al. 2017 (arXiv 1704.04861, figure 3)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(ConvUnit(inputs, inputs, 3, stride, groups=inputs), ConvUnit(inputs, outputs, 1))


class InvertedResidualUnit(nn.Module):
    """Widen, depthwise 3 x 3, narrow: the block of MobileNetV2, Sandler et al. 2018 (arXiv 1801.04381, table 1).

    With ReLU instead of ReLU6, which quantizers of today do without.
    """

    EXPANSION = 6

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        wide = inputs * self.EXPANSION
        self.expand = ConvUnit(inputs, wide, 1)
        self.depthwise = ConvUnit(wide, wide, 3, stride, groups=wide)
        self.project = ConvUnit(wide, outputs, 1, activation=False)
        self.is_residual = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, h, w) to (batch, outputs, h / stride, w / stride)."""
        projected: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + projected if self.is_residual else projected


class FirstInvertedUnit(nn.Sequential):
    """The first block of MobileNetV2, which does not widen (Sandler et al. 2018, table 2: t = 1)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            ConvUnit(inputs, inputs, 3, stride, groups=inputs), ConvUnit(inputs, outputs, 1, activation=False)
        )


class SmallNetwork(nn.Module):
    """Features, global average pooling and a linear classifier."""

    def __init__(self, features: nn.Module, width: int, num_classes: int) -> None:
        super().__init__()
        self.features = features
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, h, w) to logits (batch, num_classes)."""
        return self.classifier(self.features(x).mean(dim=(2, 3)))
