"""The parity gate of what is made from an ONNX model: the same inputs through both in ONNX Runtime."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from zoo_onnxruntime.graphs import read_graph
from zoo_onnxruntime.runtime import RUNTIME, Classifier, open_classifier, open_session, run_session
from zoo_sdk.artifacts import ArtifactDescription, Signature, TensorSpec
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.errors import InvalidInput, OperationError
from zoo_sdk.vocabulary import Precision
from zoo_vision.agreement import check_classes_fit, check_pictures_fit
from zoo_vision.bisection import WorstLayer, find_worst_layer, relative_error
from zoo_vision.datasets import ImageSplit, open_split
from zoo_vision.evaluation import padded
from zoo_vision.onnx_graphs import expose, layers_of, output_of
from zoo_vision.parameters import ParityParams
from zoo_vision.parity import (
    OutputPart,
    ParityFigures,
    check_outputs,
    check_parity,
    check_source_is_finite,
    parts_of,
    report_parity,
    tolerance_for,
)
from zoo_vision.parity_inputs import BATCH, ParityInputs, flat, outputs_over, parity_inputs_of, random_parity_inputs

_OUTPUT_LAYOUTS = {2: "NC", 4: "NCHW"}
"""By the number of axes: class scores, and maps."""
DEQUANTISED_SUFFIX = "_DequantizeLinear_Output"
"""What ONNX Runtime's quantizer appends to a value's name once it has been through INT8."""


@dataclass(frozen=True)
class Source:
    """The model that something is made from: its graph, opened, and its outputs on the inputs to compare.

    ``outputs`` are beside each other, (N, values); ``parts`` tells which is where, unless they are class scores.
    """

    item: InputItem
    graph: ModelProto
    classifier: Classifier
    inputs: ParityInputs
    outputs: NDArray[Any]
    parts: tuple[OutputPart, ...] = ()

    @property
    def precision(self) -> Precision:
        """As its artifact says; float32 where it says nothing."""
        told = self.item.artifact.precision if self.item.artifact else None
        return told or Precision.FP32

    @property
    def details(self) -> dict[str, Any]:
        """What is already known about it, to be kept beside what is made from it."""
        return dict(self.item.artifact.details) if self.item.artifact else {}


def open_fitting_split(classifier: Classifier, reference: str, item: InputItem, split: str) -> ImageSplit:
    """Open a split and check that it fits the model's classes and input."""
    opened = open_split(item, split)
    check_classes_fit(reference, opened, classifier.preprocessing, classifier.classes)
    check_pictures_fit(opened, classifier.preprocessing)
    return opened


def open_source(
    inputs: Inputs, context: OperationContext, *, split: str, samples: int, several_outputs: bool = False
) -> Source:
    """Open the input ``model``, and run it on ``samples`` of the input ``data``, or random inputs if there is none.

    ``several_outputs``: what is made may have them, too, as detectors do.

    Raises:
        InvalidInput: the model cannot be read, or does not fit the data.
        ParityFailed: its own outputs are not finite, so nothing could be compared with them.

    """
    item, data = inputs.one("model"), inputs.optional("data")
    graph = read_graph(item)
    classifier = open_classifier(item, context.threads, several_outputs=several_outputs)
    if data is None:
        chosen = random_parity_inputs(classifier.preprocessing, samples, context.seed)
    else:
        opened = open_fitting_split(classifier, item.reference, data, split)
        chosen = parity_inputs_of(opened, classifier.preprocessing, samples, context.seed)
    sample = np.repeat(chosen.sample(0), classifier.fixed_batch or 1, axis=0)
    parts = parts_of(classifier.output_names, classifier.outputs(sample)) if several_outputs else ()
    outputs = outputs_of(classifier, chosen, context)
    check_source_is_finite(outputs)
    return Source(item, graph, classifier, chosen, outputs, parts)


def outputs_of(classifier: Classifier, inputs: ParityInputs, context: OperationContext) -> NDArray[Any]:
    """The outputs (N, values) for all inputs."""

    def infer(batch: NDArray[np.float32]) -> NDArray[Any]:
        return flat(classifier.outputs(batch))

    largest = classifier.fixed_batch or BATCH
    whole = padded(infer, largest) if classifier.fixed_batch else infer
    return outputs_over(whole, inputs.batches(), largest=largest, before_batch=context.raise_if_cancelled)


def compare(
    source: Source,
    path: Path,
    context: OperationContext,
    *,
    precision: str,
    max_abs: float | None,
    min_agreement: float,
) -> tuple[Classifier, ParityFigures]:
    """Open what was made from ``source`` and compare it.

    Raises:
        OperationError: ONNX Runtime refuses the new file.
        ParityFailed: it computes something else; says at which layer that begins.

    """
    candidate = _open_made(source, path, context.threads)
    outputs = outputs_of(candidate, source.inputs, context)
    locate = partial(_locate, source, path, precision, context)
    if source.parts:
        figures = check_outputs(
            source.outputs, outputs, source.parts, precision=precision, max_abs=max_abs, locate=locate
        )
    else:
        figures = check_parity(
            source.outputs,
            outputs,
            max_abs=max_abs,
            min_agreement=min_agreement,
            locate=lambda sample: locate(sample, 0),
        )
    return candidate, figures


