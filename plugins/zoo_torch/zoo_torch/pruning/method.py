"""Pruning as a training method: sparse training first, removals before the epochs of a plan, fine-tuning after."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from zoo_torch.pruning.params import ImportanceName
from zoo_torch.pruning.plan import Cut, Plan
from zoo_torch.pruning.pruner import Pruner
from zoo_torch.pruning.sparsity import push_down
from zoo_torch.training.batches import Batch
from zoo_torch.training.method import Objective


class Pruning(Objective):
    """Trains with a loss of (logits, batch), and prunes ``pruner.network`` meanwhile.

    Args:
        loss: as for :class:`Objective`.
        pruner: what is pruned; its state is kept in checkpoints.
        plan: removals by the epoch before which they happen.
        perform: does one removal.
        sparse: importance and strength of sparse training, which lasts until the first removal; None: none.
        facts: plain values that are filled by ``perform`` and kept in checkpoints.

    """

    def __init__(
        self,
        loss: Callable[[Tensor, Batch], Tensor],
        pruner: Pruner,
        plan: Plan,
        perform: Callable[[Cut, int], None],
        sparse: tuple[ImportanceName, float] | None,
        facts: dict[str, Any],
    ) -> None:
        super().__init__(loss)
        self._pruner = pruner
        self._plan = plan
        self._perform = perform
        self._sparse = sparse
        self._facts = facts
        self._epoch = 0
        self._former: dict[str, nn.Parameter] = {}

    def before_epoch(self, epoch: int) -> bool:
        """Remove what is planned before this epoch."""
        self._epoch = epoch
        self._former = dict(self._pruner.network.named_parameters())
        self._pruner.parts = {}
        for cut in self._plan.get(epoch, ()):
            self._perform(cut, epoch)
        return epoch in self._plan

    def carry_over(self, former: Optimizer, fresh: Optimizer) -> None:
        """The momentum of the channels that are left."""
        for name, parameter in self._pruner.network.named_parameters():
            old = self._former[name]
            known = former.state.get(old)
            if known is not None:
                fresh.state[parameter] = {
                    key: self._pruner.part_of(name, value) if getattr(value, "shape", None) == old.shape else value
                    for key, value in known.items()
                }

    def after_backward(self) -> None:
        """Sparse training's own gradients."""
        if self._sparse is not None and self._epoch < min(self._plan):
            importance, strength = self._sparse
            push_down(self._pruner.network, self._pruner.structure.groups, importance, strength)

    def state(self) -> dict[str, Any]:
        """Kept channels, scores and what was found."""
        return {**self._pruner.state(), "facts": self._facts}

    def resume(self, state: dict[str, Any]) -> None:
        """Narrow the network as it was."""
        self._pruner.restore(state)
        self._facts.update(state["facts"])
