"""Narrow networks cut out of a supernet, their batch statistics, and what they achieve on held-out pictures."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo_sdk.context import OperationContext
from zoo_torch.autoslim.groups import Choice, WidthGroup, layers_at
from zoo_torch.autoslim.report import Figures
from zoo_torch.measuring.prepared import PreparedPictures
from zoo_torch.measuring.scoring import count_macs
from zoo_torch.networks.narrowing import narrow


def extract(supernet: nn.Module, groups: Sequence[WidthGroup], choice: Choice) -> nn.Module:
    """A network of its own with the leading channels of the chosen widths; its batch statistics are still to come."""
    subnet = copy.deepcopy(supernet)
    narrow(subnet, layers_at(supernet, groups, choice))
    return subnet


def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Compute the running statistics of batch normalisations anew, as the mean over all ``batches``.

    Yu and Huang 2019 (arXiv 1903.05134), post-statistics: those of the supernet belong to its full width; a few batches
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
        stop = self.context.raise_if_cancelled
        recalibrate(network, self.calibration.inputs(stop))
        score = self.held_out.score(network, stop)
        macs = count_macs(network, self.held_out.preprocessing, self.held_out.device)
        return Figures(macs=macs, top1=score.top1, loss=score.loss)
