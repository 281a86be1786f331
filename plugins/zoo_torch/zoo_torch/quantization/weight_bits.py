"""What quantised weights would occupy if they were packed: bits per weight, and bytes for the whole network."""

import math
from collections import Counter

from torch import Tensor, nn

from zoo_sdk.vocabulary import Precision
from zoo_torch.quantization.network import QuantisedConv2d, QuantisedLinear

FLOAT_BITS = 32


def effective_bits(network: nn.Module) -> float:
    """Mean bits per weight of all convolutions and linear layers, those in floating point with 32."""
    layers = (module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear))
    sizes = [(layer.weight.numel(), _bits(layer)) for layer in layers]
    return sum(count * bits for count, bits in sizes) / sum(count for count, _ in sizes)


def effective_size_bytes(network: nn.Module) -> int:
    """Bytes of everything that the network needs, with each quantised weight packed to its bits.

    Each layer's weights start at a whole byte; biases, steps, normalisations and their statistics count with their own
    precision.
    """
    packed = {
        f"{name}.weight": math.ceil(module.weight.numel() * module.weight_quantiser.bits / 8)
        for name, module in network.named_modules()
        if isinstance(module, (QuantisedConv2d, QuantisedLinear))
    }
    return sum(packed.get(key, _bytes(value)) for key, value in network.state_dict().items())


def precision_of(network: nn.Module) -> Precision:
    """The number format of more than half of the weights of convolutions and linear layers, else ``mixed``."""
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    counts: Counter[int] = Counter()
    for layer in layers:
        counts[_bits(layer)] += layer.weight.numel()
    if not counts:
        return Precision.FP32
    bits, most = counts.most_common(1)[0]
    if most * 2 <= counts.total():
        return Precision.MIXED
    return Precision.FP32 if bits == FLOAT_BITS else Precision(f"int{bits}")


def _bits(module: nn.Module) -> int:
    return module.weight_quantiser.bits if isinstance(module, (QuantisedConv2d, QuantisedLinear)) else FLOAT_BITS


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
