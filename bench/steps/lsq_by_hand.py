"""LSQ as published re-implementations write it: several elementary operations, left to autograd."""

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn


def scaled_gradient(x: Tensor, scale: float) -> Tensor:
    """The value of ``x`` with its gradient times ``scale``."""
    return (x - x * scale).detach() + x * scale


def rounded(x: Tensor) -> Tensor:
    """Rounds; the gradient passes straight through."""
    return (x.round() - x).detach() + x


class Quantiser(nn.Module):
    """Esser et al. 2020 (arXiv 1902.08153), equations 1 and 2, with gradient scale and initialisation of section 2."""

    def __init__(self, bits: int, *, signed: bool, step: Tensor) -> None:
        super().__init__()
        self.low = -(2 ** (bits - 1)) if signed else 0
        self.high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
        self.step = nn.Parameter(step)

    def forward(self, x: Tensor) -> Tensor:
        """The tensor on the grid of its step."""
        governed = x.numel() / self.step.numel()
        step = scaled_gradient(self.step, (governed * self.high) ** -0.5)
        return rounded((x / step).clamp(self.low, self.high)) * step


class LsqConv2d(nn.Module):
    """A convolution with quantised weights (a step for each output channel) and inputs (one step)."""

    def __init__(self, layer: nn.Conv2d, bits: int, *, signed: bool) -> None:
        super().__init__()
        self.layer = layer
        magnitude = layer.weight.detach().abs().mean(dim=(1, 2, 3), keepdim=True)
        self.weight_quantiser = Quantiser(bits, signed=True, step=2 * magnitude / (2 ** (bits - 1) - 1) ** 0.5)
        self.input_quantiser = Quantiser(bits, signed=signed, step=torch.tensor(2 / (2**bits - 1) ** 0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in, h, w) to (batch, out, h', w')."""
        layer = self.layer
        weight = self.weight_quantiser(layer.weight)
        return F.conv2d(self.input_quantiser(x), weight, layer.bias, layer.stride, layer.padding, 1, layer.groups)


class LsqLinear(nn.Module):
    """The same for a linear layer."""

    def __init__(self, layer: nn.Linear, bits: int) -> None:
        super().__init__()
        self.layer = layer
        magnitude = layer.weight.detach().abs().mean(dim=1, keepdim=True)
        self.weight_quantiser = Quantiser(bits, signed=True, step=2 * magnitude / (2 ** (bits - 1) - 1) ** 0.5)
        self.input_quantiser = Quantiser(bits, signed=False, step=torch.tensor(2 / (2**bits - 1) ** 0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in) to (batch, out)."""
        return F.linear(self.input_quantiser(x), self.weight_quantiser(self.layer.weight), self.layer.bias)


def quantised_by_hand(network: nn.Module, bits: int) -> nn.Module:
    """Replace all convolutions and linear layers, in place; the first one's input is signed."""
    first = True
    for name, module in list(network.named_modules()):
        parent = network.get_submodule(name.rpartition(".")[0])
        own = name.rpartition(".")[2]
        if isinstance(module, nn.Conv2d):
            setattr(parent, own, LsqConv2d(module, bits, signed=first))
            first = False
        elif isinstance(module, nn.Linear):
            setattr(parent, own, LsqLinear(module, bits))
    return network
