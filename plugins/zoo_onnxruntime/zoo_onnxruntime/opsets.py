"""``onnxruntime.convert_opset``: an ONNX model in another version of the standard operator set."""

import onnx
from onnx import ModelProto, version_converter

from zoo_onnxruntime.comparison import compare_conversion, declare, open_source
from zoo_onnxruntime.graphs import FILE, foreign_domains, opset_of, write_graph
from zoo_onnxruntime.specs import ConvertOpsetParams
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import InvalidInput, OperationError

STEPS = 3
MAX_MESSAGE = 500


def run(params: ConvertOpsetParams, inputs: Inputs, context: OperationContext) -> None:
    """Convert, save, and keep the result only if it computes what its source computes."""
    source = open_source(
        inputs, context, split=params.parity_split, samples=params.parity_samples, several_outputs=True
    )
    context.progress(1, STEPS, "converting")
    before = opset_of(source.graph)
    path = context.output() / FILE
    write_graph(converted_to(source.graph, params.target_opset, source.item.reference), path)
    context.progress(2, STEPS, "comparing with the source")
    made, figures = compare_conversion(source, path, context, params, source.precision)
    details = {"opset": params.target_opset, "opset_before": before}
    description = ArtifactDescription(format="onnx", files=(FILE,), precision=source.precision, details=details)
    declare(source, made, figures, context, description)
    context.progress(STEPS, STEPS, f"operator set {before} -> {params.target_opset}")


def converted_to(model: ModelProto, opset: int, reference: str) -> ModelProto:
    """The graph in that operator set.

    Raises:
        InvalidInput: an operator set that the installed ONNX does not know, or operations that are not standard.
        OperationError: an operation cannot be said in that set.

    """
    newest = onnx.defs.onnx_opset_version()
    if max(opset, opset_of(model)) > newest:
        which = f"target_opset = {opset}" if opset > newest else f"{reference} has operator set {opset_of(model)}"
        raise InvalidInput(
            f"{which}, but ONNX {onnx.__version__} knows operator sets up to {newest}.",
            hint="Take an older operator set, or a worker with a newer ONNX.",
            facts={"field": "target_opset"},
        )
    if domains := foreign_domains(model):
        raise InvalidInput(
            f"{reference} uses operations of {', '.join(domains)}, which have no versions to convert between.",
            hint="Convert the model before it is optimised for one runtime.",
        )
    try:
        converted: ModelProto = version_converter.convert_version(model, opset)
    except (RuntimeError, version_converter.ConvertError) as error:
        raise OperationError(
            f"ONNX {onnx.__version__} cannot convert {reference} from operator set {opset_of(model)} to {opset}: "
            f"{error}"[:MAX_MESSAGE],
            hint="Choose a set nearer to the present one, or export the model again.",
        ) from error
    converted.ir_version = max(model.ir_version, onnx.helper.find_min_ir_version_for(converted.opset_import))
    return converted
