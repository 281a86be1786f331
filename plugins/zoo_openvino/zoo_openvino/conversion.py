"""``openvino.convert``: ONNX to OpenVINO IR, saved, loaded again and compared with the ONNX file."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from zoo_openvino.comparison import (
    PRECISION_HINT,
    open_fitting_split,
    outputs_of,
    parity_details,
    random_batches,
    real_batches,
)
from zoo_openvino.runtime import RUNTIME, dimensions, read_model, signature_of, unreadable, versions
from zoo_openvino.saving import FILES, own_names, save
from zoo_openvino.specs import ConvertParams
from zoo_sdk.artifacts import ArtifactDescription, Preprocessing
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.vocabulary import Precision
from zoo_vision.agreement import check_input_fits, preprocessing_of
from zoo_vision.parity import ParityFigures, check_parity, report_parity

RELATIVE_TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2}


def run(params: ConvertParams, inputs: Inputs, context: OperationContext) -> None:
    """Convert, save, and keep the result only if it computes what its source computes."""
    item = inputs.one("model")
    preprocessing = preprocessing_of(item)
    source = read_model(item)
    check_input_fits(item.reference, preprocessing, dimensions(source.input(0)))
    batches, origin = _parity_inputs(params, inputs, source, preprocessing, context)
    context.progress(0, 3, "converting")
    converted = save(
        _converted(item),
        context.output(),
        scratch=context.scratch,
        keep=own_names(item),
        compress_to_fp16=params.precision == "fp16",
    )
    context.progress(1, 3, "comparing with the source")
    reference = outputs_of(source, item.reference, preprocessing, batches(), context)
    context.progress(2, 3, "comparing with the source")
    candidate = outputs_of(converted, "the converted model", preprocessing, batches(), context)
    figures = check_parity(
        reference, candidate, max_abs=_allowed(params, reference), min_agreement=params.min_agreement
    )
    _declare(item, converted, params, figures, origin, context)
    context.progress(3, 3, "done")


def _parity_inputs(
    params: ConvertParams, inputs: Inputs, source: ov.Model, preprocessing: Preprocessing, context: OperationContext
) -> tuple[Callable[[], Iterator[NDArray[np.float32]]], str]:
    """What makes the inputs to compare on (they may not fit into memory at once) and, in a word, their origin."""
    data = inputs.optional("data")
    if data is None:
        return partial(random_batches, preprocessing, params.parity_samples, context.seed), "random"
    reference = inputs.one("model").reference
    split = open_fitting_split(source, reference, preprocessing, data, params.parity_split)
    return partial(real_batches, split, preprocessing, params.parity_samples, context.seed), "data"


def _converted(item: InputItem) -> ov.Model:
    try:
        return ov.convert_model(item.main_file)
    except (RuntimeError, ValueError) as error:
        raise unreadable(item.main_file, item.reference, error) from error


def _allowed(params: ConvertParams, reference: NDArray[np.float32]) -> float:
    if params.max_abs_diff is not None:
        return params.max_abs_diff
    return RELATIVE_TOLERANCE[params.precision] * max(1.0, float(np.abs(reference).max()))


def _declare(
    item: InputItem,
    model: ov.Model,
    params: ConvertParams,
    figures: ParityFigures,
    origin: str,
    context: OperationContext,
) -> None:
    preprocessing = preprocessing_of(item)
    source_details = item.artifact.details if item.artifact else {}
    context.artifact(
        ArtifactDescription(
            format="openvino-ir",
            files=FILES,
            precision=Precision(params.precision),
            runtime=RUNTIME,
            signature=signature_of(model, preprocessing),
            preprocessing=preprocessing,
            details={**source_details, "versions": versions(), "parity": parity_details(figures, inputs=origin)},
        )
    )
    real = origin == "data"
    report_parity(
        context,
        figures,
        runtime=RUNTIME,
        dataset="data" if real else None,
        split=params.parity_split if real else None,
        details={"versions": versions(), "inputs": origin, "precision_hint": PRECISION_HINT},
    )
