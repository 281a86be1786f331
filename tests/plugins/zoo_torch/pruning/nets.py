"""Small networks with every kind of coupling, and a pruner for them."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from tests.plugins.zoo_torch.samples import build
from zoo_torch.pruning.choice import Rule
from zoo_torch.pruning.groups import find_groups
from zoo_torch.pruning.importance import Losses
from zoo_torch.pruning.params import ImportanceName, ScopeName
from zoo_torch.pruning.pruner import Pruner

SHAPE = (3, 16, 16)


def unit(inputs: int, outputs: int, **options: Any) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, bias=False, **options), nn.BatchNorm2d(outputs), nn.ReLU())


class Headed(nn.Module):
    """Pools what ``features`` gives and classifies it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(width, 4)

    def features(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean(dim=(2, 3)))


class Mobile(Headed):
    """An inverted residual with a depthwise convolution, as in MobileNetV2."""

    def __init__(self) -> None:
        super().__init__(12)
        self.stem = unit(3, 8, kernel_size=3, padding=1)
        self.expand = unit(8, 24, kernel_size=1)
        self.depthwise = unit(24, 24, kernel_size=3, padding=1, groups=24)
        self.project = nn.Sequential(nn.Conv2d(24, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.last = unit(8, 12, kernel_size=1)

    def features(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.last(x + self.project(self.depthwise(self.expand(x))))


class Grouped(Headed):
    """A ResNeXt block: a convolution of 4 groups between two of 1 x 1."""

    def __init__(self) -> None:
        super().__init__(16)
        self.stem = unit(3, 16, kernel_size=3, padding=1)
        self.first = unit(16, 16, kernel_size=1)
        self.grouped = unit(16, 16, kernel_size=3, padding=1, groups=4)
        self.third = nn.Sequential(nn.Conv2d(16, 16, 1, bias=False), nn.BatchNorm2d(16))

    def features(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return F.relu(x + self.third(self.grouped(self.first(x))))


class Dense(Headed):
    """Concatenation, as in DenseNet."""

    def __init__(self) -> None:
        super().__init__(14)
        self.stem = unit(3, 8, kernel_size=3, padding=1)
        self.growth = unit(8, 6, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm2d(14)

    def features(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return F.relu(self.norm(torch.cat([x, self.growth(x)], dim=1)))


class Flattened(nn.Module):
    """A linear layer that reads each channel's pixels, as in VGG; convolutions with biases and no normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, stride=4)
        self.hidden = nn.Linear(6 * 16, 10)
        self.classifier = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.relu(self.hidden(torch.flatten(F.relu(self.first(x)), 1))))


class Gated(Headed):
    """Channels that are split in halves and multiplied, so that two of them belong together."""

    def __init__(self) -> None:
        super().__init__(8)
        self.stem = unit(3, 16, kernel_size=3, padding=1)
        self.mixed = nn.Conv2d(8, 8, 1)

    def features(self, x: Tensor) -> Tensor:
        left, right = self.stem(x).chunk(2, dim=1)
        return self.mixed(left * right)


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """With batch normalisations that shift and scale, as trained ones do."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
                (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.5, 1.5),
            ):
                assert tensor is not None
                tensor.data.uniform_(low, high)
    return network.eval()


def network_of(kind: str) -> nn.Module:
    """One of the above, or of the zoo's."""
    if kind.startswith("zoo:"):
        return randomised(build(kind, channels=3, classes=4))
    torch.manual_seed(0)
    kinds = {"mobile": Mobile, "grouped": Grouped, "dense": Dense, "flattened": Flattened, "gated": Gated}
    return randomised(kinds[kind]())


def inputs(samples: int = 2, seed: int = 1) -> Tensor:
    return torch.randn((samples, *SHAPE), generator=torch.Generator().manual_seed(seed))


def pruner_of(
    network: nn.Module, *, scope: ScopeName = "uniform", max_ratio: float = 0.9, round_to: int = 1, **options: Any
) -> Pruner:
    given = {"keep_stem": False, "ignore": (), **options}
    return Pruner(network, find_groups(network, inputs(1), **given), Rule(scope, max_ratio, round_to), inputs(), 0)


def no_losses() -> Any:
    raise AssertionError("no gradients are needed")


def cut(pruner: Pruner, ratio: float, importance: ImportanceName = "l1", losses: Losses = no_losses) -> None:
    pruner.prune(pruner.candidates(importance, losses, None), ratio)
