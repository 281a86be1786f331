"""The state of a training between epochs: everything that a resumed one needs to end with the same weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from zoo_sdk.context import OperationContext
from zoo_torch.training.method import Method


@dataclass
class TrainingState:
    """What changes while a network is trained.  ``epoch`` counts the finished; ``seconds`` adds up over attempts."""

    network: nn.Module
    optimizer: Optimizer
    scheduler: LambdaLR
    method: Method
    epoch: int = 0
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        """Write a file for :meth:`load`; tensors and plain numbers only."""
        torch.save(
            {
                "epoch": self.epoch,
                "seconds": self.seconds,
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "method": self.method.state(),
                "companions": {name: module.state_dict() for name, module in self.method.companions().items()},
                "random": torch.get_rng_state(),
                "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            },
            path,
        )

    def renew(self, optimizer: Optimizer, scheduler: LambdaLR) -> None:
        """Go on with a new optimiser at the same point of the schedule."""
        scheduler.load_state_dict(self.scheduler.state_dict())
        for group, rate in zip(optimizer.param_groups, scheduler.get_last_lr(), strict=True):
            group["lr"] = rate
        self.optimizer, self.scheduler = optimizer, scheduler

    def load(self, path: Path) -> None:
        """Go on from a file of :meth:`save`, including torch's random state."""
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        self.method.resume(saved["method"])
        self.network.load_state_dict(saved["network"])
        for name, module in self.method.companions().items():
            module.load_state_dict(saved["companions"][name])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scheduler.load_state_dict(saved["scheduler"])
        torch.set_rng_state(saved["random"])
        if saved["random_cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(saved["random_cuda"])
        self.epoch, self.seconds = saved["epoch"], saved["seconds"]


def resume(state: TrainingState, context: OperationContext) -> bool:
    """Load the newest checkpoint of an earlier attempt; False where there is none that can be read.

    A file that a crash cut short is no reason to fail: the training starts from the beginning and says so.
    """
    path = context.restore()
    if path is None:
        return False
    try:
        state.load(path)
    except Exception as error:  # noqa: BLE001 (a damaged file makes torch's unpickler raise any of ten kinds)
        context.log(f"The checkpoint of an earlier attempt cannot be read ({type(error).__name__}): starting over.")
        return False
    context.log(f"Resumed after epoch {state.epoch} from the checkpoint of an earlier attempt.")
    return True
