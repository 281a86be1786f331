"""``torch.export_onnx``: PyTorch weights as one ONNX file, compared with its source in ONNX Runtime."""

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import OperationError
from zoo_sdk.formats import Runtime
from zoo_torch.conversion.params import ExportOnnxParams
from zoo_torch.conversion.sources import MAX_MESSAGE, check_export, declare_export, open_source
from zoo_torch.devices import compiler_cache_below
from zoo_vision.bisection import Values
from zoo_vision.onnx_graphs import expose

ONNX_FILE = "model.onnx"
INPUT_NAME = "input"
OUTPUT_NAME = "logits"
SCOPES = "pkg.torch.onnx.name_scopes"
"""The exporter's note on each node: the modules around it, outermost first, then its own name."""


def run(params: ExportOnnxParams, inputs: Inputs, context: OperationContext) -> None:
    """Convert and check; see :class:`zoo_torch.conversion.params.ExportOnnxParams`."""
    source = open_source(params, inputs, context)
    path = context.output() / ONNX_FILE
    with compiler_cache_below(context.scratch):
        values = export_network(source.network, source.example.numpy(), params.opset, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = context.threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def infer(batch: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(session.run([OUTPUT_NAME], {INPUT_NAME: batch})[0])

    def inside(sample: NDArray[np.float32]) -> Values:
        return _values_of_file(path, values, sample, options)

    figures = check_export(source, infer, inside, params, context)
    artifact = ArtifactDescription(
        format="onnx",
        files=(ONNX_FILE,),
        runtime=Runtime.ONNXRUNTIME,
        details={"opset": params.opset, "onnxruntime": onnxruntime.__version__},
    )
    declare_export(source, figures, artifact, context)


def export_network(network: nn.Module, example: NDArray[np.float32], opset: int, path: Path) -> dict[str, str]:
    """Write ``network`` as ONNX with a dynamic batch; returns which value of the graph is which module's output.

    Uses torch.export (``dynamo=True``).  The older tracing exporter takes a tenth of the time on small networks, but is
    deprecated, and it bakes the traced path of data-dependent code into the file without a word.
    """
    try:
        program = torch.onnx.export(
            network,
            (torch.from_numpy(example),),
            dynamo=True,
            verbose=False,
            opset_version=opset,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    except torch.onnx.OnnxExporterError as error:
        raise OperationError(
            f"PyTorch cannot export this network to ONNX with opset {opset}: {error}"[:MAX_MESSAGE],
            hint="Its code may depend on the batch or on values; try another architecture or opset.",
        ) from error
    if program is None:
        raise OperationError("torch.onnx.export made no program.")
    model = program.model_proto
    values = _module_values(model)
    _strip_traces(model)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return values


def _module_values(model: onnx.ModelProto) -> dict[str, str]:
    """Module -> the last value that it computes.

    Layers whose weights were joined with a neighbour's have no nodes or other values; only modules with several nodes
    can be compared then, so the others are left out.
    """
    found: dict[str, str] = {}
    counts: dict[str, int] = {}
    for node in model.graph.node:
        note = next((prop.value for prop in node.metadata_props if prop.key == SCOPES), "[]")
        for module in ast.literal_eval(note)[:-1]:
            if module:
                found[module] = node.output[0]
                counts[module] = counts.get(module, 0) + 1
    has_normalisations = any(node.op_type == "BatchNormalization" for node in model.graph.node)
    return {module: value for module, value in found.items() if has_normalisations or counts[module] > 1}


def _strip_traces(model: onnx.ModelProto) -> None:
    """Remove stack traces and module names: they carry the maker's folders, and make equal networks unequal files."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
    for initializer in model.graph.initializer:
        del initializer.metadata_props[:]


def _values_of_file(
    path: Path, values: Mapping[str, str], sample: NDArray[np.float32], options: onnxruntime.SessionOptions
) -> Values:
    """Values inside the file, by the modules of the source."""

    def answer(names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        model = onnx.load(path)
        asked = {name: values[name] for name in names if name in values}
        expose(model, asked.values())
        given = {value.name for value in model.graph.output}
        asked = {name: value for name, value in asked.items() if value in given}
        if not asked:
            return {}
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found = session.run(list(asked.values()), {INPUT_NAME: sample})
        return dict(zip(asked, found, strict=True))

    return answer
