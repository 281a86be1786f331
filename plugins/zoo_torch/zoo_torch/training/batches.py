"""Training batches: torch's DataLoader over the pictures of a split, augmented while they are still pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from zoo_sdk.artifacts import Preprocessing
from zoo_vision.datasets import ImageSplit, Pictures
from zoo_vision.preprocessing import prepare

Augmentation = Literal["none", "flip", "flip_crop"]
SHIFT_DIVISOR = 8


class Batch(NamedTuple):
    """``pictures`` as they were seen (after augmentation, before preprocessing), with int64 labels.

    ``indices`` count within :attr:`TrainingBatches.positions`.
    """

    pictures: Pictures
    indices: Tensor
    labels: Tensor


class _SplitDataset(Dataset[Batch]):
    """Hands the DataLoader whole batches, so that pictures are fetched and augmented together."""

    def __init__(
        self, split: ImageSplit, positions: NDArray[np.int64], augmentation: Augmentation, label_offset: int
    ) -> None:
        self._split = split
        self._positions = positions
        self._augmentation = augmentation
        self._labels = torch.from_numpy(split.labels[positions] + label_offset)
        self.generator = np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self._positions)

    def __getitems__(self, indices: list[int]) -> Batch:
        chosen = torch.tensor(indices)
        pictures = augmented(self._split.source.take(self._positions[indices]), self._augmentation, self.generator)
        return Batch(pictures, chosen, self._labels[chosen])


def _as_is(batch: Any) -> Any:
    return batch


@dataclass
class TrainingBatches:
    """Shuffled batches of one size.  Each epoch's order and augmentation depend on the seed and its number only.

    ``positions``: what is trained on, in ascending order; with a ``limit``, a sample drawn with the seed (the first
    ones of an image folder would all be of one class).
    """

    split: ImageSplit
    batch_size: int
    augmentation: Augmentation
    label_offset: int
    seed: int
    limit: int | None = None

    def __post_init__(self) -> None:
        self.positions = self.split.random_indices(self.limit or len(self.split), self.seed)
        self.batch_size = min(self.batch_size, len(self.positions))

    @property
    def steps(self) -> int:
        """Batches in an epoch; an incomplete last one is left out, because it would weigh its samples more."""
        return len(self.positions) // self.batch_size

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch ``number`` (from 0)."""
        dataset = _SplitDataset(self.split, self.positions, self.augmentation, self.label_offset)
        dataset.generator = np.random.default_rng([self.seed, number])
        order = torch.Generator().manual_seed(int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0]))
        # No worker processes: small pictures lie in memory, and the attempt's threads are all in use by the network.
        return iter(
            DataLoader(
                dataset,
                self.batch_size,
                shuffle=True,
                drop_last=True,
                generator=order,
                collate_fn=_as_is,
                num_workers=0,
            )
        )


def as_inputs(pictures: Pictures, preprocessing: Preprocessing, device: torch.device) -> Tensor:
    """Float32 (batch, C, H, W) on the device, in the channels-last memory layout that convolutions like best."""
    tensor = torch.from_numpy(prepare(pictures, preprocessing))
    return tensor.to(device, memory_format=torch.channels_last, non_blocking=True)


def augmented(pictures: Pictures, how: Augmentation, generator: np.random.Generator) -> Pictures:
    """Mirror and shift pictures at random; they keep their shapes.  Shifted-in pixels are 0."""
    if how == "none":
        return pictures
    mirror = generator.random(len(pictures)) < 0.5
    if isinstance(pictures, np.ndarray):
        result = pictures.copy()
        result[mirror] = result[mirror][:, :, ::-1]
        return result if how == "flip" else np.stack([_shifted(picture, generator) for picture in result])
    flipped = [picture[:, ::-1] if flag else picture for picture, flag in zip(pictures, mirror, strict=True)]
    return flipped if how == "flip" else [_shifted(picture, generator) for picture in flipped]


def _shifted(picture: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    margins = [size // SHIFT_DIVISOR for size in picture.shape[:2]]
    top, left = (int(generator.integers(0, 2 * margin + 1)) for margin in margins)
    padding: Sequence[tuple[int, int]] = [(margin, margin) for margin in margins] + [(0, 0)] * (picture.ndim - 2)
    padded = np.pad(picture, padding)
    return padded[top : top + picture.shape[0], left : left + picture.shape[1]]
