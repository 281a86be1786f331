"""The loop that every evaluation of a classifier shares: batches in, scores out, with progress and cancelling."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_vision.datasets import ImageSplit
from zoo_vision.scoring import ClassificationScore

Infer = Callable[[NDArray[np.float32]], NDArray[Any]]
"""From an input batch in the model's layout to its outputs (B, C)."""


def score_split(
    context: OperationContext,
    infer: Infer,
    split: ImageSplit,
    preprocessing: Preprocessing,
    *,
    batch: int,
    limit: int | None = None,
) -> ClassificationScore:
    """Run ``infer`` over a split, or over ``limit`` samples evenly spread over it."""
    score = ClassificationScore()
    total = len(split) if limit is None else min(limit, len(split))
    for inputs, labels in split.batches(preprocessing, batch, limit=limit):
        context.raise_if_cancelled()
        score.update(infer(inputs), labels)
        context.progress(score.samples, total, "samples evaluated")
    return score


def padded(infer: Infer, batch: int) -> Infer:
    """An ``infer`` for a model that takes exactly ``batch`` samples: the last batch is filled up and cut again."""

    def run(inputs: NDArray[np.float32]) -> NDArray[Any]:
        missing = batch - len(inputs)
        if missing == 0:
            return infer(inputs)
        return infer(np.concatenate([inputs, np.repeat(inputs[-1:], missing, axis=0)]))[: len(inputs)]

    return run


def artifact_bytes(item: InputItem) -> int:
    """The size of all files of a model input's artifact.

    Raises:
        InvalidInput: the input is no model.

    """
    if item.artifact is None:
        raise InvalidInput(f"{item.reference} is not a model.", hint="Give a model version to this input.")
    return sum((item.folder / path).stat().st_size for path in item.artifact.files)


def report_complexity(
    context: OperationContext,
    item: InputItem,
    *,
    parameters: int,
    macs: int | None,
    runtime: str,
    details: Mapping[str, Any],
) -> None:
    """Measure ``size_bytes``, ``parameters`` and ``macs`` (if the file's shapes tell them) of a model input."""
    figures = {"size_bytes": artifact_bytes(item), "parameters": parameters, "macs": macs}
    for name, value in figures.items():
        if value is not None:
            context.measure(name, value, runtime=runtime, details=details)
    if macs is None:
        context.log(
            "The multiply-accumulate operations are not reported: the file has shapes that depend on the input."
        )
