"""What every evaluation shares: a model that is ready to run, a split, the task's metrics, and their report."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_sdk.measures import find_measure
from zoo_vision.classification import TASK
from zoo_vision.datasets import ImageSplit
from zoo_vision.families import MetricFamily, family_for

Infer = Callable[[NDArray[np.float32]], NDArray[Any]]
"""From an input batch in the model's layout to its outputs (B, C)."""
Batches = Iterable[tuple[NDArray[np.float32], NDArray[np.int64]]]


def split_batches(
    split: ImageSplit, preprocessing: Preprocessing, size: int, limit: int | None
) -> Iterable[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Input batches and labels, decoded in this process."""
    return split.batches(preprocessing, size, limit=limit)


@dataclass(frozen=True)
class Subject:
    """A model that is ready to run.

    ``batch``: samples that ``infer`` is given at most; ``details``: what belongs beside every figure (versions,
    threads); ``batches``: makes the input batches of a split, for plugins that decode pictures ahead.
    """

    reference: str
    infer: Infer
    preprocessing: Preprocessing
    batch: int
    runtime: str
    device: str = "cpu"
    details: Mapping[str, Any] = field(default_factory=dict)
    batches: Callable[[ImageSplit, Preprocessing, int, int | None], Batches] = split_batches


def evaluate(
    context: OperationContext,
    subject: Subject,
    data: InputItem,
    split: ImageSplit,
    *,
    limit: int | None = None,
    other: Subject | None = None,
) -> MetricFamily:
    """Score a model over a split with the metrics of the data set's task, and report numbers and what is more.

    Args:
        context: reports go there; the data set is that of the input port ``data``.
        subject: the model under test.
        data: the data set, whose task chooses the metrics.
        split: the split of ``data``.
        limit: so many samples, evenly spread over the split; all by default.
        other: another model, with whose answers to the same pictures those of the subject are compared.

    Raises:
        UnknownName: the data set's task has no metrics.

    """
    family = _collected(context, subject, data, split, limit)
    where = {"dataset": "data", "split": split.name, "runtime": subject.runtime, "device": subject.device}
    findings = family.findings()
    for finding in findings:
        context.measure(finding.name, finding.value, details={**subject.details, **finding.details}, **where)
    report = family.report()
    if other is not None:
        agreement = family.agreement(_collected(context, other, data, split, limit))
        if agreement is not None:
            details = {**subject.details, **agreement.details, "reference": other.reference}
            context.measure(agreement.name, agreement.value, details=details, **where)
            report["agreement"] = {"reference": other.reference, **agreement.details}
    context.report(family.kind, report, **where)
    main = findings[0]
    unit = find_measure(main.name).unit
    context.log(f"{main.name} {main.value:.2f} {unit} of {family.samples} samples of the split {split.name!r}.")
    return family


def _collected(
    context: OperationContext, subject: Subject, data: InputItem, split: ImageSplit, limit: int | None
) -> MetricFamily:
    task = data.dataset.task if data.dataset else TASK
    family = family_for(task)(split, subject.preprocessing)
    total = len(split) if limit is None else min(limit, len(split))
    for inputs, labels in subject.batches(split, subject.preprocessing, subject.batch, limit):
        context.raise_if_cancelled()
        family.update(subject.infer(inputs), labels)
        context.progress(family.samples, total, f"samples of {subject.reference} evaluated")
    return family


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
    parameters: int | None,
    macs: int | None,
    runtime: str,
    details: Mapping[str, Any],
) -> None:
    """Measure ``size_bytes``, and ``parameters`` and ``macs`` if the file tells them, of a model input."""
    figures = {"size_bytes": artifact_bytes(item), "parameters": parameters, "macs": macs}
    for name, value in figures.items():
        if value is not None:
            context.measure(name, value, runtime=runtime, details=details)
    if macs is None:
        context.log(
            "The multiply-accumulate operations are not reported: the file has shapes that depend on the input, or "
            "operations that are not counted."
        )
