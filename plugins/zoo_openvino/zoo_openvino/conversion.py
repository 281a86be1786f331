"""``openvino.convert``: ONNX to OpenVINO IR, saved, loaded again and compared with the ONNX file."""

import openvino as ov

from zoo_openvino.comparison import Source, compare, open_fitting_split, open_source, parity_details
from zoo_openvino.runtime import RUNTIME, dimensions, read_model, signature_of, unreadable, versions
from zoo_openvino.saving import FILES, own_names, save
from zoo_openvino.specs import ConvertParams
from zoo_sdk.artifacts import ArtifactDescription, Preprocessing
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.vocabulary import Precision
from zoo_vision.agreement import check_input_fits, preprocessing_of
from zoo_vision.parity import ParityFigures, report_parity, tolerance_for
from zoo_vision.parity_inputs import ParityInputs, parity_inputs_of, random_parity_inputs

STEPS = 3


def run(params: ConvertParams, inputs: Inputs, context: OperationContext) -> None:
    """Convert, save, and keep the result only if it computes what its source computes."""
    item = inputs.one("model")
    preprocessing = preprocessing_of(item)
    model = read_model(item, several_outputs=True)
    check_input_fits(item.reference, preprocessing, dimensions(model.input(0)))
    chosen = _parity_inputs(params, inputs, model, preprocessing, context)
    context.progress(0, STEPS, "running the source")
    source = open_source(item, model, chosen, context)
    context.progress(1, STEPS, "converting")
    converted = save(
        _converted(item),
        context.output(),
        scratch=context.scratch,
        keep=own_names(item),
        compress_to_fp16=params.precision == "fp16",
    )
    context.progress(2, STEPS, "comparing with the source")
    precision, allowed = Precision(params.precision), params.max_abs_diff
    if allowed is None and not source.parts:
        allowed = tolerance_for(precision, source.outputs)
    figures = compare(
        source, converted, context, precision=precision, max_abs=allowed, min_agreement=params.min_agreement
    )
    _declare(source, converted, params, figures, context)
    context.progress(STEPS, STEPS, "done")


def _parity_inputs(
    params: ConvertParams, inputs: Inputs, model: ov.Model, preprocessing: Preprocessing, context: OperationContext
) -> ParityInputs:
    data = inputs.optional("data")
    if data is None:
        return random_parity_inputs(preprocessing, params.parity_samples, context.seed)
    split = open_fitting_split(model, inputs.one("model").reference, preprocessing, data, params.parity_split)
    return parity_inputs_of(split, preprocessing, params.parity_samples, context.seed)


def _converted(item: InputItem) -> ov.Model:
    try:
        return ov.convert_model(item.main_file)
    except (RuntimeError, ValueError) as error:
        raise unreadable(item.main_file, item.reference, error) from error


def _declare(
    source: Source, model: ov.Model, params: ConvertParams, figures: ParityFigures, context: OperationContext
) -> None:
    preprocessing = preprocessing_of(source.item)
    source_details = source.item.artifact.details if source.item.artifact else {}
    context.artifact(
        ArtifactDescription(
            format="openvino-ir",
            files=FILES,
            precision=Precision(params.precision),
            runtime=RUNTIME,
            signature=signature_of(model, preprocessing),
            preprocessing=preprocessing,
            details={**source_details, "versions": versions(), "parity": parity_details(figures, source)},
        )
    )
    report_parity(
        context,
        figures,
        runtime=RUNTIME,
        dataset=source.inputs.dataset_port,
        split=source.inputs.split,
        details={"versions": versions(), **source.details},
    )
