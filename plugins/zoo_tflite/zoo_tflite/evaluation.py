"""``tflite.evaluate``: accuracy, size and parameters of a TFLite classifier."""

import math
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from zoo_sdk.context import Inputs, OperationContext
from zoo_tflite.runtime import DEVICE, RUNTIME, open_classifier
from zoo_tflite.specs import EvaluateParams
from zoo_vision.agreement import check_classes_fit, check_pictures_fit
from zoo_vision.datasets import open_split
from zoo_vision.evaluation import padded, report_complexity, score_split
from zoo_vision.scoring import report

_WEIGHT_TYPES = frozenset(
    {
        schema.TensorType.FLOAT32,
        schema.TensorType.FLOAT16,
        schema.TensorType.BFLOAT16,
        schema.TensorType.INT8,
        schema.TensorType.UINT8,
        schema.TensorType.INT4,
    }
)


def run(params: EvaluateParams, inputs: Inputs, context: OperationContext) -> None:
    """Evaluate; what does not fit together is refused before the first batch."""
    item = inputs.one("model")
    classifier = open_classifier(item, context.threads)
    preprocessing = classifier.preprocessing
    split = open_split(inputs.one("data"), params.split)
    check_classes_fit(item.reference, split, preprocessing, classifier.classes)
    check_pictures_fit(split, preprocessing)
    infer = padded(classifier, classifier.batch)
    score = score_split(context, infer, split, preprocessing, batch=classifier.batch, limit=params.limit)
    details = {**classifier.details, "batch": classifier.batch}
    report(context, score, dataset="data", split=params.split, runtime=RUNTIME, device=DEVICE, details=details)
    report_complexity(
        context,
        item,
        parameters=count_parameters(item.main_file),
        macs=None,
        runtime=RUNTIME,
        details={"counted": "constant tensors of the file, biases of integer layers included, shapes and axes not"},
    )
    context.log(f"top-1 {score.top1:.2f} % ({score.correct} of {score.samples}), loss {score.loss:.4f}")


def count_parameters(path: Path) -> int:
    """The values in all constants of a file that the interpreter has opened, and so checked, before."""
    model = schema.Model.GetRootAsModel(path.read_bytes(), 0)
    total = 0
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        for index in range(graph.TensorsLength()):
            tensor = graph.Tensors(index)
            shape = [tensor.Shape(axis) for axis in range(tensor.ShapeLength())]
            if shape and model.Buffers(tensor.Buffer()).DataLength() and _is_weight(tensor):
                total += math.prod(shape)
    return total


def _is_weight(tensor: schema.Tensor) -> bool:
    quantised = tensor.Quantization() is not None and tensor.Quantization().ScaleLength() > 0
    return tensor.Type() in _WEIGHT_TYPES or (tensor.Type() == schema.TensorType.INT32 and quantised)
