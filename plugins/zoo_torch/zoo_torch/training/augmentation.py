"""Random changes to pictures while they are still pixels.

What will happen to a whole batch is drawn first, as arrays of numbers; a part of the batch then takes its rows.  So
the pictures are the same however a batch is divided among accumulation steps, worker processes or devices.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from zoo_torch.training.params import Augmentation, AugmentationParams, Policy
from zoo_vision.datasets import Pictures
from zoo_vision.preprocessing import resized_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zoo_sdk.artifacts import Preprocessing

SHIFT_DIVISOR = 8
CROP_ATTEMPTS = 10
LOG_ASPECT = math.log(4 / 3)
"""The usual range of aspect ratios, 3/4 to 4/3."""


class Draws(NamedTuple):
    """What happens to each picture of a batch; every array has one row for each.

    ``shifts`` (batch, 2) and ``crops`` (batch, attempts, 4) are uniform in [0, 1).
    """

    mirrored: NDArray[np.bool_]
    shifts: NDArray[np.float64]
    crops: NDArray[np.float64]
    policy_seeds: NDArray[np.int64]

    def part(self, which: slice | NDArray[np.int64]) -> "Draws":
        """The rows of some of the pictures."""
        return Draws(self.mirrored[which], self.shifts[which], self.crops[which], self.policy_seeds[which])


@dataclass(frozen=True)
class Augmenter:
    """Changes pictures as ``params`` ask.

    ``frame``: the (height, width) that random_resized_crop makes, in the ``interpolation`` of the preprocessing.
    """

    params: AugmentationParams
    preprocessing: "Preprocessing"
    frame: tuple[int, int]

    @property
    def frames(self) -> bool:
        """Whether the pictures come out as the network is to see them, so that none is resized and cropped again."""
        return self.params.augmentation == "random_resized_crop"

    def draw(self, count: int, generator: np.random.Generator) -> Draws:
        """Draw for ``count`` pictures."""
        return Draws(
            generator.random(count) < 0.5,
            generator.random((count, 2)),
            generator.random((count, CROP_ATTEMPTS if self.frames else 0, 4)),
            generator.integers(0, 2**62, count),
        )

    def apply(self, pictures: Pictures, draws: Draws) -> Pictures:
        """Mirrored, shifted or cropped, then changed by the policy.  Shifted-in pixels are 0."""
        result = self._placed(pictures, draws)
        if self.params.augmentation_policy == "none":
            return result
        changed = [
            self._by_policy(picture, int(seed)) for picture, seed in zip(result, draws.policy_seeds, strict=True)
        ]
        return np.stack(changed) if isinstance(result, np.ndarray) else changed

    def _placed(self, pictures: Pictures, draws: Draws) -> Pictures:
        how: Augmentation = self.params.augmentation
        if how == "none":
            return pictures
        mirrored = _mirrored(pictures, draws.mirrored)
        if how == "flip":
            return mirrored
        if how == "flip_crop":
            if isinstance(mirrored, np.ndarray):
                return _shifted(mirrored, draws.shifts)
            return [_shifted(one[None], shift[None])[0] for one, shift in zip(mirrored, draws.shifts, strict=True)]
        framed = [self._random_part(one, tries) for one, tries in zip(mirrored, draws.crops, strict=True)]
        return np.stack(framed) if isinstance(pictures, np.ndarray) else framed

    def _random_part(self, picture: NDArray[np.uint8], tries: NDArray[np.float64]) -> NDArray[np.uint8]:
        top, left, height, width = random_part(picture.shape[:2], tries, self.params.random_crop_min_area)
        part = picture[top : top + height, left : left + width]
        return resized_to(part, self.frame, self.preprocessing.interpolation)

    def _by_policy(self, picture: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        flat = picture[:, :, 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture
        with _torch_chance(seed):
            changed = self._policy(Image.fromarray(np.ascontiguousarray(flat)))
        return np.asarray(changed, dtype=np.uint8).reshape(picture.shape)

    @cached_property
    def _policy(self) -> Callable[[Image.Image], Any]:
        # Takes as long to import as torch itself, and most trainings do without it.
        from torchvision.transforms import v2

        policy: Policy = self.params.augmentation_policy
        if policy == "randaugment":
            made = v2.RandAugment(self.params.randaugment_operations, self.params.randaugment_magnitude)
        else:
            made = v2.TrivialAugmentWide() if policy == "trivial_augment" else v2.AutoAugment()
        return made


@contextmanager
def _torch_chance(seed: int) -> "Iterator[None]":
    """Torchvision draws from torch's own generator: seed it for one picture, and put it back for the network."""
    former = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(former)


def _mirrored(pictures: Pictures, flags: NDArray[np.bool_]) -> Pictures:
    if isinstance(pictures, np.ndarray):
        result = pictures.copy()
        result[flags] = result[flags][:, :, ::-1]
        return result
    return [picture[:, ::-1] if flag else picture for picture, flag in zip(pictures, flags, strict=True)]


def _shifted(pictures: NDArray[np.uint8], shifts: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Shift (N, H, W[, C]) by up to an eighth of the size each way."""
    sizes = pictures.shape[1:3]
    margins = [size // SHIFT_DIVISOR for size in sizes]
    padding: Sequence[tuple[int, int]] = [(0, 0), *((margin, margin) for margin in margins)]
    padded = np.pad(pictures, [*padding, *[(0, 0)] * (pictures.ndim - 3)])
    tops, lefts = ((shifts[:, side] * (2 * margin + 1)).astype(np.int64) for side, margin in enumerate(margins))
    rows, columns = tops[:, None] + np.arange(sizes[0]), lefts[:, None] + np.arange(sizes[1])
    shifted: NDArray[np.uint8] = padded[np.arange(len(pictures))[:, None, None], rows[:, :, None], columns[:, None, :]]
    return shifted


def random_part(size: Sequence[int], tries: NDArray[np.float64], min_area: float) -> tuple[int, int, int, int]:
    """Top, left, height and width of a random part of a picture of ``size`` (height, width).

    Szegedy et al. 2014 (arXiv 1409.4842), section 6: an area of ``min_area`` to 1, an aspect ratio of 3/4 to 4/3.  The
    first of the ``tries`` that fits counts; if none does, the largest centred part of an allowed aspect ratio.
    """
    height, width = size
    for area_chance, aspect_chance, top_chance, left_chance in tries:
        area = height * width * (min_area + (1 - min_area) * area_chance)
        aspect = math.exp(LOG_ASPECT * (2 * aspect_chance - 1))
        part_height, part_width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < part_height <= height and 0 < part_width <= width:
            top, left = int(top_chance * (height - part_height + 1)), int(left_chance * (width - part_width + 1))
            return top, left, part_height, part_width
    part_height, part_width = min(height, round(width * 4 / 3)), min(width, round(height * 4 / 3))
    return (height - part_height) // 2, (width - part_width) // 2, part_height, part_width
