"""Frozen teachers: several networks that answer as one, each through its own preprocessing."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_torch.distillation.losses import Combination, combine_teachers
from zoo_torch.networks.weights import load_weights
from zoo_torch.training.batches import Batch, as_inputs
from zoo_torch.training.data import check_channels, model_preprocessing
from zoo_vision.agreement import check_pictures_fit
from zoo_vision.datasets import ImageSplit, Pictures

CACHE_BATCH = 500
MAX_CACHE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Teacher:
    """One network in evaluation mode.  ``preprocessing``: its own; ``weight``: its share, relative to the others'."""

    reference: str
    network: nn.Module
    preprocessing: Preprocessing
    weight: float


@dataclass(frozen=True)
class Teachers:
    """Answers with softened log-probabilities over the data set's classes."""

    members: tuple[Teacher, ...]
    temperature: float
    combine: Combination
    device: torch.device

    @torch.inference_mode()
    def answer(self, seen: Batch | Pictures) -> Tensor:
        """Log-probabilities at the temperature, (batch, classes), for raw pictures or a batch of them."""
        logits = []
        for member in self.members:
            outputs = member.network(as_inputs(seen, member.preprocessing, self.device))
            # A background class has no counterpart in the data set.
            logits.append(outputs[:, member.preprocessing.label_offset :])
        weights = [member.weight for member in self.members]
        return combine_teachers(logits, weights, self.temperature, self.combine)

    def answer_all(self, split: ImageSplit, positions: NDArray[np.int64], context: OperationContext) -> Tensor:
        """Call :meth:`answer` once for the pictures at ``positions``: (positions, classes) on the CPU."""
        parts = []
        for start in range(0, len(positions), CACHE_BATCH):
            context.raise_if_cancelled()
            parts.append(self.answer(split.source.take(positions[start : start + CACHE_BATCH])).cpu())
        # An inference tensor may not take part in a later backward pass; a copy may.
        return torch.cat(parts).clone()


def cache_fits(samples: int, classes: int) -> bool:
    """Whether the answers for all samples may be held in memory."""
    return samples * classes * 4 <= MAX_CACHE_BYTES


def load_teacher(item: InputItem, split: ImageSplit, fallback: Preprocessing, device: torch.device) -> Teacher:
    """Load one teacher and check that it knows the data set's classes and can see its pictures.

    Raises:
        InvalidInput: another number of classes, or pictures that it cannot take.

    """
    weights = load_weights(item)
    preprocessing = model_preprocessing(item) or fallback
    classes = weights.architecture.num_classes - preprocessing.label_offset
    if classes != len(split.classes):
        raise InvalidInput(
            f"The teacher {item.reference} knows {classes} classes, but the data set has {len(split.classes)}.",
            hint="Give a teacher that was trained on the classes of this data set.",
            facts={"field": "teacher", "teacher_classes": classes, "classes": len(split.classes)},
        )
    check_channels(item.reference, weights.architecture.in_chans, preprocessing)
    check_pictures_fit(split, preprocessing)
    network = weights.build().requires_grad_(requires_grad=False).eval()
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Teacher(item.reference, network, preprocessing, 1.0 if item.weight is None else item.weight)


def check_teacher_weights(teachers: tuple[Teacher, ...]) -> None:
    """Raise :class:`InvalidInput` unless all weights are at least 0 and one is above."""
    weights = [teacher.weight for teacher in teachers]
    if min(weights) < 0 or sum(weights) == 0:
        raise InvalidInput(
            f"The teachers' weights {weights} cannot be shares of one answer.",
            hint="Give weights of at least 0, one of them above 0.",
            facts={"field": "teacher"},
        )
