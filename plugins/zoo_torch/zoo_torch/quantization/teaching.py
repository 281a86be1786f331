"""What a quantised network learns from: labels, and if there are any, float teachers."""

from collections.abc import Callable, Sequence

from torch import Tensor

from zoo_torch.distillation.answers import Answers
from zoo_torch.distillation.losses import combine_teachers, distillation_loss
from zoo_torch.quantization.params import QuantizeAwareParams
from zoo_torch.training.batches import Batch
from zoo_torch.training.losses import label_loss
from zoo_torch.training.method import Forward, Method


class TaughtByLabels(Method):
    """Cross-entropy."""

    def __init__(self, params: QuantizeAwareParams) -> None:
        self._params = params

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean cross-entropy against the labels, which may be mixed."""
        return label_loss(logits, batch, self._params.label_smoothing)


class TaughtByTeachers(TaughtByLabels):
    """(1 - w) CE + w T^2 KL: Esser et al. 2020, section 3.7, with w = 1/2 and T = 1.

    ``weights``: one for each teacher; ``label_offset``: outputs before the data set's classes, which no teacher knows.
    """

    def __init__(
        self, params: QuantizeAwareParams, answers: Answers, weights: Sequence[float], label_offset: int
    ) -> None:
        super().__init__(params)
        self._answers = answers
        self._weights = weights
        self._label_offset = label_offset

    def before_epoch(self, epoch: int) -> bool:
        """See :meth:`Method.before_epoch`."""
        self._answers.begin(epoch)
        return False

    def backward(self, forward: Forward, inputs: Tensor, batch: Batch, scale: Callable[[Tensor], Tensor]) -> Tensor:
        """See :meth:`Method.backward`."""
        params = self._params
        answers = self._answers.logits(batch, inputs)
        logits = forward(inputs)
        target = combine_teachers(answers, self._weights, params.temperature, params.combine)
        imitation = distillation_loss(logits[:, self._label_offset :], target, params.temperature)
        loss = (1 - params.kd_weight) * self.loss(logits, batch) + params.kd_weight * imitation
        scale(loss).backward()
        return loss.detach()