def compare_conversion(
    source: Source, path: Path, context: OperationContext, params: ParityParams, precision: Precision
) -> tuple[Classifier, ParityFigures]:
    """:func:`compare` with the given limits, or those for the ``precision`` of what was made."""
    allowed = params.max_abs_diff
    if allowed is None and not source.parts:
        allowed = tolerance_for(precision, source.outputs)
    return compare(source, path, context, precision=precision, max_abs=allowed, min_agreement=params.min_agreement)


def _open_made(source: Source, path: Path, threads: int) -> Classifier:
    assert source.item.artifact is not None  # noqa: S101 (open_classifier has checked it)
    artifact = source.item.artifact.model_copy(update={"files": (path.name,)})
    made = InputItem(reference="the new model", folder=path.parent, artifact=artifact)
    try:
        return open_classifier(made, threads, several_outputs=bool(source.parts))
    except InvalidInput as error:
        raise OperationError(f"What came out cannot be used: {error}") from error


def _locate(
    source: Source, path: Path, precision: str, context: OperationContext, sample: int, number: int
) -> WorstLayer | None:
    """The layer at which the new model departs from its source in one output on one sample."""
    graph = onnx.shape_inference.infer_shapes(source.graph)
    output = output_of(graph, number)
    inputs = source.inputs.sample(sample)
    models = (graph, onnx.load(str(path)))
    ask = [partial(values_inside, model, inputs, source.classifier, context) for model in models]
    outputs = [values[output.name] for values in (one([]) for one in ask) if output.name in values]
    if len(outputs) < 2:
        return None
    error = relative_error(*outputs)
    return find_worst_layer(layers_of(graph), *ask, output=output, output_error=error, precision=precision)


def values_inside(
    model: ModelProto,
    inputs: NDArray[np.float32],
    classifier: Classifier,
    context: OperationContext,
    names: Sequence[str],
) -> Mapping[str, NDArray[Any]]:
    """The values of those names, and the outputs, for one input; names that the graph does not have are left out.

    Where a value is quantized, the one that the next operation reads is answered: the quantization may be what clips
    it, in place of an activation that is not in the graph any more.
    """
    context.raise_if_cancelled()
    made = {name for node in model.graph.node for name in node.output}
    dequantised = {f"{name}{DEQUANTISED_SUFFIX}": name for name in names if f"{name}{DEQUANTISED_SUFFIX}" in made}
    opened = ModelProto()
    opened.CopyFrom(model)
    expose(opened, [*(set(names) - set(dequantised.values())), *dequantised])
    session = open_session(opened.SerializeToString(), classifier.threads, "the model with its intermediate values")
    found = run_session(session, np.repeat(inputs, classifier.fixed_batch or 1, axis=0))
    read = [value.name for value in session.get_outputs()]
    return {dequantised.get(name, name): array for name, array in zip(read, found, strict=True)}


def declare(
    source: Source,
    made: Classifier,
    figures: ParityFigures,
    context: OperationContext,
    artifact: ArtifactDescription,
) -> None:
    """Declare what was made, with its signature and the figures of the comparison, and measure those."""
    origin = source.inputs.origin
    parity = {**asdict(figures), "inputs": origin, "runtime": RUNTIME}
    context.artifact(
        artifact.model_copy(
            update={
                "runtime": RUNTIME,
                "signature": signature_of(made),
                "preprocessing": made.preprocessing,
                "details": {
                    **source.details,
                    **artifact.details,
                    "versions": made.details["versions"],
                    "parity": parity,
                },
            }
        )
    )
    report_parity(
        context,
        figures,
        runtime=RUNTIME,
        dataset=source.inputs.dataset_port,
        split=source.inputs.split,
        details={**made.details, "inputs": origin},
    )


def signature_of(classifier: Classifier) -> Signature:
    """The model's input and outputs as the registry describes them."""

    def tensor(value: Any, layout: str) -> TensorSpec:
        shape = tuple(size if isinstance(size, int) else None for size in value.shape)
        dtype = {"tensor(float)": "float32", "tensor(float16)": "float16"}.get(value.type, value.type[7:-1])
        return TensorSpec(name=value.name, dtype=dtype, shape=shape, layout=layout)

    session = classifier.session
    return Signature(
        inputs=(tensor(session.get_inputs()[0], classifier.preprocessing.layout),),
        outputs=tuple(tensor(port, _OUTPUT_LAYOUTS.get(len(port.shape), "")) for port in session.get_outputs()),
    )
