"""A part of the training split that is not trained on: there, unlike on the test split, choices may be measured."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo_sdk.errors import InvalidInput
from zoo_vision.datasets import ImageSplit, Indices, Pictures, PictureSource

SEED = 20_190_328
"""Every job holds out the same pictures of a split: none may measure on what another with its own seed trained on."""


@dataclass(frozen=True)
class _Chosen:
    """Some of a source's pictures."""

    source: PictureSource
    positions: NDArray[np.int64]

    @property
    def in_memory(self) -> bool:
        return self.source.in_memory

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, indices: Indices) -> Pictures:
        return self.source.take(self.positions[np.asarray(indices, dtype=np.int64)])

    def shapes(self) -> set[tuple[int, int, int]]:
        return self.source.shapes()


def without_held_out(split: ImageSplit, share: float) -> ImageSplit:
    """What is left for training.

    Raises:
        InvalidInput: nothing is.

    """
    held = _held_positions(split, share)
    return _part(split, np.setdiff1d(np.arange(len(split)), held))


def held_out(split: ImageSplit, share: float) -> ImageSplit:
    """The part that :func:`without_held_out` leaves out.

    Raises:
        InvalidInput: it is empty.

    """
    return _part(split, _held_positions(split, share))


def _held_positions(split: ImageSplit, share: float) -> NDArray[np.int64]:
    return split.random_indices(round(len(split) * share), SEED)


def _part(split: ImageSplit, positions: NDArray[np.int64]) -> ImageSplit:
    if len(positions) == 0:
        raise InvalidInput(
            f"The split {split.name!r} with {len(split)} samples is too small to hold out a part of it.",
            hint="Give a larger data set, or another held_out.",
            facts={"field": "held_out"},
        )
    return ImageSplit(_Chosen(split.source, positions), split.labels[positions], split.classes, split.name)
