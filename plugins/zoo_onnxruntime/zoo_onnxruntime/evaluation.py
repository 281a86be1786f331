"""``onnxruntime.evaluate``: accuracy, size, parameters and multiply-accumulates of an ONNX classifier."""

from zoo_onnxruntime.complexity import count_macs, count_parameters, load_graph
from zoo_onnxruntime.runtime import DEVICE, RUNTIME, open_classifier
from zoo_onnxruntime.specs import EvaluateParams
from zoo_sdk.context import Inputs, OperationContext
from zoo_vision.agreement import check_classes_fit, check_pictures_fit
from zoo_vision.datasets import open_split
from zoo_vision.evaluation import padded, report_complexity, score_split
from zoo_vision.scoring import report


def run(params: EvaluateParams, inputs: Inputs, context: OperationContext) -> None:
    """Evaluate; what does not fit together is refused before the first batch."""
    item = inputs.one("model")
    classifier = open_classifier(item, context.threads)
    split = open_split(inputs.one("data"), params.split)
    check_classes_fit(item.reference, split, classifier.preprocessing, classifier.classes)
    check_pictures_fit(split, classifier.preprocessing)
    batch = classifier.fixed_batch or params.batch
    infer = padded(classifier, batch) if classifier.fixed_batch else classifier
    score = score_split(context, infer, split, classifier.preprocessing, batch=batch, limit=params.limit)
    details = {**classifier.details, "batch": batch}
    report(context, score, dataset="data", split=params.split, runtime=RUNTIME, device=DEVICE, details=details)
    graph = load_graph(item.main_file)
    report_complexity(
        context,
        item,
        parameters=count_parameters(graph),
        macs=count_macs(graph) if classifier.fixed_batch in {None, 1} else None,
        runtime=RUNTIME,
        details={"counted": "weights, convolutions and matrix products of the ONNX graph for one sample"},
    )
    context.log(f"top-1 {score.top1:.2f} % ({score.correct} of {score.samples}), loss {score.loss:.4f}")
