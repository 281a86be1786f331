"""The smallest ratio with which a target is met: bisection over what the pruned network costs."""

from collections.abc import Callable
from dataclasses import dataclass

from zoo_sdk.errors import InvalidInput


@dataclass(frozen=True)
class Goal:
    """The highest cost that is accepted: of the parameter ``field``, in words such as ``multiply-accumulates``."""

    field: str
    target: float
    what: str


def smallest_ratio(cost: Callable[[float], float], goal: Goal, *, highest: float, steps: int) -> float:
    """Bisect between 0 and ``highest``; costs are taken to fall as the ratio rises.

    Args:
        cost: of the network that is pruned with that ratio.
        goal: what is to be reached.
        highest: the largest ratio.
        steps: halvings of the interval.

    Raises:
        InvalidInput: the network meets the target already, or cannot.

    """
    target, what = goal.target, goal.what
    base = cost(0.0)
    if base <= target:
        raise InvalidInput(
            f"The network has {base:.6g} {what} already, no more than the target of {target:.6g}.",
            hint="Give a lower target.",
            facts={"field": goal.field, "base": base, "target": target},
        )
    least = cost(highest)
    if least > target:
        raise InvalidInput(
            f"Even with the ratio {highest:g} the network has {least:.6g} {what}, above the target of {target:.6g}.",
            hint="Give a higher target or max_ratio, or prune layers that are ignored.",
            facts={"field": goal.field, "least": least, "target": target},
        )
    low, high = 0.0, highest
    for _ in range(steps):
        middle = (low + high) / 2
        if cost(middle) <= target:
            high = middle
        else:
            low = middle
    return high
