"""The front of AutoSlim: accuracy against operations, beside uniformly narrow networks."""

from collections.abc import Callable

from bench.methods.distilling import teachers
from bench.methods.making import Making
from bench.methods.pruning import ARCHITECTURE
from bench.methods.tables import Arm, Claim, Effort, MethodTable

EPOCHS = 3
TARGETS = (0.5, 0.3, 0.15)
"""Shares of the whole network's operations."""
WIDTHS = {"channel_bins": 12, "min_bins": 2, "round_to": 8}
"""Multiples of 8: with fewer than 8 channels, torch 2.14.1 corrupts the heap in the backward pass of strided 1 x 1
convolutions in channels-last layout (seen on AVX2 without AVX-512).
"""
FULL = "whole network"

COMPARES = """
Does the search of AutoSlim find better widths than narrowing all layers alike?

``torch.slim_supernet``, ``torch.slim_search`` and ``torch.slim_retrain`` (from fresh weights) against networks whose
layers all have the same share of their channels, at the same operations, trained from fresh weights for as many epochs
with the same seed.  What the supernet and the search cost comes on top of AutoSlim's side and is not counted.
"""


def table(effort: Effort) -> MethodTable:
    """The whole network; for each target the uniform and the found network."""
    shop = _Shop(effort)
    arms = [Arm(FULL, shop.full, few=True)]
    for target in TARGETS:
        few = target == TARGETS[0]
        arms += [
            Arm(_name("uniform", target), shop.uniform(target), FULL, few=few),
            Arm(_name("AutoSlim", target), shop.found(target), _name("uniform", target), few=few),
        ]
    claims = tuple(Claim(_name("AutoSlim", target), _name("uniform", target)) for target in TARGETS)
    return MethodTable("autoslim", COMPARES, tuple(arms), claims)


def _name(how: str, target: float) -> str:
    return f"{how}, {target * 100:g} % of the operations"


class _Shop:
    """Makes the makings of a seed."""

    def __init__(self, effort: Effort) -> None:
        self._effort = effort
        self._training = effort.training(EPOCHS)
        self._teacher = teachers(effort)[-1:]

    def full(self, seed: int) -> Making:
        return Making("torch.train", {"architecture": ARCHITECTURE, **self._training}, seed)

    def uniform(self, target: float) -> Callable[[int], Making]:
        """A shape is trained from fresh weights by ``torch.distill``; without a share of the teacher's loss it is
        training alone.
        """
        narrow = {"method": "random", "target_macs": target, "scope": "uniform", "epochs": 0, **self._effort.limits}
        fresh = {**self._training, "kd_weight": 0.0, "initialise": "scratch"}

        def making(seed: int) -> Making:
            pruned = Making("torch.prune", narrow, seed).with_inputs(model=self.full(seed))
            return Making("torch.distill", fresh, seed).with_inputs(student=pruned, teacher=self._teacher)

        return making

    def found(self, target: float) -> Callable[[int], Making]:
        """Supernet and search are made once per seed, for all targets."""
        supernet = {"architecture": ARCHITECTURE, **self._training, **WIDTHS}
        search = {"target_ratios": TARGETS, "limit_samples": min(2000, self._effort.samples or 2000)}
        retrain = {**self._training, "target_ratio": target, "initialise": "scratch"}

        def making(seed: int) -> Making:
            made = Making("torch.slim_supernet", supernet, seed)
            searched = Making("torch.slim_search", search, seed).with_inputs(supernet=made)
            return Making("torch.slim_retrain", retrain, seed).with_inputs(search=searched)

        return making
