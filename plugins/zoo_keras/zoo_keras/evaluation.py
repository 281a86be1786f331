"""``keras.evaluate``: accuracy, size, parameters and multiply-accumulates of a Keras classifier in Keras."""

from zoo_keras.complexity import count_macs
from zoo_keras.runtime import DEVICE, RUNTIME
from zoo_keras.scoring import Classifier, open_classifier
from zoo_keras.specs import EvaluateParams
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_vision.agreement import check_classes_fit, check_pictures_fit
from zoo_vision.datasets import ImageSplit, open_split
from zoo_vision.evaluation import Subject, evaluate, report_complexity


def run(params: EvaluateParams, inputs: Inputs, context: OperationContext) -> None:
    """Evaluate; what does not fit together is refused before the first batch."""
    item, data, other = inputs.one("model"), inputs.one("data"), inputs.optional("reference")
    split = open_split(data, params.split)
    classifier = _opened(item, params, context)
    subject = _subject(item, classifier, split, params)
    reference = _subject(other, _opened(other, params, context), split, params) if other else None
    evaluate(context, subject, data, split, limit=params.limit, other=reference)
    report_complexity(
        context,
        item,
        parameters=classifier.parameters,
        macs=count_macs(classifier.loaded),
        runtime=RUNTIME,
        details={"counted": "trainable weights of the layers; convolutions and matrix products for one sample"},
    )


def _opened(item: InputItem, params: EvaluateParams, context: OperationContext) -> Classifier:
    return open_classifier(item, context, threads=context.threads, architecture=params.architecture)


def _subject(item: InputItem, classifier: Classifier, split: ImageSplit, params: EvaluateParams) -> Subject:
    """The classifier, which fits the data."""
    check_classes_fit(item.reference, split, classifier.preprocessing, classifier.classes)
    check_pictures_fit(split, classifier.preprocessing)
    return Subject(
        reference=item.reference,
        infer=classifier,
        preprocessing=classifier.preprocessing,
        batch=params.batch,
        runtime=RUNTIME,
        device=DEVICE,
        details={**classifier.details, "batch": params.batch},
    )
