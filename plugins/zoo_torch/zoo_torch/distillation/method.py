"""The training method of distillation: labels, teachers' answers and hidden layers in one loss."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo_torch.distillation.answers import Answers
from zoo_torch.distillation.hidden import HiddenLayers
from zoo_torch.distillation.losses import (
    combine_teachers,
    decoupled_loss,
    distillation_loss,
    normalised_loss,
    target_class,
)
from zoo_torch.distillation.params import DistillParams
from zoo_torch.distillation.teachers import Teachers
from zoo_torch.training.batches import Batch
from zoo_torch.training.losses import label_loss
from zoo_torch.training.method import Forward, Method

Scale = Callable[[Tensor], Tensor]


@dataclass
class AnswerLoss:
    """What the student's logits cost: against the labels, and as the parameters ask against the teachers' logits.

    ``label_offset``: outputs of the student before the data set's classes, which no teacher speaks about.
    """

    params: DistillParams
    weights: list[float]
    label_offset: int
    epoch: int = 0

    def __call__(self, logits: Tensor, answers: list[Tensor], batch: Batch) -> Tensor:
        """kd: c (1 - w) CE + w T^2 KL; others: c CE + their own loss; c is ``label_weight``.  A scalar."""
        params, method = self.params, self.params.compares_answers
        truth = params.label_weight * label_loss(logits, batch, params.label_smoothing)
        if method == "none":
            return truth
        own = logits[:, self.label_offset :]
        target = self._combined(answers, params.temperature)
        if method == "kd":
            imitation = distillation_loss(own, target, params.temperature)
            return (1 - params.kd_weight) * truth + params.kd_weight * imitation
        label = target_class(batch, self.label_offset, logits.device)
        if method == "dkd":
            loss = decoupled_loss(own, target, label, params.temperature, alpha=params.dkd_alpha, beta=params.dkd_beta)
            return truth + self._warm_up() * loss
        plain = target if params.temperature == 1 else self._combined(answers, 1)
        return truth + normalised_loss(own, plain, target, label, params.temperature, gamma=params.nkd_gamma)

    def _combined(self, answers: list[Tensor], temperature: float) -> Tensor:
        return combine_teachers(answers, self.weights, temperature, self.params.combine)

    def _warm_up(self) -> float:
        """The authors' min(epoch / warm-up, 1), whose first epoch is 1."""
        length = self.params.dkd_warmup_epochs
        return min((self.epoch + 1) / length, 1.0) if length else 1.0


class Distillation(Method):
    """Compares answers only: the teachers' may be kept."""

    def __init__(self, loss: AnswerLoss, answers: Answers) -> None:
        self._loss = loss
        self._answers = answers

    def before_epoch(self, epoch: int) -> bool:
        """See :meth:`Method.before_epoch`."""
        self._loss.epoch = epoch
        self._answers.begin(epoch)
        return False

    def backward(self, forward: Forward, inputs: Tensor, batch: Batch, scale: Scale) -> Tensor:
        """See :meth:`Method.backward`."""
        answers = self._answers.logits(batch, inputs)
        loss = self._loss(forward(inputs), answers, batch)
        scale(loss).backward()
        return loss.detach()


class HiddenDistillation(Method):
    """Compares hidden layers, and perhaps answers: the teachers run in every step."""

    def __init__(self, loss: AnswerLoss, teachers: Teachers, hidden: HiddenLayers) -> None:
        self._loss = loss
        self._teachers = teachers
        self._hidden = hidden

    def companions(self) -> Mapping[str, nn.Module]:
        """Adapters, mask tokens and generators."""
        return {"comparisons": self._hidden.comparisons}

    def before_epoch(self, epoch: int) -> bool:
        """See :meth:`Method.before_epoch`."""
        self._loss.epoch = epoch
        return False

    def backward(self, forward: Forward, inputs: Tensor, batch: Batch, scale: Scale) -> Tensor:
        """See :meth:`Method.backward`."""
        answers, others = self._teachers.observe(batch, inputs, self._hidden.teacher_taps)
        with self._hidden.student_tap.recording() as own:
            logits = forward(inputs)
        with self._teachers.precision.autocast():
            hidden = self._hidden.loss(own, others)
        loss = self._loss(logits, answers, batch) + torch.as_tensor(hidden)
        scale(loss).backward()
        return loss.detach()
