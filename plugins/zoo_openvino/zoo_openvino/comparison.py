"""The parity gate: a source in its own runtime and what was made from it in OpenVINO, on the same inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from zoo_openvino.onnx_source import OnnxModel
from zoo_openvino.runtime import RUNTIME, Classifier, class_count, compile_classifier, compile_pinned, dimensions
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem, OperationContext
from zoo_sdk.errors import OperationError
from zoo_sdk.vocabulary import Precision
from zoo_vision.agreement import check_classes_fit, check_pictures_fit, preprocessing_of
from zoo_vision.bisection import Layer, WorstLayer, find_worst_layer, relative_error
from zoo_vision.datasets import ImageSplit, open_split
from zoo_vision.evaluation import padded
from zoo_vision.parity import OutputPart, ParityFigures, check_outputs, check_parity, check_source_is_finite, parts_of
from zoo_vision.parity_inputs import BATCH, ParityInputs, flat, outputs_over

PRECISION_HINT = "f32"


def open_fitting_split(
    model: ov.Model, reference: str, preprocessing: Preprocessing, item: InputItem, split: str
) -> ImageSplit:
    """Open a split and check that it fits the model's classes and input."""
    opened = open_split(item, split)
    check_classes_fit(reference, opened, preprocessing, class_count(model))
    check_pictures_fit(opened, preprocessing)
    return opened


