"""Batch normalisations of a network that no longer changes, folded into the convolutions before them."""

import copy
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from zoo_torch.distillation.features import FeatureTap

MAX_DIFFERENCE = 1e-4
"""Of the outputs, relative to their largest: some hundred times the rounding of float32."""


class _Tracer(fx.Tracer):
    """Takes timm's normalisations with activation for one layer, as torch's own are."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether not to look inside."""
        return isinstance(m, nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)


def folded(network: nn.Module, sample: Tensor, keep: Sequence[str] = (), reference: str = "") -> tuple[nn.Module, int]:
    """A copy without the batch normalisations that directly follow a convolution, and how many those were.

    w' = w * gamma / sqrt(var + eps), b' = (b - mean) * gamma / sqrt(var + eps) + beta: the same function with fewer
    passes over memory.  Where the network cannot be traced, or the copy answers otherwise than by rounding, the network
    itself comes back, with 0.

    Args:
        network: in evaluation mode, float32.
        sample: inputs (batch, C, H, W) on which both are compared.
        keep: names of layers whose outputs have to stay what they are, too.
        reference: names the network in errors.

    Raises:
        InvalidInput: a layer to keep does not exist.

    """
    try:
        graph = _Tracer().trace(network)
    except Exception:  # noqa: BLE001 (whatever its forward does that tracing cannot follow: it stays as it is)
        return network, 0
    pairs = [pair for pair in _pairs(graph, network) if pair[0] not in keep]
    if not pairs:
        return network, 0
    copied = copy.deepcopy(network)
    for convolution, normalisation in pairs:
        _fold(copied, convolution, normalisation)
    expected, found = (_outputs(one, sample, keep, reference) for one in (network, copied))
    if not all(_agree(*pair) for pair in zip(expected, found, strict=True)):
        return network, 0
    return copied, len(pairs)


def _outputs(network: nn.Module, sample: Tensor, keep: Sequence[str], reference: str) -> list[Tensor]:
    with torch.inference_mode(), FeatureTap(network, keep, reference).recording() as layers:
        answers: Tensor = network(sample)
    return [answers, *(layers[name] for name in keep)]


def _agree(expected: Tensor, found: Tensor) -> bool:
    return bool((found - expected).abs().max() <= MAX_DIFFERENCE * expected.abs().max())


def _pairs(graph: fx.Graph, network: nn.Module) -> list[tuple[str, str]]:
    """Names of convolution and normalisation, where nobody else sees what lies between, and each is called once."""
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    pairs = []
    for node in graph.nodes:
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
            continue
        names = str(before.target), str(node.target)
        first, second = (network.get_submodule(name) for name in names)
        foldable = type(first) is nn.Conv2d and isinstance(second, nn.BatchNorm2d) and second.running_var is not None
        if foldable and calls[names[0]] == calls[names[1]] == 1:
            pairs.append(names)
    return pairs


def _fold(network: nn.Module, convolution: str, normalisation: str) -> None:
    conv: Any = network.get_submodule(convolution)
    norm: Any = network.get_submodule(normalisation)
    weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    conv.weight, conv.bias = (nn.Parameter(value.detach(), requires_grad=False) for value in (weight, bias))
    # What timm's normalisation does besides normalising.
    rest = [getattr(norm, name) for name in ("drop", "act") if isinstance(getattr(norm, name, None), nn.Module)]
    network.set_submodule(normalisation, (nn.Sequential(*rest) if rest else nn.Identity()).eval())
