"""Runs a source model and what was made from it on the same inputs, both in OpenVINO with f32 pinned."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from zoo_openvino.runtime import class_count, compile_classifier
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem, OperationContext
from zoo_vision.agreement import check_classes_fit, check_pictures_fit
from zoo_vision.datasets import ImageSplit, open_split
from zoo_vision.evaluation import padded
from zoo_vision.parity import ParityFigures
from zoo_vision.preprocessing import random_inputs

BATCH = 32
PRECISION_HINT = "f32"


def open_fitting_split(
    model: ov.Model, reference: str, preprocessing: Preprocessing, item: InputItem, split: str
) -> ImageSplit:
    """Open a split and check that it fits the model's classes and input."""
    opened = open_split(item, split)
    check_classes_fit(reference, opened, preprocessing, class_count(model))
    check_pictures_fit(opened, preprocessing)
    return opened


def random_batches(preprocessing: Preprocessing, samples: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """``samples`` random inputs in batches; the same for the same seed."""
    for start in range(0, samples, BATCH):
        yield random_inputs(preprocessing, min(BATCH, samples - start), seed + start)


def real_batches(
    split: ImageSplit, preprocessing: Preprocessing, samples: int, seed: int
) -> Iterator[NDArray[np.float32]]:
    """``samples`` inputs drawn from the split with ``seed``, in batches."""
    for inputs, _ in split.batches(preprocessing, BATCH, indices=split.random_indices(samples, seed)):
        yield inputs


def outputs_of(
    model: ov.Model,
    reference: str,
    preprocessing: Preprocessing,
    batches: Iterable[NDArray[np.float32]],
    context: OperationContext,
) -> NDArray[np.float32]:
    """The outputs (N, C) for all batches."""
    classifier = compile_classifier(
        model,
        preprocessing,
        reference=reference,
        precision_hint=PRECISION_HINT,
        threads=context.threads,
        batch=BATCH,
    )
    infer = padded(classifier, classifier.batch)
    found = []
    for inputs in batches:
        context.raise_if_cancelled()
        # A model with a fixed batch of its own takes the samples in portions of that.
        found += [infer(inputs[start : start + classifier.batch]) for start in range(0, len(inputs), classifier.batch)]
    return np.concatenate(found)


def parity_details(figures: ParityFigures, *, inputs: str) -> dict[str, object]:
    """The figures as they are kept beside the artifact."""
    return {**asdict(figures), "inputs": inputs, "precision_hint": PRECISION_HINT}
