"""``tflite.evaluate``: accuracy, size, parameters and multiply-accumulates of a TFLite classifier."""

from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_tflite.complexity import count_macs, count_parameters, read_tables
from zoo_tflite.runtime import DEVICE, RUNTIME, open_classifier
from zoo_tflite.specs import EvaluateParams
from zoo_vision.agreement import check_classes_fit, check_pictures_fit
from zoo_vision.datasets import ImageSplit, open_split
from zoo_vision.evaluation import Subject, evaluate, padded, report_complexity


def run(params: EvaluateParams, inputs: Inputs, context: OperationContext) -> None:
    """Evaluate; what does not fit together is refused before the first batch."""
    item, data, other = inputs.one("model"), inputs.one("data"), inputs.optional("reference")
    split = open_split(data, params.split)
    subject = _subject(item, split, context)
    reference = _subject(other, split, context) if other else None
    evaluate(context, subject, data, split, limit=params.limit, other=reference)
    tables = read_tables(item.main_file)
    report_complexity(
        context,
        item,
        parameters=count_parameters(tables),
        macs=count_macs(tables) if subject.batch == 1 else None,
        runtime=RUNTIME,
        details={
            "counted": "constant tensors of the file, biases of integer layers included, shapes and axes not; "
            "convolutions and matrix products for one sample"
        },
    )


def _subject(item: InputItem, split: ImageSplit, context: OperationContext) -> Subject:
    """The open model, which fits the data."""
    classifier = open_classifier(item, context.threads)
    check_classes_fit(item.reference, split, classifier.preprocessing, classifier.classes)
    check_pictures_fit(split, classifier.preprocessing)
    return Subject(
        reference=item.reference,
        infer=padded(classifier, classifier.batch),
        preprocessing=classifier.preprocessing,
        batch=classifier.batch,
        runtime=RUNTIME,
        device=DEVICE,
        details={**classifier.details, "batch": classifier.batch},
    )
