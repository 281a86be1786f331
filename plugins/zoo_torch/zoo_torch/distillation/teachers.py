"""Frozen teachers: several networks, each of which sees the pictures through its own preprocessing."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput
from zoo_sdk.shared_cache import digest_of_file
from zoo_torch.distillation.features import FeatureTap
from zoo_torch.distillation.folding import folded
from zoo_torch.networks.weights import load_weights
from zoo_torch.training.batches import Batch, as_inputs
from zoo_torch.training.data import check_channels, model_preprocessing
from zoo_torch.training.precision import MixedPrecision
from zoo_vision.agreement import check_pictures_fit
from zoo_vision.datasets import ImageSplit

FOLDING_SAMPLE = 8


@dataclass(frozen=True)
class Teacher:
    """One network in evaluation mode.

    ``preprocessing``: its own; ``weight``: its share, relative to the others'; ``digest``: of its weights' file;
    ``folded``: how many of its batch normalisations were folded away.
    """

    reference: str
    network: nn.Module
    preprocessing: Preprocessing
    weight: float
    digest: str
    folded: int = 0

    def logits(self, inputs: Tensor) -> Tensor:
        """Float32 (batch, classes of the data set): a background class has no counterpart there."""
        outputs: Tensor = self.network(inputs)
        return outputs[:, self.preprocessing.label_offset :].float()


@dataclass(frozen=True)
class Teachers:
    """The teachers of a student, asked about batches.  They build no graph and keep their running statistics.

    ``student``: the preprocessing whose inputs are at hand, which teachers that see alike share.
    """

    members: tuple[Teacher, ...]
    student: Preprocessing
    device: torch.device
    precision: MixedPrecision
    channels_last: bool = True

    @property
    def weights(self) -> list[float]:
        """One for each."""
        return [member.weight for member in self.members]

    def logits(self, batch: Batch, inputs: Tensor) -> list[Tensor]:
        """Each teacher's logits, (batch, classes).

        Args:
            batch: the pictures as they were seen, and how they are mixed.
            inputs: the same for the student, mixed as well.

        """
        with torch.inference_mode(), self.precision.autocast():
            answers = [member.logits(seen) for member, seen in self._views(batch, inputs)]
        # An inference tensor may not be saved for a backward pass; a copy may.
        return [answer.clone() for answer in answers]

    def observe(
        self, batch: Batch, inputs: Tensor, taps: Sequence[FeatureTap]
    ) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """Each teacher's logits, and the outputs of its tapped layers by name."""
        answers, layers = [], []
        # Not in inference mode: the layers' outputs, which are large, would have to be copied.
        with torch.no_grad(), self.precision.autocast(), ExitStack() as stack:
            recorded = [stack.enter_context(tap.recording()) for tap in taps]
            for (member, seen), found in zip(self._views(batch, inputs), recorded, strict=True):
                answers.append(member.logits(seen))
                layers.append(found)
        return answers, layers

    def _views(self, batch: Batch, inputs: Tensor) -> Iterator[tuple[Teacher, Tensor]]:
        """Each teacher with the batch as it sees it; made once for those that see alike."""
        made = {_appearance(self.student): inputs}
        for member in self.members:
            key = _appearance(member.preprocessing)
            if key not in made:
                made[key] = as_inputs(batch, member.preprocessing, self.device, channels_last=self.channels_last)
            yield member, made[key]


def _appearance(preprocessing: Preprocessing) -> Preprocessing:
    """What decides how pictures look: all but the numbering of classes."""
    return preprocessing.model_copy(update={"label_offset": 0})


@dataclass(frozen=True)
class Classroom:
    """What a teacher is loaded for: ``split`` is what it will see, ``fallback`` serves one without preprocessing.

    ``keep``: names of layers that will be looked at.
    """

    split: ImageSplit
    fallback: Preprocessing
    device: torch.device
    channels_last: bool = True
    keep: tuple[str, ...] = ()


def load_teachers(items: Sequence[InputItem], room: Classroom) -> tuple[Teacher, ...]:
    """Load all; see :func:`load_teacher`.

    Raises:
        InvalidInput: one does not fit the data set, or the weights are no shares.

    """
    weights = [1.0 if item.weight is None else item.weight for item in items]
    if min(weights) < 0 or sum(weights) == 0:
        raise InvalidInput(
            f"The teachers' weights {weights} cannot be shares of one answer.",
            hint="Give weights of at least 0, one of them above 0.",
            facts={"field": "teacher"},
        )
    return tuple(load_teacher(item, room) for item in items)


def load_teacher(item: InputItem, room: Classroom) -> Teacher:
    """Load one teacher and check that it knows the data set's classes and can see its pictures.

    Raises:
        InvalidInput: another number of classes, other or differently ordered names, pictures that it cannot take, or
            answers that are no numbers.

    """
    weights = load_weights(item)
    preprocessing = model_preprocessing(item) or room.fallback
    classes = weights.architecture.num_classes - preprocessing.label_offset
    if classes != len(room.split.classes):
        raise InvalidInput(
            f"The teacher {item.reference} knows {classes} classes, but the data set has {len(room.split.classes)}.",
            hint="Give a teacher that was trained on the classes of this data set.",
            facts={"field": "teacher", "teacher_classes": classes, "classes": len(room.split.classes)},
        )
    check_class_names(item, room.split.classes, "teacher")
    check_channels(item.reference, weights.architecture.in_chans, preprocessing)
    check_pictures_fit(room.split, preprocessing)
    network = weights.build().requires_grad_(requires_grad=False).eval()
    layout = torch.channels_last if room.channels_last else torch.contiguous_format
    network.to(room.device, memory_format=layout)  # type: ignore[call-overload]
    pictures = room.split.source.take(range(min(FOLDING_SAMPLE, len(room.split))))
    sample = as_inputs(pictures, preprocessing, room.device, channels_last=room.channels_last)
    with torch.inference_mode():
        if not bool(network(sample).isfinite().all()):
            raise InvalidInput(
                f"The teacher {item.reference} answers with values that are no finite numbers.",
                hint="Give a teacher whose training did not diverge.",
                facts={"field": "teacher"},
            )
    network, count = folded(network, sample, room.keep, item.reference)
    weight = 1.0 if item.weight is None else item.weight
    return Teacher(item.reference, network, preprocessing, weight, digest_of_file(item.main_file), count)


def check_class_names(item: InputItem, classes: Sequence[str], field: str) -> None:
    """Raise :class:`InvalidInput` where a model names its classes, and not as the data set does, in the same order."""
    named = item.artifact.details.get("classes") if item.artifact else None
    if not isinstance(named, list) or named == list(classes):
        return
    place, own, wanted = next(
        ((k, own, wanted) for k, (own, wanted) in enumerate(zip(named, classes, strict=False)) if own != wanted),
        (min(len(named), len(classes)), "nothing", "nothing"),
    )
    raise InvalidInput(
        f"The {field} {item.reference} calls class {place} {own!r}, the data set calls it {wanted!r}.",
        hint="Use models and data sets with the same classes in the same order.",
        facts={"field": field, "class": place},
    )
