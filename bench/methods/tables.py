"""What a table is: arms, each with what it is compared with, and the claims that are judged."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from bench.methods.making import Making

FIRST_SEED = 300
"""Far from 0, where settings are usually tried out, and from the seeds on which the demo's were."""
TEACHER_SEED = 1000


@dataclass(frozen=True)
class Effort:
    """How much is trained: ``epochs`` and ``samples`` shorten everything (None: the table's own)."""

    epochs: int | None = None
    samples: int | None = None

    def training(self, epochs: int) -> Mapping[str, object]:
        """The parameters that all trainings of all tables share; ``epochs`` are the table's own."""
        chosen = min(epochs, self.epochs or epochs)
        settings: dict[str, object] = {
            "epochs": chosen,
            "batch_size": 128,
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "momentum": 0.9,
            "weight_decay": 5e-4,
            "warmup_epochs": 0.25,
            "augmentation": "none",
            "evaluate_each_epoch": False,
        }
        return {**settings, **self.limits}

    @property
    def limits(self) -> Mapping[str, int]:
        """The parameters that shorten training and test, where they are to be shortened."""
        return {"limit_samples": self.samples, "limit_test_samples": self.samples} if self.samples else {}


@dataclass(frozen=True)
class Arm:
    """One way to make a network.

    ``baseline``: the arm that had the same budget without the method; ``timed``: whether its latency in PyTorch says
    anything (that of simulated integers does not); ``few``: part of a short run.
    """

    name: str
    making: Callable[[int], Making]
    baseline: str | None = None
    timed: bool = True
    few: bool = False


@dataclass(frozen=True)
class Claim:
    """``arm`` is better than ``against`` by more than the spread or, with ``within``, at most so many points worse."""

    arm: str
    against: str
    within: float | None = None


@dataclass(frozen=True)
class MethodTable:
    """A question, the arms that answer it (baselines before what is compared with them), the claims, the teachers."""

    name: str
    compares: str
    arms: tuple[Arm, ...]
    claims: tuple[Claim, ...]
    teachers: tuple[Making, ...] = ()

    def arm(self, name: str) -> Arm:
        """The arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)

    def shortened(self) -> "MethodTable":
        """Only the arms that are marked as ``few``."""
        return self._with({arm.name for arm in self.arms if arm.few})

    def about(self, words: Collection[str]) -> "MethodTable":
        """Only the arms whose names contain one of the words, and what these are compared with."""
        names = {arm.name for arm in self.arms if any(word in arm.name for word in words)}
        while missing := {self.arm(name).baseline for name in names} - names - {None}:
            names |= {name for name in missing if name}
        return self._with(names)

    def _with(self, names: Collection[str]) -> "MethodTable":
        arms = tuple(arm for arm in self.arms if arm.name in names)
        claims = tuple(claim for claim in self.claims if claim.arm in names and claim.against in names)
        return replace(self, arms=arms, claims=claims)
