"""``onnxruntime.convert_fp16``: an ONNX model with weights and arithmetic in half precision."""

import warnings

from onnx import ModelProto
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

from zoo_onnxruntime.comparison import Source, compare_conversion, declare, open_source
from zoo_onnxruntime.graphs import FILE, check_is_float, opset_of, with_names, write_graph
from zoo_onnxruntime.specs import ConvertFp16Params
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import UnknownName
from zoo_sdk.vocabulary import Precision

STEPS = 3


def run(params: ConvertFp16Params, inputs: Inputs, context: OperationContext) -> None:
    """Convert, save, and keep the result only if it computes what its source computes."""
    source = open_source(
        inputs, context, split=params.parity_split, samples=params.parity_samples, several_outputs=True
    )
    check_is_float(source.graph, source.item.reference)
    context.progress(1, STEPS, "converting")
    path = context.output() / FILE
    model = write_graph(_halved(source, params, context), path)
    context.progress(2, STEPS, "comparing with the source")
    made, figures = compare_conversion(source, path, context, params, Precision.FP16)
    details = {"opset": opset_of(model), "keep_io_types": params.keep_io_types, "kept_names": list(params.kept_names)}
    description = ArtifactDescription(format="onnx", files=(FILE,), precision=Precision.FP16, details=details)
    declare(source, made, figures, context, description)
    context.progress(STEPS, STEPS, f"largest difference {figures.max_abs_diff:.2g}")


def _halved(source: Source, params: ConvertFp16Params, context: OperationContext) -> ModelProto:
    model = ModelProto()
    model.CopyFrom(with_names(source.graph))
    kinds = {node.op_type for node in model.graph.node}
    names = {node.name for node in model.graph.node}
    for kind in params.kept_types:
        if kind not in kinds:
            raise UnknownName(f"operation type of {source.item.reference}", kind, kinds)
    for name in params.kept_names:
        if name not in names:
            raise UnknownName(f"node of {source.item.reference}", name, names)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        halved: ModelProto = convert_float_to_float16(
            model,
            keep_io_types=params.keep_io_types,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *params.kept_types],
            node_block_list=list(params.kept_names),
        )
    for warning in told:
        context.log(f"Half precision: {warning.message}")
    return halved
