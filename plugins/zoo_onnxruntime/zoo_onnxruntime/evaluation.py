"""``onnxruntime.evaluate``: accuracy, size, parameters and multiply-accumulates of an ONNX classifier."""

from zoo_onnxruntime.complexity import load_graph
from zoo_onnxruntime.runtime import DEVICE, RUNTIME, Classifier, open_classifier
from zoo_onnxruntime.specs import EvaluateParams
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_vision.agreement import check_classes_fit, check_pictures_fit
from zoo_vision.datasets import ImageSplit, open_split
from zoo_vision.evaluation import Subject, evaluate, padded, report_complexity
from zoo_vision.onnx_costs import count_macs, count_parameters


def run(params: EvaluateParams, inputs: Inputs, context: OperationContext) -> None:
    """Evaluate; what does not fit together is refused before the first batch."""
    item, data, other = inputs.one("model"), inputs.one("data"), inputs.optional("reference")
    split = open_split(data, params.split)
    classifier = open_classifier(item, context.threads)
    subject = _subject(item, classifier, split, params)
    reference = _subject(other, open_classifier(other, context.threads), split, params) if other else None
    evaluate(context, subject, data, split, limit=params.limit, other=reference)
    graph = load_graph(item.main_file)
    report_complexity(
        context,
        item,
        parameters=count_parameters(graph),
        macs=count_macs(graph) if classifier.fixed_batch in {None, 1} else None,
        runtime=RUNTIME,
        details={"counted": "weights, convolutions and matrix products of the ONNX graph for one sample"},
    )


def _subject(item: InputItem, classifier: Classifier, split: ImageSplit, params: EvaluateParams) -> Subject:
    """The classifier, which fits the data."""
    check_classes_fit(item.reference, split, classifier.preprocessing, classifier.classes)
    check_pictures_fit(split, classifier.preprocessing)
    batch = classifier.fixed_batch or params.batch
    return Subject(
        reference=item.reference,
        infer=padded(classifier, batch) if classifier.fixed_batch else classifier,
        preprocessing=classifier.preprocessing,
        batch=batch,
        runtime=RUNTIME,
        device=DEVICE,
        details={**classifier.details, "batch": batch},
    )
