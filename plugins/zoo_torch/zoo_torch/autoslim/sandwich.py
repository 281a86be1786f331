"""The sandwich rule: how a slimmable supernet learns from one batch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from zoo_torch.autoslim.groups import Choice, WidthGroup
from zoo_torch.autoslim.params import SlimSupernetParams
from zoo_torch.autoslim.slicing import running_at
from zoo_torch.training.batches import Batch
from zoo_torch.training.losses import label_loss
from zoo_torch.training.method import Forward, Method


def in_place_distillation(logits: Tensor, widest: Tensor) -> Tensor:
    """Mean over the batch of KL(widest || narrow), a scalar in nats; no gradient reaches the widest network.

    Yu and Huang 2019 (arXiv 1903.05134), inplace distillation: the widest network's prediction of the same batch is the
    only label of the narrower ones.

    Args:
        logits: the narrow network's, (batch, outputs).
        widest: the widest network's, of the same shape.

    """
    target = F.log_softmax(widest.detach().float(), dim=1)
    return F.kl_div(F.log_softmax(logits.float(), dim=1), target, reduction="batchmean", log_target=True)


class Sandwich(Method):
    """Per batch the widest network, the narrowest, and random ones; their gradients add up.

    Yu and Huang 2019 (arXiv 1903.05134), the sandwich rule: the widest and the narrowest bound the accuracy
    of all others.  Unlike there, every group draws its own width, because the search of Yu and Huang 2019 (arXiv
    1903.11728) asks for networks of unequal widths.  The loss that is reported is the widest network's plus
    the mean of the others'.
    """

    def __init__(
        self,
        network: nn.Module,
        groups: Sequence[WidthGroup],
        options: Mapping[str, Sequence[int]],
        params: SlimSupernetParams,
        seed: int,
    ) -> None:
        """``options``: ascending widths by group name."""
        self._network = network
        self._groups = tuple(groups)
        self._options = {group.name: tuple(options[group.name]) for group in groups}
        self._params = params
        self._seed = seed
        self._parts = 0

    @property
    def narrowest(self) -> Choice:
        """The least width of every group."""
        return {name: widths[0] for name, widths in self._options.items()}

    def backward(self, forward: Forward, inputs: Tensor, batch: Batch, scale: Callable[[Tensor], Tensor]) -> Tensor:
        """Add the gradients of all networks of this batch's sandwich."""
        widest = forward(inputs)
        loss = label_loss(widest, batch, self._params.label_smoothing)
        scale(loss).backward()
        others = [self._learn_from(widest, choice, forward, inputs, scale) for choice in self._narrower()]
        return loss.detach() + torch.stack(others).mean()

    def _learn_from(
        self,
        widest: Tensor,
        choice: Choice,
        forward: Forward,
        inputs: Tensor,
        scale: Callable[[Tensor], Tensor],
    ) -> Tensor:
        with running_at(self._network, self._groups, choice):
            loss = in_place_distillation(forward(inputs), widest)
            scale(loss).backward()
        return loss.detach()

    def _narrower(self) -> list[Choice]:
        """The narrowest and this batch's random ones, which depend on the seed and the batch's number only.

        All parts of an accumulated batch take the same, as if it had been computed at once.
        """
        generator = np.random.default_rng([self._seed, self._parts // self._params.accumulation_steps])
        self._parts += 1
        drawn: list[Choice] = [
            {name: widths[int(generator.integers(len(widths)))] for name, widths in self._options.items()}
            for _ in range(self._params.random_subnets)
        ]
        return [self.narrowest, *drawn]

    def state(self) -> dict[str, Any]:
        """How many parts of batches were seen: the next random widths follow from it."""
        return {"parts": self._parts}

    def resume(self, state: dict[str, Any]) -> None:
        """Go on with the random widths where :meth:`state` was taken."""
        self._parts = state["parts"]
