"""The learning rate at each step: a linear warm-up, then a cosine, steps or a constant."""

import math
from collections.abc import Callable

from zoo_torch.training.params import OptimisationParams


def rate_share(params: OptimisationParams, steps_per_epoch: int) -> Callable[[int], float]:
    """From a step (from 0) to the learning rate's share of its peak.

    The cosine is that of Loshchilov and Hutter 2017 (arXiv 1608.03983), equation 5, without restarts.
    """
    total = params.epochs * steps_per_epoch
    # At least one step must remain after the warm-up.
    warmup = min(round(params.warmup_epochs * steps_per_epoch), total - 1)

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if params.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))
        passed = sum(step >= round(milestone * steps_per_epoch) for milestone in params.milestones)
        return float(params.gamma**passed)

    return share