class Comparable(Protocol):
    """A model that runs on up to ``fixed_batch`` samples (None: any number), and answers values inside it."""

    @property
    def runtime(self) -> str: ...

    @property
    def fixed_batch(self) -> int | None: ...

    @property
    def layers(self) -> list[Layer]: ...

    @property
    def output_names(self) -> list[str]: ...

    def outputs(self, inputs: NDArray[np.float32]) -> list[NDArray[Any]]:
        """All outputs of a batch; the next run may write over them."""

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[Any]:
        """The same beside each other, (N, values)."""

    def values(self, inputs: NDArray[np.float32], names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """The values of those names for one input; those that it does not have are left out."""


@dataclass(frozen=True)
class OpenvinoModel:
    """A model in OpenVINO with f32 pinned; values inside it have the names of their tensors."""

    model: ov.Model
    classifier: Classifier
    preprocessing: Preprocessing
    threads: int
    runtime: str = RUNTIME

    @classmethod
    def opened(cls, model: ov.Model, reference: str, preprocessing: Preprocessing, threads: int) -> "OpenvinoModel":
        """Compile it."""
        classifier = compile_classifier(
            model, preprocessing, reference=reference, precision_hint=PRECISION_HINT, threads=threads, batch=BATCH
        )
        return cls(model, classifier, preprocessing, threads)

    @property
    def fixed_batch(self) -> int | None:
        return self.classifier.batch

    @property
    def output_names(self) -> list[str]:
        return [output.any_name for output in self.model.outputs]

    def outputs(self, inputs: NDArray[np.float32]) -> list[NDArray[Any]]:
        return self.classifier.outputs(inputs)

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[Any]:
        return flat(self.outputs(inputs))

    @property
    def layers(self) -> list[Layer]:
        outputs = {name for output in self.model.outputs for name in output.get_names()}
        found = []
        for operation in self.model.get_ordered_ops():
            for port in operation.outputs():
                names = sorted(port.get_names())
                floating = port.get_element_type().is_real()
                constant = operation.get_type_name() in {"Constant", "Parameter"}
                if names and floating and not constant and not outputs.intersection(names):
                    found.append(Layer(names[0], operation.get_type_name()))
        return found

    def values(self, inputs: NDArray[np.float32], names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        copy = self.model.clone()
        known = {name for item in copy.get_ordered_ops() for port in item.outputs() for name in port.get_names()}
        asked = [name for name in names if name in known]
        for name in asked:
            copy.add_outputs(name)
        batch = dimensions(copy.input(0))[0] or 1
        compiled = compile_pinned(
            copy, self.preprocessing, precision_hint=PRECISION_HINT, threads=self.threads, batch=batch
        )
        results = compiled.create_infer_request().infer(np.repeat(inputs, batch, axis=0))
        return {name: np.array(results[name]) for name in asked}


@dataclass(frozen=True)
class Source:
    """What something is made from, opened in its own runtime, with its outputs on the inputs to compare.

    ``outputs`` are beside each other, (N, values); ``parts`` tells which is where, unless they are class scores.
    """

    item: InputItem
    opened: Comparable
    inputs: ParityInputs
    outputs: NDArray[Any]
    parts: tuple[OutputPart, ...] = ()

    @property
    def details(self) -> dict[str, object]:
        """What belongs beside the figures of a comparison with it."""
        return {"inputs": self.inputs.origin, "precision_hint": PRECISION_HINT, "source_runtime": self.opened.runtime}


def open_source(item: InputItem, model: ov.Model, inputs: ParityInputs, context: OperationContext) -> Source:
    """Run a source (ONNX in ONNX Runtime, IR in OpenVINO) on the inputs.

    Raises:
        ParityFailed: its own outputs are not finite, so nothing could be compared with them.

    """
    opened: Comparable
    if item.artifact is not None and item.artifact.format == "onnx":
        opened = OnnxModel(item, context.threads)
    else:
        opened = OpenvinoModel.opened(model, item.reference, preprocessing_of(item), context.threads)
    parts = parts_of(opened.output_names, _single(opened, inputs.sample(0)))
    outputs = outputs_of(opened, inputs, context)
    check_source_is_finite(outputs)
    return Source(item, opened, inputs, outputs, parts)


def _single(opened: Comparable, sample: NDArray[np.float32]) -> list[NDArray[Any]]:
    """The outputs for one sample.

    Raises:
        OperationError: an output has no row for each sample, so the samples cannot be told apart.

    """
    batch = opened.fixed_batch or 1
    outputs = opened.outputs(np.repeat(sample, batch, axis=0))
    for name, output in zip(opened.output_names, outputs, strict=True):
        if output.ndim == 0 or len(output) != batch:
            raise OperationError(
                f"The output {name!r} has the shape {output.shape} for {batch} samples: its first axis is no batch.",
                hint="Export the model without what gathers its results (such as non-maximum suppression).",
            )
    return [np.array(output[:1]) for output in outputs]


def outputs_of(opened: Comparable, inputs: ParityInputs, context: OperationContext) -> NDArray[Any]:
    """The outputs (N, values) for all inputs."""
    largest = opened.fixed_batch or BATCH
    infer = padded(opened, largest) if opened.fixed_batch else opened
    return outputs_over(infer, inputs.batches(), largest=largest, before_batch=context.raise_if_cancelled)


def compare(
    source: Source,
    model: ov.Model,
    context: OperationContext,
    *,
    precision: Precision,
    max_abs: float | None,
    min_agreement: float,
) -> ParityFigures:
    """Compare what was made with its source.

    ``max_abs`` None: class scores are judged by their agreement only, other outputs by the tolerance of ``precision``.

    Raises:
        ParityFailed: it computes something else; says at which layer that begins.

    """
    made = OpenvinoModel.opened(model, "the new model", preprocessing_of(source.item), context.threads)
    outputs = outputs_of(made, source.inputs, context)
    locate = partial(_locate, source, made, precision, context)
    if source.parts:
        return check_outputs(source.outputs, outputs, source.parts, precision=precision, max_abs=max_abs, locate=locate)
    return check_parity(
        source.outputs, outputs, max_abs=max_abs, min_agreement=min_agreement, locate=lambda sample: locate(sample, 0)
    )


def _locate(
    source: Source, made: OpenvinoModel, precision: Precision, context: OperationContext, sample: int, number: int
) -> WorstLayer | None:
    """The layer at which the new model departs from its source in one output on one sample."""
    inputs = source.inputs.sample(sample)

    def ask(opened: Comparable, names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        context.raise_if_cancelled()
        return opened.values(inputs, names)

    outputs = [_single(opened, inputs)[number] for opened in (source.opened, made)]
    port = made.model.output(number)
    kind = port.get_node().input_value(0).get_node().get_type_name()
    try:
        return find_worst_layer(
            source.opened.layers,
            partial(ask, source.opened),
            partial(ask, made),
            output=Layer(port.any_name, kind),
            output_error=relative_error(*outputs),
            precision=precision,
        )
    except RuntimeError as error:
        raise OperationError(f"OpenVINO could not show the values inside: {error}") from error


def parity_details(figures: ParityFigures, source: Source) -> dict[str, object]:
    """The figures as they are kept beside the artifact."""
    return {**asdict(figures), **source.details}
