"""``openvino.evaluate``: accuracy, size, parameters and multiply-accumulates of a classifier in OpenVINO."""

from zoo_openvino.comparison import open_fitting_split
from zoo_openvino.complexity import count_int8_operations, count_macs, count_parameters
from zoo_openvino.runtime import DEVICE, RUNTIME, compile_classifier, dimensions, read_model, with_batch
from zoo_openvino.specs import EvaluateParams
from zoo_sdk.context import Inputs, OperationContext
from zoo_vision.agreement import preprocessing_of
from zoo_vision.evaluation import padded, report_complexity, score_split
from zoo_vision.scoring import report


def run(params: EvaluateParams, inputs: Inputs, context: OperationContext) -> None:
    """Evaluate; what does not fit together is refused before the first batch."""
    item = inputs.one("model")
    preprocessing = preprocessing_of(item)
    model = read_model(item)
    split = open_fitting_split(model, item.reference, preprocessing, inputs.one("data"), params.split)
    classifier = compile_classifier(
        model,
        preprocessing,
        reference=item.reference,
        precision_hint=params.precision_hint,
        threads=context.threads,
        batch=params.batch,
    )
    infer = padded(classifier, classifier.batch)
    score = score_split(context, infer, split, preprocessing, batch=classifier.batch, limit=params.limit)
    details = {**classifier.details, "batch": classifier.batch}
    report(context, score, dataset="data", split=params.split, runtime=RUNTIME, device=DEVICE, details=details)
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
    context.log(f"top-1 {score.top1:.2f} % ({score.correct} of {score.samples}), loss {score.loss:.4f}")
