"""``keras.evaluate``: accuracy, size and parameters of a Keras classifier in Keras."""

from zoo_keras.runtime import DEVICE, RUNTIME
from zoo_keras.scoring import open_classifier
from zoo_keras.specs import EvaluateParams
from zoo_sdk.context import Inputs, OperationContext
from zoo_vision.agreement import check_classes_fit, check_pictures_fit
from zoo_vision.datasets import open_split
from zoo_vision.evaluation import report_complexity, score_split
from zoo_vision.scoring import report


def run(params: EvaluateParams, inputs: Inputs, context: OperationContext) -> None:
    """Evaluate; what does not fit together is refused before the first batch."""
    item = inputs.one("model")
    classifier = open_classifier(item, context, threads=context.threads, architecture=params.architecture)
    preprocessing = classifier.preprocessing
    split = open_split(inputs.one("data"), params.split)
    check_classes_fit(item.reference, split, preprocessing, classifier.classes)
    check_pictures_fit(split, preprocessing)
    score = score_split(context, classifier, split, preprocessing, batch=params.batch, limit=params.limit)
    details = {**classifier.details, "batch": params.batch}
    report(context, score, dataset="data", split=params.split, runtime=RUNTIME, device=DEVICE, details=details)
    report_complexity(
        context,
        item,
        parameters=classifier.parameters,
        macs=None,
        runtime=RUNTIME,
        details={"counted": "trainable weights of the layers; the file may hold an optimiser's beside them"},
    )
    context.log(f"top-1 {score.top1:.2f} % ({score.correct} of {score.samples}), loss {score.loss:.4f}")
