"""Training batches: the pictures of a split, shuffled, and augmented while they are still pixels."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from numpy.typing import NDArray
from torch import Tensor

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.errors import InvalidInput
from zoo_torch.loading import default_workers, load
from zoo_torch.training.augmentation import Augmenter, Draws
from zoo_torch.training.chance import Purpose, generator_for
from zoo_torch.training.mixing import Mixing, draw_mixing
from zoo_torch.training.params import TrainingParams
from zoo_vision.datasets import ImageSplit, Pictures
from zoo_vision.preprocessing import prepare, reduced


class Batch(NamedTuple):
    """``pictures`` as they were seen (after augmentation, before preprocessing), with their own int64 ``labels``.

    ``indices`` count within :attr:`TrainingBatches.positions`.  ``mixing``: how the pictures are mixed in pairs, after
    each network's own preprocessing; :func:`as_inputs` does it, and :meth:`soft_labels` says what the mixture is.
    ``framed``: the pictures show what every network is to see, so they are resized to its input and not cropped.
    """

    pictures: Pictures
    indices: Tensor
    labels: Tensor
    mixing: Mixing | None = None
    framed: bool = False

    def soft_labels(self, outputs: int, label_smoothing: float = 0.0) -> Tensor:
        """The target distribution of each sample, float32 (batch, outputs) on the CPU."""
        targets = F.one_hot(self.labels, outputs).float()
        if self.mixing is not None:
            targets = torch.lerp(targets[self.mixing.permutation], targets, self.mixing.share)
        return targets * (1 - label_smoothing) + label_smoothing / outputs


def as_inputs(
    seen: Batch | Pictures, preprocessing: Preprocessing, device: torch.device, *, channels_last: bool = True
) -> Tensor:
    """Float32 (batch, C, H, W) on the device: how a network with this preprocessing sees a batch, or plain pictures.

    A batch is mixed here, so that it is the same mixture for every network.
    """
    batch = seen if isinstance(seen, Batch) else None
    pictures: Any = batch.pictures if batch is not None else seen
    if batch is not None and batch.framed:
        preprocessing = _without_framing(pictures, preprocessing)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    tensor = torch.from_numpy(prepare(pictures, preprocessing)).to(device, memory_format=layout, non_blocking=True)
    return tensor if batch is None or batch.mixing is None else batch.mixing.apply(tensor)


def _without_framing(pictures: Pictures, preprocessing: Preprocessing) -> Preprocessing:
    """The preprocessing with a resize that just covers the network's input."""
    height, width = pictures[0].shape[:2]
    factor = max(preprocessing.crop[0] / height, preprocessing.crop[1] / width)
    resize = None if factor == 1 else math.ceil(factor * min(height, width))
    return preprocessing.model_copy(update={"resize": resize})


class _Drawn(NamedTuple):
    """A part of a batch as it comes from a worker process."""

    pictures: Pictures
    indices: NDArray[np.int64]


class _EpochParts:
    """The parts of an epoch's batches, in order; item n is part ``n % parts`` of step ``n // parts``."""

    def __init__(self, batches: "TrainingBatches", epoch: int) -> None:
        self._batches = batches
        self._epoch = epoch
        self._order = generator_for(Purpose.ORDER, batches.seed, epoch).permutation(len(batches.positions))

    def __getitem__(self, number: int, /) -> _Drawn:
        batches = self._batches
        step, part = divmod(number, batches.parts)
        which = batches.rows_of(part)
        indices = self._order[step * batches.batch_size :][: batches.batch_size][which]
        if batches.params.augmentation_views is not None:
            return batches.view(self._epoch % batches.params.augmentation_views, indices)
        generator = generator_for(Purpose.AUGMENTATION, batches.seed, self._epoch, step)
        draws = batches.augmenter.draw(batches.batch_size, generator)
        return batches.changed(indices, draws.part(which))


class _OrderedParts:
    """Every sample once, in ascending order, in one of its versions; item n is the n-th ``size`` of them."""

    def __init__(self, batches: "TrainingBatches", view: int, size: int) -> None:
        self._batches = batches
        self._view = view
        self._size = size

    def __getitem__(self, number: int, /) -> _Drawn:
        end = min((number + 1) * self._size, len(self._batches.positions))
        return self._batches.view(self._view, np.arange(number * self._size, end))


