"""Classification scores: top-1, top-5 and mean cross-entropy, with the counts behind them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo_sdk.context import OperationContext
from zoo_sdk.errors import InvalidInput, OperationError

SMALLEST_CLASS_COUNT_FOR_TOP5 = 6


@dataclass
class ClassificationScore:
    """Collects over batches.

    A sample's rank is the number of classes placed before its label; equal outputs are placed in the order of the
    classes, as argmax does.
    """

    samples: int = 0
    correct: int = 0
    correct_top5: int = 0
    classes: int = 0
    _loss_sum: float = 0.0
    _probabilities: bool | None = field(default=None, repr=False)

    def update(self, logits: NDArray[Any], labels: NDArray[np.int64]) -> None:
        """Add a batch: ``logits`` (B, C) as any float, ``labels`` (B,) in 0..C-1.

        Raises:
            OperationError: the outputs are not (B, C) or not finite.
            InvalidInput: a label is not one of the C classes.

        """
        if logits.ndim != 2 or len(logits) != len(labels):
            raise OperationError(f"The model gave outputs of the shape {logits.shape} for {len(labels)} samples.")
        if not np.isfinite(logits).all():
            raise OperationError("The model gave an output that is not a finite number.", hint="Check its weights.")
        if len(labels) == 0:
            return
        if labels.min() < 0 or labels.max() >= logits.shape[1]:
            raise InvalidInput(f"A label is {labels.max()}, but the model has {logits.shape[1]} outputs.")
        values = logits.astype(np.float64)
        self.classes = values.shape[1]
        own = values[np.arange(len(labels)), labels][:, None]
        earlier = np.arange(self.classes)[None, :] < labels[:, None]
        rank = (values > own).sum(axis=1) + ((values == own) & earlier).sum(axis=1)
        self.samples += len(labels)
        self.correct += int((rank == 0).sum())
        self.correct_top5 += int((rank < 5).sum())
        self._loss_sum += float(self._losses(values, own[:, 0]).sum())

    def _losses(self, values: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._probabilities is None:
            # A network that ends in a softmax (usual for Keras) gives probabilities; a second softmax would be wrong.
            self._probabilities = bool((values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=1e-3))
        if self._probabilities:
            return np.asarray(-np.log(np.maximum(own, 1e-12)))
        peak = values.max(axis=1)
        return np.asarray(np.log(np.exp(values - peak[:, None]).sum(axis=1)) + peak - own)

    @property
    def top1(self) -> float:
        """Percent of samples whose label has the largest output."""
        return 100 * self.correct / self._counted()

    @property
    def top5(self) -> float | None:
        """Percent of samples whose label is among the five largest outputs; None under six classes."""
        samples = self._counted()
        return None if self.classes < SMALLEST_CLASS_COUNT_FOR_TOP5 else 100 * self.correct_top5 / samples

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        return self._loss_sum / self._counted()

    @property
    def output_kind(self) -> str:
        """What the model was taken to give: ``logits`` or ``probabilities``."""
        return "probabilities" if self._probabilities else "logits"

    def _counted(self) -> int:
        if not self.samples:
            raise OperationError("Nothing was scored: the split or its limit holds no sample.")
        return self.samples


def report(
    context: OperationContext,
    score: ClassificationScore,
    *,
    dataset: str,
    split: str,
    runtime: str,
    device: str,
    details: Mapping[str, Any],
) -> None:
    """Measure ``top1``, ``top5`` (from six classes) and ``loss`` with their counts; ``dataset`` is the input port."""
    facts = {**details, "samples": score.samples, "classes": score.classes, "outputs": score.output_kind}
    measured = [("top1", score.top1, {"correct": score.correct}), ("loss", score.loss, {})]
    if score.top5 is not None:
        measured.append(("top5", score.top5, {"correct": score.correct_top5}))
    for name, value, counts in measured:
        context.measure(
            name, value, dataset=dataset, split=split, runtime=runtime, device=device, details={**facts, **counts}
        )
