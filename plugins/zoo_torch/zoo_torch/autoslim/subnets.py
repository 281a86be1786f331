"""Narrow networks cut out of a supernet, their batch statistics, and what they achieve on held-out pictures."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import OperationContext
from zoo_torch.autoslim.groups import Choice, WidthGroup, layers_at
from zoo_torch.autoslim.report import Figures
from zoo_torch.measuring.scoring import count_macs
from zoo_torch.networks.narrowing import narrow
from zoo_torch.training.batches import as_inputs
from zoo_vision.datasets import ImageSplit
from zoo_vision.scoring import ClassificationScore

MAX_CACHED_BYTES = 2**30
"""Of prepared pictures, which every candidate sees; more are prepared anew each time."""


def extract(supernet: nn.Module, groups: Sequence[WidthGroup], choice: Choice) -> nn.Module:
    """A network of its own with the leading channels of the chosen widths; its batch statistics are still to come."""
    subnet = copy.deepcopy(supernet)
    narrow(subnet, layers_at(supernet, groups, choice))
    return subnet


def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Compute the running statistics of batch normalisations anew, as the mean over all ``batches``.

    Yu and Huang 2019 (arXiv 1903.05134), section 3: those of the supernet belong to its full width; a few batches
    suffice.  Everything else stays in evaluation mode.
    """
    network.eval()
    normalisations = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [module.momentum for module in normalisations]
    for module in normalisations:
        module.reset_running_stats()
        module.momentum = None  # the plain mean over all batches, not a moving one that forgets the first
        module.train()
    with torch.no_grad():
        for inputs in batches:
            network(inputs)
    for module, momentum in zip(normalisations, momenta, strict=True):
        module.momentum = momentum
    network.eval()


@dataclass
class PreparedPictures:
    """Some pictures of a split as inputs on a device, kept there if they are few."""

    split: ImageSplit
    positions: NDArray[np.int64]
    preprocessing: Preprocessing
    device: torch.device
    batch_size: int
    _kept: list[tuple[Tensor, NDArray[np.int64]]] = field(default_factory=list, init=False)

    def __len__(self) -> int:
        return len(self.positions)

    def batches(self) -> Iterator[tuple[Tensor, NDArray[np.int64]]]:
        """Inputs (batch, C, H, W) with labels as the network numbers them, always in the same order."""
        if self._kept:
            yield from self._kept
            return
        made = []
        keep = len(self) * self.preprocessing.channels * np.prod(self.preprocessing.crop) * 4 <= MAX_CACHED_BYTES
        for start in range(0, len(self), self.batch_size):
            part = self.positions[start : start + self.batch_size]
            inputs = as_inputs(self.split.source.take(part), self.preprocessing, self.device)
            batch = (inputs, self.split.labels[part] + self.preprocessing.label_offset)
            made += [batch] if keep else []
            yield batch
        self._kept = made


@dataclass(frozen=True)
class Judge:
    """Says what a network achieves once its batch statistics fit it: on held-out pictures, never on the test split."""

    calibration: PreparedPictures
    held_out: PreparedPictures
    context: OperationContext

    def figures(self, network: nn.Module) -> Figures:
        """Recalibrate ``network``, leave it so, and measure it.

        Raises:
            Cancelled: between two batches.

        """
        recalibrate(network, self._calibration_inputs())
        score = ClassificationScore()
        with torch.inference_mode():
            for inputs, labels in self.held_out.batches():
                self.context.raise_if_cancelled()
                score.update(network(inputs).float().cpu().numpy(), labels)
        macs = count_macs(network, self.held_out.preprocessing, self.held_out.device)
        return Figures(macs=macs, top1=score.top1, loss=score.loss)

    def _calibration_inputs(self) -> Iterator[Tensor]:
        for inputs, _labels in self.calibration.batches():
            self.context.raise_if_cancelled()
            yield inputs
