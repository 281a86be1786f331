"""Mixing the samples of a batch in pairs: mixup and cutmix, drawn once and applied alike for every network."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zoo_torch.training.params import TrainingParams

Box = tuple[float, float, float, float]
"""Top, left, bottom and right as shares of the height and the width."""


@dataclass(frozen=True)
class Mixing:
    """Sample i of a batch keeps ``share`` of itself; the rest comes from sample ``permutation[i]``.

    ``box`` None: both pictures are laid over each other (mixup).  Otherwise the partner's pixels replace the box
    (cutmix), and ``share`` is the area outside it.  The box is relative, so that networks of different input sizes
    see the same mixture.
    """

    permutation: Tensor
    share: float
    box: Box | None = None

    def apply(self, inputs: Tensor) -> Tensor:
        """Mix network inputs (batch, C, H, W), after normalisation; the same shape and memory layout."""
        partners = inputs[self.permutation.to(inputs.device)]
        if self.box is None:
            # A weighted mean commutes with (x - mean) / std, so every preprocessing mixes the same pictures.
            return torch.lerp(partners, inputs, self.share)
        height, width = inputs.shape[2:]
        top, left, bottom, right = self.box
        rows = slice(round(top * height), round(bottom * height))
        columns = slice(round(left * width), round(right * width))
        mixed = inputs.clone()
        mixed[:, :, rows, columns] = partners[:, :, rows, columns]
        return mixed


def draw_mixing(
    params: TrainingParams, count: int, size: tuple[int, int], generator: np.random.Generator
) -> Mixing | None:
    """How to mix a batch of ``count`` samples, or None: not at all.

    Mixup: Zhang et al. 2017 (arXiv 1710.09412), equation 1 with lambda ~ Beta(alpha, alpha).  Cutmix: Yun et al. 2019
    (arXiv 1905.04899), equations 1 and 2; lambda is then corrected to the area that was really cut.  Where both are
    asked for, each batch takes one of them with equal chances.

    Args:
        params: ``mixup_alpha``, ``cutmix_alpha`` and ``mixing_probability``.
        count: samples in the batch.
        size: (height, width) of the trained network's inputs; boxes are drawn in whole pixels of it.
        generator: the only source of chance.

    """
    alphas = {"mixup": params.mixup_alpha, "cutmix": params.cutmix_alpha}
    wanted = [name for name, alpha in alphas.items() if alpha > 0]
    # Drawn in any case, so that what is drawn next does not depend on this one.
    chance, choice = generator.random(2)
    if not wanted or chance >= params.mixing_probability:
        return None
    name = wanted[int(choice * len(wanted))]
    share = float(generator.beta(alphas[name], alphas[name]))
    permutation = torch.from_numpy(generator.permutation(count))
    if name == "mixup":
        return Mixing(permutation, share)
    box = _draw_box(share, size, generator)
    return Mixing(permutation, 1 - (box[2] - box[0]) * (box[3] - box[1]), box)


def _draw_box(share: float, size: tuple[int, int], generator: np.random.Generator) -> Box:
    """A box of (1 - share) of the area around a random pixel; what lies outside the picture is cut off."""
    edges = []
    for length in size:
        half = round(length * math.sqrt(1 - share)) / 2
        centre = int(generator.integers(length))
        edges.append((max(0, math.floor(centre - half)) / length, min(length, math.floor(centre + half)) / length))
    (top, bottom), (left, right) = edges
    return top, left, bottom, right
