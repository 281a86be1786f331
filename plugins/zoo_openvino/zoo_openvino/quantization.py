"""``openvino.quantize``: NNCF's post-training quantization to INT8, checked against the float model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino as ov
from numpy.typing import NDArray

from zoo_openvino.accuracy import Controlled, examination_of, quantise_with_control
from zoo_openvino.comparison import Source, compare, open_fitting_split, open_source, parity_details
from zoo_openvino.complexity import count_int8_operations
from zoo_openvino.pot import Translation, merged, translate
from zoo_openvino.quantize_params import MAX_POT_CHARACTERS, QuantizeParams
from zoo_openvino.runtime import RUNTIME, dimensions, read_model, signature_of, unreadable, versions
from zoo_openvino.saving import FILES, own_names, save
from zoo_openvino.scheme import advanced_parameters, nncf_options
from zoo_openvino.signal_stack import signal_stack_kept
from zoo_sdk.artifacts import ArtifactDescription, Preprocessing
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.errors import InvalidInput, OperationError
from zoo_sdk.vocabulary import Precision
from zoo_vision.agreement import check_input_fits, preprocessing_of
from zoo_vision.datasets import ImageSplit
from zoo_vision.parity import ParityFigures, report_parity
from zoo_vision.parity_inputs import parity_inputs_of

DEFAULT_PARITY_SPLIT = "test"


def run(params: QuantizeParams, inputs: Inputs, context: OperationContext) -> None:
    """Quantize, save, and keep the result only if it agrees with the float model, and is accurate, often enough."""
    params, translation = _with_pot(params, inputs, context)
    item, data = inputs.one("model"), inputs.one("data")
    preprocessing = preprocessing_of(item)
    model = _float_model(item)
    check_input_fits(item.reference, preprocessing, dimensions(model.input(0)))
    calibration = open_fitting_split(model, item.reference, preprocessing, data, params.split)
    parity_split = params.parity_split or _default_parity_split(params, data)
    test = open_fitting_split(model, item.reference, preprocessing, data, parity_split)
    source = open_source(
        item, model, parity_inputs_of(test, preprocessing, params.parity_samples, context.seed), context
    )
    quantised, controlled = _quantised(model, calibration, params, inputs, context, parity_split)
    saved = save(quantised, context.output(), scratch=context.scratch, keep=own_names(item), compress_to_fp16=False)
    facts: dict[str, Any] = {"versions": {**versions(), "nncf": nncf.__version__}}
    facts |= _checked_operations(saved, item.reference)
    if controlled is not None:
        facts["accuracy_control"] = controlled.checked(saved)
    figures = compare(
        source, saved, context, precision=Precision.INT8, max_abs=None, min_agreement=params.min_agreement
    )
    _declare(source, saved, figures, facts, translation, context)
    if controlled is not None:
        controlled.report(facts)


def _with_pot(
    params: QuantizeParams, inputs: Inputs, context: OperationContext
) -> tuple[QuantizeParams, Translation | None]:
    """The parameters with what a POT configuration says, from the parameter or from the input of that name."""
    file = inputs.optional("pot_config")
    if file is None and params.pot_config is None:
        return params, None
    if file is not None and params.pot_config is not None:
        raise InvalidInput(
            "A POT configuration is given as the parameter pot_config and as the input of that name.",
            hint="Give one of them.",
            facts={"field": "pot_config"},
        )
    translation = translate(_text_of(file.main_file) if file is not None else params.pot_config or "")
    params = merged(params, translation)
    for line in translation.lines:
        context.log(f"POT: {line}")
    return params, translation


def _text_of(path: Path) -> str:
    if path.stat().st_size > 4 * MAX_POT_CHARACTERS:
        raise InvalidInput(f"The POT configuration {path.name!r} has {path.stat().st_size:,} bytes: too many.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"The POT configuration {path.name!r} is not text in UTF-8: {error}") from error


def _declare(
    source: Source,
    model: ov.Model,
    figures: ParityFigures,
    facts: dict[str, Any],
    translation: Translation | None,
    context: OperationContext,
) -> None:
    item = source.item
    details = {**(item.artifact.details if item.artifact else {}), **facts, "parity": parity_details(figures, source)}
    if translation is not None:
        details["pot"] = translation.report
    context.artifact(
        ArtifactDescription(
            format="openvino-ir",
            files=FILES,
            precision=Precision.INT8,
            runtime=RUNTIME,
            signature=signature_of(model, preprocessing_of(item)),
            preprocessing=preprocessing_of(item),
            details=details,
        )
    )
    report_parity(
        context,
        figures,
        runtime=RUNTIME,
        dataset="data",
        split=source.inputs.split,
        details={**facts, **source.details},
    )
    context.log(
        f"{facts['int8_operations']} of {facts['operations']} operations are INT8; "
        f"same top class in {figures.agreement_top1:.2f} % of samples."
    )


def _checked_operations(model: ov.Model, reference: str) -> dict[str, int]:
    """How many weighted operations there are, and how many became INT8.

    Raises:
        OperationError: none did, so the model would be called INT8 without being it.

    """
    int8, weighted = count_int8_operations(model)
    if not int8:
        raise OperationError(
            f"NNCF quantized none of the {weighted} weighted operations of {reference}.",
            hint="Check ignored_names and ignored_types.",
        )
    return {"int8_operations": int8, "operations": weighted}


def _float_model(item: InputItem) -> ov.Model:
    """The model as NNCF should see it.

    ``convert_model`` folds what ``read_model`` leaves in an ONNX graph (reshapes of weights), which would keep
    depthwise convolutions out of INT8.
    """
    model = read_model(item)
    if item.artifact is not None and item.artifact.format == "onnx":
        try:
            model = ov.convert_model(item.main_file)
        except (RuntimeError, ValueError) as error:
            raise unreadable(item.main_file, item.reference, error) from error
    if count_int8_operations(model)[0]:
        raise InvalidInput(f"{item.reference} is quantized already.", hint="Give its floating-point base.")
    return model


def _default_parity_split(params: QuantizeParams, data: InputItem) -> str:
    has_test = data.dataset is not None and DEFAULT_PARITY_SPLIT in data.dataset.splits
    return DEFAULT_PARITY_SPLIT if has_test else params.split


@signal_stack_kept()  # NNCF makes a Core for nearly everything that it runs
def _quantised(
    model: ov.Model,
    split: ImageSplit,
    params: QuantizeParams,
    inputs: Inputs,
    context: OperationContext,
    parity_split: str,
) -> tuple[ov.Model, Controlled | None]:
    item, control = inputs.one("model"), params.accuracy_control
    preprocessing = preprocessing_of(item)
    indices = split.random_indices(params.samples, context.seed)
    dataset = nncf.Dataset(indices.tolist(), _feeder(model, split, preprocessing, len(indices), context))
    try:
        if control is None:
            options = nncf_options(params, len(indices))
            return nncf.quantize(model, dataset, advanced_parameters=advanced_parameters(params), **options), None
        labelled = open_fitting_split(
            model, item.reference, preprocessing, inputs.one("data"), control.split or parity_split
        )
        examination = examination_of(control, labelled, preprocessing, context)
        controlled = quantise_with_control(model, dataset, len(indices), params, examination)
    except nncf.ValidationError as error:
        raise InvalidInput(
            f"NNCF refuses the ignored operations: {' '.join(str(error).split())}",
            hint="Use names and types that occur in the model.",
        ) from error
    return controlled.model, controlled


def _feeder(
    model: ov.Model, split: ImageSplit, preprocessing: Preprocessing, samples: int, context: OperationContext
) -> Callable[[int], NDArray[np.float32]]:
    """What turns a position in the split into an input; it is where NNCF can be told to stop."""
    repeats = dimensions(model.input(0))[0] or 1
    fed = 0

    def feed(index: int) -> NDArray[np.float32]:
        nonlocal fed
        context.raise_if_cancelled()
        fed += 1
        # Bias correction reads the samples again, so their number is a lower bound of the work.
        context.progress(min(fed, samples), samples, "calibration samples")
        inputs, _ = next(split.batches(preprocessing, 1, indices=[index]))
        return np.repeat(inputs, repeats, axis=0)

    return feed
