"""The simulated network as TorchScript, for tools that read Adlik's published .jit files."""

import copy
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from zoo_torch.conversion.torchscript_files import trace_and_write
from zoo_torch.quantization.network import QuantisedConv2d, QuantisedLayer, SamePadding, quantised_layers
from zoo_torch.quantization.tracing import joined_normalisations, scale_and_shift, trace


def write_torchscript(network: nn.Module, example: Tensor, path: Path) -> torch.jit.ScriptModule:
    """Trace a trained quantised network, its batch normalisations folded, in plain operations of torch.

    Nothing of Zoo is needed to load it: an input is divided by its step, clipped, rounded and multiplied again; weights
    are already rounded.  Equal networks give equal bytes.  Returns what was written.

    Args:
        network: of :func:`zoo_torch.quantization.network.quantise`; stays as it is.
        example: (batch, C, H, W) on the network's device; the batch of the result is dynamic.
        path: the file to write.

    Raises:
        OperationError: torch cannot trace it.

    """
    return trace_and_write(_fixed(network), example, path)


def _fixed(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode without quantisers and without batch normalisations that could be folded."""
    copied = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
    graph = trace(network)
    joined = {} if graph is None else joined_normalisations(network, graph)
    for name, layer in quantised_layers(copied).items():
        normalisation = copied.get_submodule(joined[name]) if name in joined else None
        copied.set_submodule(name, _FixedLayer(layer, normalisation))
        if normalisation is not None:
            # timm joins a normalisation and its activation in one module.
            copied.set_submodule(joined[name], getattr(normalisation, "act", nn.Identity()))
    return copied


class _FixedLayer(nn.Module):
    """A layer with rounded weights, which rounds its inputs with a step that is a constant."""

    def __init__(self, layer: QuantisedLayer, normalisation: nn.Module | None) -> None:
        super().__init__()
        weight = layer.weight_quantiser(layer.weight).double()
        bias = None if layer.bias is None else layer.bias.double()
        if normalisation is not None:
            scale, shift = scale_and_shift(normalisation)
            weight = weight * scale.view(-1, *[1] * (weight.ndim - 1))
            bias = shift if bias is None else bias * scale + shift
        self.weight = nn.Buffer(weight.float())
        self.bias = None if bias is None else nn.Buffer(bias.float())
        self.step = nn.Buffer(layer.input_quantiser.positive_step)
        self.limits = layer.input_quantiser.limits
        self.settings: tuple[Any, Any, Any, int] | None = None
        self.same_padding: SamePadding | None = None
        if isinstance(layer, QuantisedConv2d):
            self.settings = (layer.stride, layer.padding, layer.dilation, layer.groups)
            self.same_padding = layer.same_padding

    def forward(self, x: Tensor) -> Tensor:
        """As the layer's own."""
        rounded = (x / self.step).clamp(*self.limits).round() * self.step
        if self.settings is None:
            return F.linear(rounded, self.weight, self.bias)
        if self.same_padding:
            rounded = self.same_padding(rounded)
        stride, padding, dilation, groups = self.settings
        return F.conv2d(rounded, self.weight, self.bias, stride, padding, dilation, groups)
