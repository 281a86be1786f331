"""Teachers' answers: asked for at each step, or asked once, kept on the worker and looked up."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo_sdk.context import InputItem, OperationContext
from zoo_sdk.shared_cache import SharedCache
from zoo_torch.distillation.teachers import Teacher, Teachers
from zoo_torch.training.batches import Batch, TrainingBatches, as_inputs
from zoo_torch.training.team import Team

MAX_KEPT_BYTES = 10 * 2**30
"""Of all answers of a job together; ImageNet is 4.8 GiB for each teacher and version."""
PIXELS_AT_ONCE = 2**22
"""Of input tensors, so that asking needs less memory than training."""
MAX_AT_ONCE = 500
FORMAT = 1
"""Part of the key: to be raised when answers are computed or laid out otherwise."""


class Answers(Protocol):
    """Where a student's loss gets its teachers' logits from."""

    def begin(self, epoch: int) -> None:
        """Prepare for the batches of an epoch."""

    def logits(self, batch: Batch, inputs: Tensor) -> list[Tensor]:
        """Each teacher's, float32 (batch, classes), on the device; ``inputs`` are the student's."""


@dataclass(frozen=True)
class AskedAnswers:
    """The teachers are asked about each batch."""

    teachers: Teachers

    def begin(self, epoch: int) -> None:
        """Nothing to prepare."""
        del epoch

    def logits(self, batch: Batch, inputs: Tensor) -> list[Tensor]:
        """See :class:`Answers`."""
        return self.teachers.logits(batch, inputs)


@dataclass
class KeptAnswers:
    """Each teacher is asked once about each version of the pictures, by the first job that needs it.

    What is kept is float32 logits (samples, classes), before temperature, weights and combination, so that jobs that
    differ in these share it.  The key names everything that the logits depend on.  The files are mapped into memory:
    what is not looked at takes none.
    """

    teachers: Teachers
    batches: TrainingBatches
    data: InputItem
    context: OperationContext
    _views: dict[int, list[NDArray[np.float32]]] = field(default_factory=dict, init=False)
    _now: list[NDArray[np.float32]] = field(default_factory=list, init=False)

    @cached_property
    def _data_digest(self) -> str:
        return self.data.content_digest()

    def begin(self, epoch: int) -> None:
        """Have the answers to the epoch's version of the pictures, from the worker's cache or from the teachers."""
        view = epoch % (self.batches.params.views or 1)
        if view not in self._views:
            with Team.current().first_alone():
                self._views[view] = [self._answers_of(member, view) for member in self.teachers.members]
        self._now = self._views[view]

    def logits(self, batch: Batch, inputs: Tensor) -> list[Tensor]:
        """See :class:`Answers`."""
        rows = batch.indices.numpy()
        return [torch.from_numpy(kept[rows]).to(inputs.device, non_blocking=True) for kept in self._now]

    def _answers_of(self, teacher: Teacher, view: int) -> NDArray[np.float32]:
        cache, key = SharedCache(self.context.shared_cache), self._key(teacher, view)
        kept = cache.get(key)
        if kept is not None:
            self.context.log(f"The answers of {teacher.reference} were kept by an earlier job.")
        else:
            self.context.log(f"{teacher.reference} answers for {len(self.batches.positions)} pictures, once.")
            try:
                kept = cache.put(key, self._ask(teacher, view))
            except OSError as error:
                self.context.log(f"The answers of {teacher.reference} cannot be kept for later jobs: {error}.")
                kept = memoryview(b"".join(self._ask(teacher, view)))
        return np.frombuffer(kept, np.float32).reshape(len(self.batches.positions), -1)

    def _ask(self, teacher: Teacher, view: int) -> Iterator[memoryview]:
        height, width = teacher.preprocessing.crop
        at_once = max(1, min(MAX_AT_ONCE, PIXELS_AT_ONCE // (height * width)))
        with torch.inference_mode(), self.teachers.precision.autocast():
            for batch in self.batches.in_order(view, at_once):
                self.context.raise_if_cancelled()
                seen = as_inputs(
                    batch, teacher.preprocessing, self.teachers.device, channels_last=self.teachers.channels_last
                )
                yield teacher.logits(seen).cpu().contiguous().numpy().data.cast("B")

    def _key(self, teacher: Teacher, view: int) -> str:
        text = json.dumps(self._facts(teacher, view), sort_keys=True)
        return f"teacher-logits-{sha256(text.encode()).hexdigest()}"

    def _facts(self, teacher: Teacher, view: int) -> dict[str, Any]:
        batches, params = self.batches, self.batches.params
        changed = params.augmentation != "none" or params.augmentation_policy != "none"
        augmentation = params.model_dump(include=set(AUGMENTATION)) if changed else None
        dataset = self.data.dataset.model_dump(mode="json") if self.data.dataset else None
        return {
            "format": FORMAT,
            "teacher": teacher.digest,
            "teacher_sees": teacher.preprocessing.model_dump(mode="json"),
            "folded": teacher.folded,
            "data": self._data_digest,
            "dataset": dataset,
            "split": batches.split.name,
            "positions": sha256(batches.positions.tobytes()).hexdigest(),
            # The pictures are decoded, reduced and framed with the student in mind.
            "student_sees": batches.preprocessing.model_dump(mode="json"),
            "shorter_side": batches.shorter_side,
            "frame": batches.augmenter.frame if batches.augmenter.frames else None,
            "augmentation": augmentation,
            "view": view if changed else None,
            "computed_in": str(self.teachers.precision.dtype or torch.float32),
            "channels_last": self.teachers.channels_last,
            "device": self.teachers.device.type,
            # Sums are added up in another order with other numbers of threads.
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }


AUGMENTATION = (
    "augmentation",
    "random_crop_min_area",
    "augmentation_policy",
    "randaugment_operations",
    "randaugment_magnitude",
)


def can_be_kept(teachers: Teachers, batches: TrainingBatches, classes: int, context: OperationContext) -> bool:
    """Whether epochs show the same pictures again, and the answers to them are few enough to be kept.

    Tells people where the worker's disk is in the way.
    """
    views = batches.params.views
    if views is None:
        return False
    size = min(views, batches.params.epochs) * len(teachers.members) * len(batches.positions) * classes * 4
    if size > MAX_KEPT_BYTES:
        return False
    if shutil.disk_usage(context.shared_cache).free < 2 * size:
        context.log(f"Teachers are asked at each step: keeping their answers needs {2 * size / 2**30:.1f} GiB of disk.")
        return False
    return True
