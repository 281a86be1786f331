"""``torch.evaluate_integers``: what packed integer weights achieve on a data set, computed with integers in numpy.

An operation of its own, beside ``torch.evaluate``: a version that ``torch.quantize_aware`` made has a checkpoint and
packed integers, and an input takes the first format of its port that a version has, so that one operation for both
could never be pointed at the integers.
"""

from math import prod

import numpy as np

from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.formats import Runtime
from zoo_torch.quantization.params import EvaluateIntegersParams
from zoo_vision.agreement import check_classes_fit, check_input_fits, check_pictures_fit, preprocessing_of
from zoo_vision.datasets import open_split
from zoo_vision.evaluation import Subject, evaluate
from zoo_vision.integer.bits import packed_size
from zoo_vision.integer.files import read_network
from zoo_vision.integer.graph import Convolution, Graph, Linear
from zoo_vision.integer.simulator import Simulator

FLOAT_BITS = 32


def run(params: EvaluateIntegersParams, inputs: Inputs, context: OperationContext) -> None:
    """Measure accuracy in many forms, effective_bits, effective_size_bytes and size_bytes."""
    item = inputs.one("model")
    preprocessing = preprocessing_of(item)
    network = read_network(item.main_file, item.reference)
    data = inputs.one("data")
    split = open_split(data, params.split)
    shapes = network.graph.shapes()
    check_input_fits(item.reference, preprocessing, (None, *shapes[0]))
    check_classes_fit(item.reference, split, preprocessing, prod(shapes[-1]))
    check_pictures_fit(split, preprocessing)
    subject = Subject(
        reference=item.reference,
        infer=Simulator(network),
        preprocessing=preprocessing,
        batch=params.batch_size,
        runtime=Runtime.NUMPY,
        details={"threads": context.threads, "numpy": np.__version__, "batch_size": params.batch_size},
    )
    evaluate(context, subject, data, split, limit=params.limit_samples)
    bits, size = _packed(network.graph)
    context.measure("effective_bits", bits, runtime=Runtime.NUMPY)
    context.measure("effective_size_bytes", size, runtime=Runtime.NUMPY)
    context.measure("size_bytes", item.main_file.stat().st_size, runtime=Runtime.NUMPY)


def _packed(graph: Graph) -> tuple[float, int]:
    """Mean bits of a weight, and bytes of all numbers."""
    layers = [node for node in graph.nodes if isinstance(node, (Convolution, Linear))]
    counts = [prod(node.weight_shape) for node in layers]
    bits = [FLOAT_BITS if node.integers is None else node.integers.weight_bits for node in layers]
    others = sum(2 * node.outputs + (node.integers is not None) for node in layers)
    others += sum(2 * node.channels for node in graph.nodes if node.op == "affine")
    weights = sum(packed_size(count, width) for count, width in zip(counts, bits, strict=True))
    mean = sum(count * width for count, width in zip(counts, bits, strict=True)) / sum(counts)
    return mean, weights + 4 * others
