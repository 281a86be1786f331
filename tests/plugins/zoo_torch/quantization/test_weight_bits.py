"""Bits per weight and the packed size."""

import pytest
from torch import nn

from zoo_torch.quantization.network import quantise
from zoo_torch.quantization.scheme import LayerBits, QuantizationScheme
from zoo_torch.quantization.weight_bits import effective_bits, effective_size_bytes


def network() -> nn.Module:
    """Weights of 18, 4, 100 and 20 numbers."""
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 1), nn.Linear(10, 10), nn.Linear(10, 2))


def test_a_float_network_has_32_bits_and_the_size_of_its_tensors() -> None:
    assert effective_bits(network()) == 32
    assert effective_size_bytes(network()) == 4 * (18 + 2 + 4 + 2 + 100 + 10 + 20 + 2)


def test_bits_are_weighted_by_the_number_of_weights() -> None:
    overrides = {"1": "float", "2": LayerBits(weight_bits=3)}
    quantised = quantise(network(), QuantizationScheme(weight_bits=4, overrides=overrides, unsigned=()))
    assert effective_bits(quantised) == pytest.approx((18 * 8 + 4 * 32 + 100 * 3 + 20 * 8) / 142)


def test_packed_weights_of_a_layer_begin_at_a_whole_byte() -> None:
    overrides = {"1": "float", "2": LayerBits(weight_bits=3)}
    scheme = QuantizationScheme(weight_bits=4, per_channel=False, overrides=overrides, unsigned=())
    packed = 18 + 4 * 4 + 38 + 20
    biases, steps = 4 * (2 + 2 + 10 + 2), 4 * 2 * 3
    assert effective_size_bytes(quantise(network(), scheme)) == packed + biases + steps
