"""A race: contenders that do the same work take turns, so that a machine that slows down favours nobody."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench.figures import Figure, Goal, ratios
from bench.operations import Outcome, perform
from bench.reporting import say
from bench.timing import rotated
from zoo_sdk.context import InputItem
from zoo_torch.networks.weights import load_weights
from zoo_vision.agreement import preprocessing_of
from zoo_vision.datasets import open_split
from zoo_vision.preprocessing import prepare

BATCH = 128
Contender = Callable[[], float]
"""Does the work once; answers the seconds of the part that counts."""


class Samples(NamedTuple):
    """Normalised float32 pictures (samples, C, H, W) and int64 labels, ready in memory."""

    pictures: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Arena:
    """What all contenders of all races share.  ``steps``: of one epoch of :data:`BATCH` pictures."""

    data: InputItem
    folder: Path
    steps: int
    threads: int
    device: str = "cpu"

    @property
    def limit(self) -> int:
        """Pictures of an epoch."""
        return self.steps * BATCH

    @property
    def devices(self) -> tuple[str, ...]:
        """As the operations take them."""
        return ("cuda:0",) if self.device == "cuda" else ("cpu",)

    def network_item(self, architecture: str) -> InputItem:
        """A network of ours with its file: one step of training, so that its weights are not degenerate."""
        params = {"architecture": architecture, "epochs": 1, "limit_samples": BATCH, "limit_test_samples": BATCH}
        return self.perform("torch.train", params, {}, f"base-{architecture.partition(':')[2]}")[0]

    def perform(
        self, operation: str, params: Mapping[str, object], inputs: Mapping[str, InputItem], name: str
    ) -> tuple[InputItem, float]:
        """What an operation makes from these and the data set, and the seconds of its training loop alone."""
        folder = self.folder / f"{name}-{sum(1 for _ in self.folder.glob(f'{name}-*'))}"
        outcome = self.outcome(operation, params, {**inputs, "data": self.data}, folder)
        assert outcome.made is not None
        return outcome.made, outcome.measured["train_seconds"]

    def outcome(
        self, operation: str, params: Mapping[str, object], inputs: Mapping[str, InputItem], folder: Path
    ) -> Outcome:
        """Everything about one run of an operation."""
        return perform(operation, params, inputs, folder=folder, seed=0, threads=self.threads, devices=self.devices)

    def samples(self, item: InputItem) -> Samples:
        """The pictures of an epoch as a network takes them."""
        split = open_split(self.data, "train")
        positions = split.random_indices(self.limit, 0)
        pictures = torch.from_numpy(prepare(split.source.take(positions), preprocessing_of(item)))
        return Samples(pictures.to(self.device), torch.from_numpy(split.labels[positions]).to(self.device))

    def network(self, item: InputItem) -> nn.Module:
        """A network for a loop that is not ours, in the layout that torch gives it."""
        return load_weights(item).build().to(self.device)

    def wait(self) -> None:
        """Until the device has done what it was told."""
        if self.device == "cuda":
            torch.cuda.synchronize()


def race(contenders: Mapping[str, Contender], *, rounds: int, threads: int) -> dict[str, list[float]]:
    """The seconds of every contender in each round, after one run each that does not count."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(-1, rounds):
        for name in rotated(list(contenders), turn + 1):
            torch.set_num_threads(threads)
            seconds = contenders[name]()
            if turn >= 0:
                found[name].append(seconds)
        say(f"{'warm-up' if turn < 0 else f'round {turn + 1} of {rounds}'} done")
    return found


class Ratio(NamedTuple):
    """How many times as long ``slower`` takes as ``faster``, round by round."""

    slower: str
    faster: str
    goal: Goal | None = None

    def figure(self, title: str, seconds: Mapping[str, Sequence[float]]) -> Figure | None:
        """Its median with the smallest and the largest; None where one of the two did not run."""
        if self.slower not in seconds or self.faster not in seconds:
            return None
        values = ratios(seconds[self.slower], seconds[self.faster])
        return Figure.of(f"{title}: {self.slower} / {self.faster}, time", values, goal=self.goal)


class Heat(NamedTuple):
    """One race.  ``enter`` gives its contenders, and notes those that cannot run here; ``steps``: what is timed is an
    epoch of the arena's steps, else one piece of work.
    """

    title: str
    enter: Callable[[Arena, list[str]], Mapping[str, Contender]]
    ratios: Sequence[Ratio]
    steps: bool = True
