"""Quantised networks as inputs of operations."""

from pathlib import Path

import torch
from torch import nn

from tests.plugins.zoo_torch.samples import PREPROCESSING
from zoo_sdk.artifacts import ArtifactDescription, Preprocessing
from zoo_sdk.context import InputItem
from zoo_torch.networks.architectures import Architecture
from zoo_torch.quantization.calibration import calibrate
from zoo_torch.quantization.integers import to_integers
from zoo_torch.quantization.network import quantise
from zoo_torch.quantization.scheme import QuantizationScheme
from zoo_vision.integer.files import write_network


def quantised(
    name: str = "zoo:conv_tiny",
    scheme: QuantizationScheme | None = None,
    *,
    shape: tuple[int, int, int] = (1, 8, 8),
    seed: int = 0,
) -> tuple[nn.Module, torch.Tensor]:
    """An untrained network with normalisations that do something, and inputs that it was calibrated on."""
    torch.manual_seed(seed)
    network = Architecture(name=name, num_classes=10, in_chans=shape[0]).build()
    inputs = torch.randn(32, *shape)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.5)
        network.train()
        for _ in range(20):
            network(inputs)
    network = quantise(network, scheme or QuantizationScheme()).eval()
    calibrate(network, [inputs])
    return network, inputs


def packed_model(folder: Path, preprocessing: Preprocessing = PREPROCESSING) -> InputItem:
    """An untrained network in 4 bits, packed."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = (preprocessing.channels, *preprocessing.crop)
    network, _ = quantised(scheme=QuantizationScheme(weight_bits=4, activation_bits=4), shape=shape)
    write_network(to_integers(network, shape), folder / "model.integers")
    artifact = ArtifactDescription(format="zoo-integer", files=("model.integers",), preprocessing=preprocessing)
    return InputItem(reference=f"digits/{folder.name}@1", folder=folder, artifact=artifact)
