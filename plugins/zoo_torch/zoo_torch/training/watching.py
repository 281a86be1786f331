"""Keeps an eye on an epoch's losses: reports their curve, and stops a training that has lost its way."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from zoo_sdk.context import OperationContext
from zoo_sdk.errors import OperationError
from zoo_torch.training.team import Team

METRICS_PER_EPOCH = 50
MAX_UNSEEN_LOSSES = 20
"""On a GPU, looking at a loss waits for its step; on a CPU each is looked at."""


@dataclass
class LossWatch:
    """The losses of epoch ``epoch`` (from 0), which has ``steps`` steps."""

    context: OperationContext
    team: Team
    epoch: int
    steps: int
    _unseen: list[Tensor] = field(default_factory=list, init=False)
    _unreported: list[float] = field(default_factory=list, init=False)

    @property
    def first_step(self) -> int:
        """The epoch's first, counted from 1 over the whole training."""
        return self.epoch * self.steps + 1

    @property
    def last_step(self) -> int:
        """The epoch's last."""
        return (self.epoch + 1) * self.steps

    def add(self, loss: Tensor, step: int, rate: float) -> None:
        """Take note of a step's loss; raises :class:`OperationError` when one is not a finite number."""
        self._unseen.append(loss)
        every = max(1, self.steps // METRICS_PER_EPOCH)
        due = step % every == 0 or step == self.last_step
        if due or loss.device.type == "cpu" or len(self._unseen) >= MAX_UNSEEN_LOSSES:
            self._look(step, rate)
        if due:
            mean = self.team.mean(torch.tensor(sum(self._unreported) / len(self._unreported), device=loss.device))
            self._unreported.clear()
            self.context.metric("train_loss", float(mean), step)
            self.context.metric("learning_rate", rate, step)

    def _look(self, step: int, rate: float) -> None:
        losses = torch.stack(self._unseen).tolist()
        self._unseen.clear()
        for number, loss in enumerate(losses, step - len(losses) + 1):
            if not math.isfinite(loss):
                raise self._lost("The loss", loss, number, rate)
        self._unreported += losses

    def check_weights(self, network: nn.Module, rate: float) -> None:
        """The last step's loss says nothing about the weights that it left; a checkpoint of them must be good."""
        for name, value in network.state_dict().items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise self._lost(f"The weight {name}", float("nan"), self.last_step, rate)

    def _lost(self, what: str, value: float, step: int, rate: float) -> OperationError:
        kept = f"  The checkpoint after epoch {self.epoch} is kept." if self.epoch else ""
        return OperationError(
            f"{what} became {value} at step {step} (learning rate {rate:.3g}).",
            hint=f"Lower learning_rate, lengthen warmup_epochs or set gradient_clip.{kept}",
            facts={"step": step, "learning_rate": rate, "epochs_kept": self.epoch},
        )
