"""The inputs on which a model and its source are compared: real pictures where there are any, else random ones."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zoo_sdk.artifacts import Preprocessing
from zoo_vision.datasets import ImageSplit
from zoo_vision.preprocessing import random_inputs

BATCH = 32


@dataclass(frozen=True)
class ParityInputs:
    """``batches()`` begins anew each time (all inputs may not fit into memory at once) and always gives the same.

    ``origin``: ``data`` (of ``split``) or ``random``.
    """

    batches: Callable[[], Iterator[NDArray[np.float32]]]
    origin: Literal["data", "random"]
    split: str | None = None

    @property
    def dataset_port(self) -> str | None:
        """The input port whose data set they come from, as measurements name it."""
        return "data" if self.origin == "data" else None

    def sample(self, index: int) -> NDArray[np.float32]:
        """The input at that position, as a batch of one."""
        samples = (batch[position : position + 1] for batch in self.batches() for position in range(len(batch)))
        return next(islice(samples, index, None))


def random_parity_inputs(preprocessing: Preprocessing, samples: int, seed: int) -> ParityInputs:
    """Random pixels, preprocessed."""
    return ParityInputs(partial(_random_batches, preprocessing, samples, seed), "random")


def uniform_parity_inputs(shape: tuple[int, ...], samples: int, seed: int) -> ParityInputs:
    """Numbers from 0 to 1 of the ``shape`` of one sample, for a model that says nothing about its pictures."""
    return ParityInputs(partial(_uniform_batches, shape, samples, seed), "random")


def parity_inputs_of(split: ImageSplit, preprocessing: Preprocessing, samples: int, seed: int) -> ParityInputs:
    """``samples`` pictures drawn from the split with ``seed``."""
    return ParityInputs(partial(_real_batches, split, preprocessing, samples, seed), "data", split.name)


def outputs_over(
    infer: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    batches: Iterable[NDArray[np.float32]],
    *,
    largest: int,
    before_batch: Callable[[], None],
) -> NDArray[np.float32]:
    """All outputs (N, C) of a model that takes up to ``largest`` samples at once; ``before_batch`` may raise."""
    found = []
    for inputs in batches:
        before_batch()
        # A model with a fixed batch of its own takes the samples in portions of that.
        found += [infer(inputs[start : start + largest]) for start in range(0, len(inputs), largest)]
    return np.concatenate(found)


def flat(outputs: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """All outputs of a batch beside each other, (N, values), in float32."""
    rows = [np.asarray(output).reshape(len(output), -1) for output in outputs]
    return np.concatenate(rows, axis=1).astype(np.float32, copy=False)


def _random_batches(preprocessing: Preprocessing, samples: int, seed: int) -> Iterator[NDArray[np.float32]]:
    for start in range(0, samples, BATCH):
        yield random_inputs(preprocessing, min(BATCH, samples - start), seed + start)


def _uniform_batches(shape: tuple[int, ...], samples: int, seed: int) -> Iterator[NDArray[np.float32]]:
    for start in range(0, samples, BATCH):
        size = (min(BATCH, samples - start), *shape)
        yield np.random.default_rng(seed + start).random(size, dtype=np.float32)


def _real_batches(
    split: ImageSplit, preprocessing: Preprocessing, samples: int, seed: int
) -> Iterator[NDArray[np.float32]]:
    for inputs, _ in split.batches(preprocessing, BATCH, indices=split.random_indices(samples, seed)):
        yield inputs
