"""The state of a training between epochs: everything that a resumed one needs to end with the same weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from zoo_sdk.context import OperationContext
from zoo_torch.training.ema import WeightAverage
from zoo_torch.training.method import Method
from zoo_torch.training.parameter_groups import match_layouts

LAYOUT = 2
"""Of the file: another release may keep other things."""


@dataclass
class TrainingState:
    """What changes while a network is trained.  ``epoch`` counts the finished; ``seconds`` adds up over attempts.

    Random states are not among it: they follow from the seed and the epoch (:mod:`zoo_torch.training.chance`).
    """

    network: nn.Module
    optimizer: Optimizer
    method: Method
    scaler: GradScaler
    average: WeightAverage | None = None
    epoch: int = 0
    seconds: float = 0.0

    @property
    def result(self) -> nn.Module:
        """The network that is tested and handed over."""
        return self.average.network if self.average else self.network

    def save(self, path: Path) -> None:
        """Write a file for :meth:`load`; tensors and plain values only."""
        torch.save(
            {
                "layout": LAYOUT,
                "epoch": self.epoch,
                "seconds": self.seconds,
                "network": self.network.state_dict(),
                "average": self.average.state() if self.average else None,
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "method": self.method.state(),
                "companions": {name: module.state_dict() for name, module in self.method.companions().items()},
            },
            path,
        )

    def load(self, saved: dict[str, Any]) -> None:
        """Go on from what :func:`read_checkpoint` gave, after :meth:`Method.resume` and with a fresh optimiser."""
        self.network.load_state_dict(saved["network"])
        for name, module in self.method.companions().items():
            module.load_state_dict(saved["companions"][name])
        if self.average is not None:
            self.average.resume(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        match_layouts(self.optimizer)
        self.scaler.load_state_dict(saved["scaler"])
        self.epoch, self.seconds = saved["epoch"], saved["seconds"]


def read_checkpoint(context: OperationContext) -> dict[str, Any] | None:
    """What the newest checkpoint of an earlier attempt holds; None where there is none that can be read.

    A file that a crash cut short is no reason to fail: the training starts from the beginning and says so.
    """
    path = context.restore()
    if path is None:
        return None
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 (a damaged file makes torch's unpickler raise any of ten kinds)
        context.log(f"The checkpoint of an earlier attempt cannot be read ({type(error).__name__}): starting over.")
        return None
    if saved.get("layout") != LAYOUT:
        context.log("The checkpoint of an earlier attempt was written by another release: starting over.")
        return None
    context.log(f"Resumed after epoch {saved['epoch']} from the checkpoint of an earlier attempt.")
    return saved
