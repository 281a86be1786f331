"""``tflite.evaluate``: accuracy, size and parameters of a TFLite classifier."""

import math
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_tflite.runtime import DEVICE, RUNTIME, open_classifier
from zoo_tflite.specs import EvaluateParams
from zoo_vision.agreement import check_classes_fit, check_pictures_fit
from zoo_vision.datasets import ImageSplit, open_split
from zoo_vision.evaluation import Subject, evaluate, padded, report_complexity

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
    item, data, other = inputs.one("model"), inputs.one("data"), inputs.optional("reference")
    split = open_split(data, params.split)
    subject = _subject(item, split, context)
    reference = _subject(other, split, context) if other else None
    evaluate(context, subject, data, split, limit=params.limit, other=reference)
    report_complexity(
        context,
        item,
        parameters=count_parameters(item.main_file),
        macs=None,
        runtime=RUNTIME,
        details={"counted": "constant tensors of the file, biases of integer layers included, shapes and axes not"},
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
