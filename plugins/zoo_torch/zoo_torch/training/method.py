"""How a batch becomes gradients: the part of the training loop that differs between methods."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from zoo_torch.training.batches import Batch

Forward = Callable[[Tensor], Tensor]
"""Inputs (batch, C, H, W) to float32 logits (batch, outputs), in the trainer's mixed precision."""


class Method:
    """The plain parts of a training method; a method overrides what it needs.

    The trainer calls, in this order: :meth:`resume` (after an interruption), then for each epoch
    :meth:`before_epoch`, and for each batch :meth:`backward` and :meth:`after_backward`.
    """

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """A scalar to minimise, from the network's logits (batch, outputs)."""
        raise NotImplementedError

    def backward(self, forward: Forward, inputs: Tensor, batch: Batch, scale: Callable[[Tensor], Tensor]) -> Tensor:
        """Add this batch's gradients; returns the detached loss.  ``scale`` must be applied before ``backward()``.

        Override it where a step needs more than one pass through the network.
        """
        loss = self.loss(forward(inputs), batch)
        scale(loss).backward()
        return loss.detach()

    def before_epoch(self, epoch: int) -> bool:
        """Prepare epoch ``epoch`` (from 0).  True: the network's parameters were replaced, so the optimiser is new."""
        del epoch
        return False

    def carry_over(self, former: Optimizer, fresh: Optimizer) -> None:
        """After :meth:`before_epoch` said True: give the new optimiser what the former one knew of kept parameters."""

    def after_backward(self) -> None:
        """Change gradients before the optimiser's step (sparse training adds its own)."""

    def companions(self) -> Mapping[str, nn.Module]:
        """Modules that are trained and kept in checkpoints with the network, but are no part of the result."""
        return {}

    def state(self) -> dict[str, Any]:
        """What :meth:`resume` needs besides the weights: plain values and tensors."""
        return {}

    def resume(self, state: dict[str, Any]) -> None:
        """Bring the network into the shape that it had when :meth:`state` was taken, before its weights are loaded."""


class Objective(Method):
    """A method that is nothing but a loss of (logits, batch)."""

    def __init__(self, loss: Callable[[Tensor, Batch], Tensor]) -> None:
        self._loss = loss

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The given function's value."""
        return self._loss(logits, batch)
