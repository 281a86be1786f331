"""``openvino.quantize``: NNCF's post-training quantization to INT8, checked against the float model."""

from collections.abc import Callable
from functools import partial
from typing import Any

import nncf
import numpy as np
import openvino as ov
from numpy.typing import NDArray

from zoo_openvino.comparison import PRECISION_HINT, open_fitting_split, outputs_of, parity_details, real_batches
from zoo_openvino.complexity import count_int8_operations
from zoo_openvino.runtime import RUNTIME, dimensions, read_model, signature_of, unreadable, versions
from zoo_openvino.saving import FILES, own_names, save
from zoo_openvino.specs import QuantizeParams
from zoo_sdk.artifacts import ArtifactDescription, Preprocessing
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.errors import InvalidInput, OperationError
from zoo_sdk.vocabulary import Precision
from zoo_vision.agreement import check_input_fits, preprocessing_of
from zoo_vision.datasets import ImageSplit
from zoo_vision.parity import check_parity, report_parity

DEFAULT_PARITY_SPLIT = "test"


def run(params: QuantizeParams, inputs: Inputs, context: OperationContext) -> None:
    """Quantize, save, and keep the result only if it agrees with the float model often enough."""
    item, data = inputs.one("model"), inputs.one("data")
    preprocessing = preprocessing_of(item)
    source = _float_model(item)
    check_input_fits(item.reference, preprocessing, dimensions(source.input(0)))
    calibration = open_fitting_split(source, item.reference, preprocessing, data, params.split)
    parity_split = params.parity_split or _default_parity_split(params, data)
    test = open_fitting_split(source, item.reference, preprocessing, data, parity_split)
    batches = partial(real_batches, test, preprocessing, params.parity_samples, context.seed)
    reference = outputs_of(source, item.reference, preprocessing, batches(), context)
    quantised = _quantised(source, calibration, preprocessing, params, context)
    reloaded = save(quantised, context.output(), scratch=context.scratch, keep=own_names(item), compress_to_fp16=False)
    operations = _checked_operations(reloaded, item.reference)
    candidate = outputs_of(reloaded, "the quantized model", preprocessing, batches(), context)
    figures = check_parity(reference, candidate, max_abs=None, min_agreement=params.min_agreement)
    facts = {"versions": {**versions(), "nncf": nncf.__version__}, **operations}
    context.artifact(
        ArtifactDescription(
            format="openvino-ir",
            files=FILES,
            precision=Precision.INT8,
            runtime=RUNTIME,
            signature=signature_of(reloaded, preprocessing),
            preprocessing=preprocessing,
            details={**_details_of(item), **facts, "parity": parity_details(figures, inputs="data")},
        )
    )
    details = {**facts, "precision_hint": PRECISION_HINT}
    report_parity(context, figures, runtime=RUNTIME, dataset="data", split=parity_split, details=details)
    context.log(
        f"{operations['int8_operations']} of {operations['operations']} operations are INT8; "
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


def _details_of(item: InputItem) -> dict[str, Any]:
    return dict(item.artifact.details) if item.artifact else {}


def _quantised(
    model: ov.Model,
    split: ImageSplit,
    preprocessing: Preprocessing,
    params: QuantizeParams,
    context: OperationContext,
) -> ov.Model:
    indices = split.random_indices(params.samples, context.seed)
    dataset = nncf.Dataset(indices.tolist(), _feeder(model, split, preprocessing, len(indices), context))
    presets = {"performance": nncf.QuantizationPreset.PERFORMANCE, "mixed": nncf.QuantizationPreset.MIXED}
    scope = nncf.IgnoredScope(names=list(params.ignored_names), types=list(params.ignored_types))
    try:
        return nncf.quantize(
            model,
            dataset,
            preset=presets[params.preset],
            subset_size=len(indices),
            fast_bias_correction=params.fast_bias_correction,
            model_type=nncf.ModelType.TRANSFORMER if params.model_type == "transformer" else None,
            ignored_scope=scope,
        )
    except nncf.ValidationError as error:
        raise InvalidInput(
            f"NNCF refuses the ignored operations: {' '.join(str(error).split())}",
            hint="Use names and types that occur in the model.",
        ) from error


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
