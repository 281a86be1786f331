"""``onnxruntime.optimise``: ONNX Runtime's graph optimisations, done once and saved."""

from typing import Literal

import onnx
import onnxruntime
from onnx import ModelProto

from zoo_onnxruntime.comparison import compare_conversion, declare, open_source
from zoo_onnxruntime.graphs import FILE, foreign_domains, opset_of, write_graph
from zoo_onnxruntime.runtime import PROVIDERS, session_options
from zoo_onnxruntime.specs import OptimiseParams
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import OperationError

LEVELS = {
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}
STEPS = 3


def run(params: OptimiseParams, inputs: Inputs, context: OperationContext) -> None:
    """Optimise, save, and keep the result only if it computes what its source computes."""
    source = open_source(
        inputs, context, split=params.parity_split, samples=params.parity_samples, several_outputs=True
    )
    context.progress(1, STEPS, "optimising")
    before = len(source.graph.graph.node)
    path = context.output() / FILE
    model = write_graph(optimised(source.graph, params.level, context), path)
    context.progress(2, STEPS, "comparing with the source")
    made, figures = compare_conversion(source, path, context, params, source.precision)
    domains = foreign_domains(model)
    details = {
        "opset": opset_of(model),
        "optimised": params.level,
        "nodes": len(model.graph.node),
        "nodes_before": before,
    }
    declare(
        source,
        made,
        figures,
        context,
        ArtifactDescription(
            format="onnx", files=(FILE,), precision=source.precision, details={**details, "operator_sets": domains}
        ),
    )
    context.log(f"{before} operations became {len(model.graph.node)}.")
    if domains:
        context.log(f"The new file uses operations of {', '.join(domains)}: other runtimes may not read it.")
    context.progress(STEPS, STEPS, "done")


def optimised(model: ModelProto, level: Literal["basic", "extended"], context: OperationContext) -> ModelProto:
    """The graph after ONNX Runtime's optimisations of that level, none of which depend on the processor.

    Raises:
        OperationError: ONNX Runtime refuses the graph.

    """
    path = context.scratch / "optimised.onnx"
    options = session_options(context.threads)
    options.graph_optimization_level = LEVELS[level]
    options.optimized_model_filepath = str(path)
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=PROVIDERS)
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise OperationError(f"ONNX Runtime {onnxruntime.__version__} cannot optimise the model: {error}") from error
    return onnx.load(str(path))
