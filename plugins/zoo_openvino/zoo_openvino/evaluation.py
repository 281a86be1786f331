"""``openvino.evaluate``: accuracy, size, parameters and multiply-accumulates of a classifier in OpenVINO."""

import openvino as ov

from zoo_openvino.complexity import count_int8_operations, count_macs, count_parameters
from zoo_openvino.runtime import DEVICE, RUNTIME, class_count, compile_classifier, dimensions, read_model, with_batch
from zoo_openvino.specs import EvaluateParams
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_vision.agreement import check_classes_fit, check_pictures_fit, preprocessing_of
from zoo_vision.datasets import ImageSplit, open_split
from zoo_vision.evaluation import Subject, evaluate, padded, report_complexity


def run(params: EvaluateParams, inputs: Inputs, context: OperationContext) -> None:
    """Evaluate; what does not fit together is refused before the first batch."""
    item, data, other = inputs.one("model"), inputs.one("data"), inputs.optional("reference")
    preprocessing = preprocessing_of(item)
    model = read_model(item)
    split = open_split(data, params.split)
    subject = _subject(item, model, split, params, context)
    reference = _subject(other, read_model(other), split, params, context) if other else None
    evaluate(context, subject, data, split, limit=params.limit, other=reference)
    int8, weighted = count_int8_operations(model)
    fixed_batch = dimensions(model.input(0))[0]
    report_complexity(
        context,
        item,
        parameters=count_parameters(model),
        macs=None if (fixed_batch or 1) > 1 else count_macs(with_batch(model, preprocessing, 1)),
        runtime=RUNTIME,
        details={
            "counted": "weights, convolutions and matrix products of the OpenVINO graph for one sample",
            "int8_operations": int8,
            "operations": weighted,
        },
    )


def _subject(
    item: InputItem, model: ov.Model, split: ImageSplit, params: EvaluateParams, context: OperationContext
) -> Subject:
    """The compiled model, which fits the data."""
    preprocessing = preprocessing_of(item)
    check_classes_fit(item.reference, split, preprocessing, class_count(model))
    check_pictures_fit(split, preprocessing)
    classifier = compile_classifier(
        model,
        preprocessing,
        reference=item.reference,
        precision_hint=params.precision_hint,
        threads=context.threads,
        batch=params.batch,
    )
    return Subject(
        reference=item.reference,
        infer=padded(classifier, classifier.batch),
        preprocessing=preprocessing,
        batch=classifier.batch,
        runtime=RUNTIME,
        device=DEVICE,
        details={**classifier.details, "batch": classifier.batch},
    )