@dataclass
class TrainingBatches:
    """Shuffled batches of one size.  An epoch's order, augmentation and mixing follow from the seed and its number.

    Args:
        split: where pictures and labels come from.
        params: batch size, accumulation, augmentation, mixing and limit.
        preprocessing: that of the trained network.
        seed: the source of all chance.
        viewers: the preprocessing of further networks that see the pictures, so that these stay large enough for them.
        device_index: which of the ``devices`` this process is; each gets an equal share of every batch.
        devices: processes that train together.

    ``positions``: what is trained on, in ascending order; with a limit, a sample drawn with the seed (the first ones of
    an image folder would all be of one class).

    Raises:
        InvalidInput: the batch cannot be divided among the devices and accumulation steps.

    """

    split: ImageSplit
    params: TrainingParams
    preprocessing: Preprocessing
    seed: int
    viewers: Sequence[Preprocessing] = ()
    device_index: int = 0
    devices: int = 1

    def __post_init__(self) -> None:
        self.positions = self.split.random_indices(self.params.limit_samples or len(self.split), self.seed)
        self.labels = torch.from_numpy(self.split.labels[self.positions] + self.preprocessing.label_offset)
        self.parts = self.params.accumulation_steps
        shares = self.parts * self.devices
        self.batch_size = min(self.params.batch_size, len(self.positions)) // shares * shares
        if self.batch_size == 0 or self.params.batch_size % shares:
            raise InvalidInput(
                f"A batch of {min(self.params.batch_size, len(self.positions))} samples cannot be divided among "
                f"{self.devices} devices and {self.parts} accumulation steps.",
                hint=f"Give a batch_size that is a multiple of {shares}, and at least as many samples.",
                facts={"field": "batch_size"},
            )
        seen_by = (self.preprocessing, *self.viewers)
        frame = max((one.crop for one in seen_by), key=math.prod)
        self.augmenter = Augmenter(self.params, self.preprocessing, frame)
        self.shorter_side = self._shorter_side(seen_by)
        self._view: tuple[int, Draws] | None = None

    def _shorter_side(self, seen_by: Sequence[Preprocessing]) -> int | None:
        """Photographs are reduced as soon as they are decoded: what no network looks at need not wait in memory."""
        sizes = [one.resize for one in seen_by if one.resize is not None]
        if self.split.source.in_memory or self.augmenter.frames or len(sizes) < len(seen_by):
            return None
        return max(sizes)

    @property
    def steps(self) -> int:
        """Batches in an epoch; an incomplete last one is left out, because it would weigh its samples more."""
        return len(self.positions) // self.batch_size

    @property
    def workers(self) -> int:
        """Processes that decode and augment."""
        if self.params.loader_workers is not None:
            return self.params.loader_workers
        return default_workers(self.split)

    def rows_of(self, part: int) -> slice:
        """This device's rows of a part of a batch."""
        share = self.batch_size // (self.parts * self.devices)
        start = (part * self.devices + self.device_index) * share
        return slice(start, start + share)

    def changed(self, indices: NDArray[np.int64], draws: Draws) -> _Drawn:
        """The samples at ``indices``, augmented."""
        pictures = self.split.source.take(self.positions[indices])
        if self.shorter_side is not None:
            pictures = [reduced(one, self.shorter_side, self.preprocessing.interpolation) for one in pictures]
        return _Drawn(self.augmenter.apply(pictures, draws), indices)

    def view(self, number: int, indices: NDArray[np.int64]) -> _Drawn:
        """The samples at ``indices`` in their version ``number``, which depends on nothing but the picture's place."""
        return self.changed(indices, self._draws_of_view(number).part(self.positions[indices]))

    def _draws_of_view(self, number: int) -> Draws:
        if self._view is None or self._view[0] != number:
            self._view = number, self.augmenter.draw(len(self.split), generator_for(Purpose.VIEW, number))
        return self._view[1]

    def in_order(self, view: int, size: int) -> Iterator[Batch]:
        """Every sample once, in ascending order, at most ``size`` at a time, unmixed: what a version's epochs show.

        Args:
            view: the version, from 0 to ``params.views - 1``.
            size: samples at a time.

        """
        for drawn in load(_OrderedParts(self, view, size), math.ceil(len(self.positions) / size), self.workers):
            indices = torch.from_numpy(drawn.indices)
            yield Batch(drawn.pictures, indices, self.labels[indices], None, self.augmenter.frames)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch ``number`` (from 0); with accumulation, the parts of each batch one after the other."""
        for place, drawn in enumerate(load(_EpochParts(self, number), self.steps * self.parts, self.workers)):
            indices = torch.from_numpy(drawn.indices)
            # Partners are found within what a device computes at once.
            chance = generator_for(Purpose.MIXING, self.seed, number, place, self.device_index)
            mixing = draw_mixing(self.params, len(indices), self.preprocessing.crop, chance)
            yield Batch(drawn.pictures, indices, self.labels[indices], mixing, self.augmenter.frames)
