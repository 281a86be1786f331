"""A network's outputs for a split, its score, and its cost: parameters and multiply-accumulate operations."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from zoo_sdk.artifacts import Preprocessing
from zoo_torch.loading import evaluation_batches
from zoo_vision.datasets import ImageSplit
from zoo_vision.scoring import ClassificationScore


def batch_outputs(
    network: nn.Module,
    split: ImageSplit,
    preprocessing: Preprocessing,
    *,
    device: torch.device,
    batch_size: int,
    limit: int | None = None,
) -> Iterator[tuple[torch.Tensor, NDArray[np.int64]]]:
    """Logits (batch, outputs) in evaluation mode, with the labels, in the order of the split."""
    network.eval()
    for images, labels in evaluation_batches(split, preprocessing, batch_size, limit=limit):
        with torch.inference_mode():
            inputs = torch.from_numpy(images).to(device, memory_format=torch.channels_last)
            logits = network(inputs)
        yield logits, labels


def score_network(
    network: nn.Module,
    split: ImageSplit,
    preprocessing: Preprocessing,
    *,
    device: torch.device,
    batch_size: int,
    limit: int | None = None,
    after_batch: Callable[[int], None],
) -> ClassificationScore:
    """Top-1, top-5 and loss over a split; ``after_batch(samples so far)`` may raise to stop."""
    score = ClassificationScore()
    outputs = batch_outputs(network, split, preprocessing, device=device, batch_size=batch_size, limit=limit)
    for logits, labels in outputs:
        score.update(logits.float().cpu().numpy(), labels)
        after_batch(score.samples)
    return score


def count_parameters(network: nn.Module) -> int:
    """Numbers that training changes (running statistics of normalisations are not)."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module, preprocessing: Preprocessing, device: torch.device) -> int:
    """Multiply-accumulate operations for one sample: half of torch's count of floating-point operations.

    Counts convolutions, matrix products and attention; not activations, normalisations and pooling.
    """
    network.eval()
    sample = torch.zeros((1, preprocessing.channels, *preprocessing.crop), device=device)
    # The counter does not know the fused attention of processors; the plain one is matrix products.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(sample)
    return int(counter.get_total_flops()) // 2
