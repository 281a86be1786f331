"""``torch.export_onnx``: PyTorch weights as one ONNX file, compared with its source in ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from zoo_sdk.artifacts import ArtifactDescription, Preprocessing
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.errors import InvalidInput, OperationError
from zoo_sdk.formats import Runtime
from zoo_sdk.vocabulary import Precision
from zoo_torch.conversion.params import ExportOnnxParams
from zoo_torch.devices import compiler_cache_below, prepare_device
from zoo_torch.networks.weights import load_weights
from zoo_torch.training.data import check_channels, model_preprocessing
from zoo_torch.training.results import signature_of
from zoo_vision.agreement import check_pictures_fit
from zoo_vision.datasets import open_split
from zoo_vision.parity import ParityFigures, check_parity, report_parity
from zoo_vision.preprocessing import native_preprocessing

ONNX_FILE = "model.onnx"
INPUT_NAME = "input"
OUTPUT_NAME = "logits"
STEPS = 3
MAX_MESSAGE = 1000


def run(params: ExportOnnxParams, inputs: Inputs, context: OperationContext) -> None:
    """Convert and check; see :class:`zoo_torch.conversion.params.ExportOnnxParams`."""
    prepare_device(context)
    item = inputs.one("model")
    weights = load_weights(item, architecture=params.architecture)
    preprocessing, samples = _parity_inputs(item, inputs, params, context)
    check_channels(item.reference, weights.architecture.in_chans, preprocessing)
    network = weights.build().eval()
    context.raise_if_cancelled()
    context.progress(1, STEPS, "exporting")
    path = context.output() / ONNX_FILE
    with compiler_cache_below(context.scratch):
        export_network(network, samples[:2], params.opset, path)
    context.raise_if_cancelled()
    context.progress(2, STEPS, "checking in ONNX Runtime")
    figures = _compare(network, path, samples, params, context)
    data_port = "data" if inputs.optional("data") else None
    report_parity(
        context,
        figures,
        runtime=Runtime.ONNXRUNTIME,
        dataset=data_port,
        split=params.split if data_port else None,
        details={"inputs": "images" if data_port else "noise", "onnxruntime": onnxruntime.__version__},
    )
    context.measure("size_bytes", path.stat().st_size, runtime=Runtime.ONNXRUNTIME)
    context.artifact(
        ArtifactDescription(
            format="onnx",
            files=(ONNX_FILE,),
            precision=Precision.FP32,
            runtime=Runtime.ONNXRUNTIME,
            signature=signature_of(preprocessing, weights.architecture.num_classes),
            preprocessing=preprocessing,
            details=_details(item, weights.architecture.model_dump(mode="json"), params.opset),
        )
    )
    context.progress(STEPS, STEPS, f"largest difference {figures.max_abs_diff:.2g}")


def export_network(network: nn.Module, example: NDArray[np.float32], opset: int, path: Path) -> None:
    """Write ``network`` as ONNX with a dynamic batch.

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
    _strip_traces(model)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _strip_traces(model: onnx.ModelProto) -> None:
    """Remove stack traces and module names: they carry the maker's folders, and make equal networks unequal files."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
    for initializer in model.graph.initializer:
        del initializer.metadata_props[:]


def _parity_inputs(
    item: InputItem, inputs: Inputs, params: ExportOnnxParams, context: OperationContext
) -> tuple[Preprocessing, NDArray[np.float32]]:
    """The model's preprocessing, and inputs for the check: pictures of ``data``, else noise."""
    preprocessing = model_preprocessing(item)
    data = inputs.optional("data")
    if data is not None:
        split = open_split(data, params.split)
        preprocessing = preprocessing or native_preprocessing(split)
        check_pictures_fit(split, preprocessing)
        batch, _ = next(split.batches(preprocessing, max(2, params.parity_samples)))
        # A single picture is doubled: a batch of one would be exported as a constant.
        return preprocessing, batch if len(batch) > 1 else np.concatenate([batch, batch])
    if preprocessing is None:
        raise InvalidInput(
            f"{item.reference} does not say how its inputs are made, so their size is unknown.",
            hint="Give the input `data`, or push the version with `preprocessing` in its description.",
        )
    shape = (params.parity_samples, preprocessing.channels, *preprocessing.crop)
    return preprocessing, np.random.default_rng(context.seed).standard_normal(shape, dtype=np.float32)


def _compare(
    network: nn.Module, path: Path, samples: NDArray[np.float32], params: ExportOnnxParams, context: OperationContext
) -> ParityFigures:
    with torch.inference_mode():
        reference = network(torch.from_numpy(samples)).numpy()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = context.threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    candidate = np.asarray(session.run([OUTPUT_NAME], {INPUT_NAME: samples})[0])
    allowed = params.parity_tolerance * max(1.0, float(np.abs(reference).max()))
    return check_parity(reference, candidate, max_abs=allowed)


def _details(item: InputItem, architecture: dict[str, Any], opset: int) -> dict[str, Any]:
    known = item.artifact.details if item.artifact else {}
    details: dict[str, Any] = {"architecture": architecture, "opset": opset, "producer": f"torch {torch.__version__}"}
    return details | {key: known[key] for key in ("classes",) if key in known}
