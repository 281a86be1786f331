"""The metrics of image classification: top-1, top-5, loss, per class, confusion, calibration and predictions."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.errors import OperationError
from zoo_vision.calibration import Calibration, calibration
from zoo_vision.datasets import ImageSplit
from zoo_vision.families import Finding, MetricFamily, register_family
from zoo_vision.scoring import ClassificationScore

TASK = "image-classification"
MAX_CLASSES_LISTED = 2000
MAX_CONFUSIONS_LISTED = 20_000
MAX_PREDICTIONS_KEPT = 100_000
MAX_NAME = 60
BACKGROUND = "(background)"
BACKGROUND_CODE = -1
"""Stands for the background class of networks that have one; other codes are the data set's class numbers."""


@dataclass(frozen=True)
class ClassFigures:
    """Figures of each class, by the model's class number.

    ``support`` (C,): samples of the class; ``predicted`` (C,): samples that were taken for it; ``right`` (C,): both.
    """

    support: NDArray[np.int64]
    predicted: NDArray[np.int64]
    right: NDArray[np.int64]

    @property
    def precision(self) -> NDArray[np.float64]:
        """Of what was taken for the class, the part that is it; NaN where nothing was."""
        return _ratio(self.right, self.predicted)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Of the class's samples, the part that was recognised; NaN where there is none."""
        return _ratio(self.right, self.support)

    @property
    def f1(self) -> NDArray[np.float64]:
        """Harmonic mean of both, 2 TP / (2 TP + FP + FN); NaN where the class neither occurs nor is predicted."""
        return _ratio(2 * self.right, self.support + self.predicted)

    @property
    def macro_f1(self) -> float:
        """Mean over the classes that occur or are predicted."""
        return float(np.nanmean(self.f1))


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    result = np.full(len(whole), np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


@dataclass
class ClassificationMetrics:
    """Collects over batches; a sample costs twelve bytes."""

    split: ImageSplit
    preprocessing: Preprocessing
    score: ClassificationScore = field(default_factory=ClassificationScore)
    kind = "classification"
    _labels: list[NDArray[np.int32]] = field(default_factory=list)
    _predicted: list[NDArray[np.int32]] = field(default_factory=list)
    _confidences: list[NDArray[np.float32]] = field(default_factory=list)

    @property
    def samples(self) -> int:
        return self.score.samples

    def update(self, outputs: NDArray[Any], targets: NDArray[Any]) -> None:
        """Add a batch: ``outputs`` (B, C) as any float, ``targets`` (B,) in 0..C-1.

        Raises:
            OperationError: the outputs are not (B, C) or not finite.
            InvalidInput: a label is not one of the C classes.

        """
        self.score.update(outputs, targets)
        if len(targets):
            self._labels.append(targets.astype(np.int32))
            self._predicted.append(outputs.argmax(axis=1).astype(np.int32))
            self._confidences.append(self._confidence(outputs.astype(np.float64)))

    def _confidence(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        peak = values.max(axis=1)
        if self.score.output_kind == "probabilities":
            return np.asarray(peak, dtype=np.float32)
        return np.asarray(1 / np.exp(values - peak[:, None]).sum(axis=1), dtype=np.float32)

    @property
    def labels(self) -> NDArray[np.int32]:
        """The model's class number of each sample, in the order of the split."""
        return _joined(self._labels)

    @property
    def predicted(self) -> NDArray[np.int32]:
        """What the model took each sample for; equal outputs: the first class, as argmax does."""
        return _joined(self._predicted)

    def figures(self) -> ClassFigures:
        """The figures of each class."""
        classes, labels, predicted = self.score.classes, self.labels, self.predicted
        return ClassFigures(
            support=np.bincount(labels, minlength=classes),
            predicted=np.bincount(predicted, minlength=classes),
            right=np.bincount(labels[labels == predicted], minlength=classes),
        )

    def confusion(self) -> NDArray[np.int64]:
        """Rows (truth, predicted, samples), those that occur, in ascending order of both class numbers."""
        classes = self.score.classes
        codes, counts = np.unique(self.labels.astype(np.int64) * classes + self.predicted, return_counts=True)
        return np.stack([codes // classes, codes % classes, counts], axis=1)

    def calibration(self) -> Calibration:
        """Whether the model is right as often as it is sure."""
        return calibration(_joined(self._confidences), self.labels == self.predicted)

    def findings(self) -> Sequence[Finding]:
        """Top-1, loss, top-5 (from six classes), macro F1 and the calibration error, with their counts."""
        score, figures = self.score, self.figures()
        facts = {"samples": score.samples, "classes": score.classes, "outputs": score.output_kind}
        found = [
            Finding("top1", score.top1, {**facts, "correct": score.correct}),
            Finding("loss", score.loss, facts),
        ]
        if score.top5 is not None:
            found.append(Finding("top5", score.top5, {**facts, "correct": score.correct_top5}))
        counted = int((~np.isnan(figures.f1)).sum())
        found.append(Finding("f1_macro", 100 * figures.macro_f1, {**facts, "classes_counted": counted}))
        measured = self.calibration()
        details = {**facts, "bins": len(measured.bins), "largest": round(100 * measured.largest, 4)}
        found.append(Finding("calibration_error", 100 * measured.error, details))
        return found

    def report(self) -> dict[str, Any]:
        """Per class, confusion, calibration and predictions; what is too much is counted instead of shown."""
        score = self.score
        per_class, classes_left_out = self._per_class()
        confusion, confusion_left_out = self._confusion_rows()
        return {
            "samples": score.samples,
            "classes": score.classes,
            "label_offset": self.preprocessing.label_offset,
            "outputs": score.output_kind,
            "top1": score.top1,
            "top5": score.top5,
            "loss": score.loss,
            "per_class": per_class,
            "per_class_left_out": classes_left_out,
            "confusion": confusion,
            "confusion_left_out": confusion_left_out,
            "calibration": self.calibration().as_dict(),
            "predictions": encode_predictions(self.predicted - self.preprocessing.label_offset),
        }

    def agreement(self, other: MetricFamily) -> Finding | None:
        """Percent of samples for which both models name the same class of the data set."""
        if not isinstance(other, ClassificationMetrics) or other.samples != self.samples:
            raise OperationError("Two models can be compared only over the same samples.")
        own = self.predicted - self.preprocessing.label_offset
        same = int((own == other.predicted - other.preprocessing.label_offset).sum())
        return Finding("agreement_top1", 100 * same / self.samples, {"samples": self.samples, "same": same})

    def _per_class(self) -> tuple[list[dict[str, Any]], int]:
        """Rows by class number; of too many classes those with the lowest F1, and how many are left out."""
        figures = self.figures()
        shown = np.flatnonzero(figures.support + figures.predicted)
        kept = shown
        if len(shown) > MAX_CLASSES_LISTED:
            kept = np.sort(shown[np.argsort(figures.f1[shown], kind="stable")[:MAX_CLASSES_LISTED]])
        columns = {"precision": figures.precision, "recall": figures.recall, "f1": figures.f1}
        rows = [
            {
                "class": int(index),
                "name": self._name_of(int(index)),
                "support": int(figures.support[index]),
                "predicted": int(figures.predicted[index]),
                **{
                    name: None if np.isnan(column[index]) else round(float(column[index]), 4)
                    for name, column in columns.items()
                },
            }
            for index in kept
        ]
        return rows, len(shown) - len(kept)

    def _confusion_rows(self) -> tuple[list[list[int]], int]:
        """Of too many pairs the most frequent ones; and how many are left out."""
        rows = self.confusion()
        if len(rows) > MAX_CONFUSIONS_LISTED:
            kept = np.sort(np.argsort(-rows[:, 2], kind="stable")[:MAX_CONFUSIONS_LISTED])
            return rows[kept].tolist(), len(rows) - len(kept)
        return rows.tolist(), 0

    def _name_of(self, index: int) -> str:
        own = index - self.preprocessing.label_offset
        return self.split.classes[own][:MAX_NAME] if 0 <= own < len(self.split.classes) else BACKGROUND


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    if not parts:
        raise OperationError("Nothing was scored: the split or its limit holds no sample.")
    return np.concatenate(parts)


def encode_predictions(predicted: NDArray[np.int32]) -> dict[str, Any] | None:
    """The data set's class number that was predicted for each sample, compactly; None if there are too many.

    ``data`` is base64 of little-endian integers of ``dtype``, in the order of the split.
    """
    if len(predicted) > MAX_PREDICTIONS_KEPT:
        return None
    dtype = "int16" if len(predicted) == 0 or predicted.max() <= np.iinfo(np.int16).max else "int32"
    codes = np.maximum(predicted, BACKGROUND_CODE).astype(np.dtype(dtype).newbyteorder("<"))
    return {"dtype": dtype, "samples": len(codes), "data": base64.b64encode(codes.tobytes()).decode()}


register_family(TASK, ClassificationMetrics)
