"""``darknet.export_onnx``: cfg and weights as ONNX, compared with a transcription of Darknet in NumPy."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from zoo_darknet.configuration import MAX_CONFIGURATION, Layer, Network, read_configuration
from zoo_darknet.graph import INPUT, OPSET, build_graph
from zoo_darknet.interpreter import run_network
from zoo_darknet.specs import ExportOnnxParams
from zoo_darknet.weights import Weights, read_weights
from zoo_sdk.artifacts import ArtifactDescription, Signature, TensorSpec
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.errors import InvalidInput, OperationError
from zoo_sdk.formats import Runtime
from zoo_sdk.vocabulary import Precision
from zoo_vision import bisection
from zoo_vision.agreement import check_input_fits
from zoo_vision.parity import ParityFigures, check_conversion, parts_of, report_parity
from zoo_vision.parity_inputs import ParityInputs, flat, outputs_over, random_parity_inputs, uniform_parity_inputs

FILE = "model.onnx"
REFERENCE = "Darknet's layers in NumPy"
Outputs = list[NDArray[np.float32]]


@dataclass(frozen=True)
class _Case:
    """What is converted, and the inputs on which it is compared."""

    item: InputItem
    network: Network
    weights: Weights
    chosen: ParityInputs
    params: ExportOnnxParams


def run(params: ExportOnnxParams, inputs: Inputs, context: OperationContext) -> None:
    """Convert, save, and keep the result only if it computes what Darknet's layers compute."""
    item = inputs.one("model")
    context.raise_if_cancelled()
    context.progress(0, 3, "reading the network")
    network, weights = _read(item)
    case = _Case(item, network, weights, _parity_inputs(params, item, network, context.seed), params)
    path = context.output() / FILE
    path.write_bytes(_serialised(build_graph(network, weights, fold=params.fold)))
    context.progress(1, 3, "comparing with a transcription in NumPy")
    batches = case.chosen.batches
    reference = outputs_over(
        lambda batch: flat(_reference(case, batch)), batches(), largest=1, before_batch=context.raise_if_cancelled
    )
    context.progress(2, 3, "comparing with a transcription in NumPy")
    session = _session(path.read_bytes(), context.threads)
    candidate = outputs_over(
        lambda batch: flat(_run(session, batch)), batches(), largest=8, before_batch=context.raise_if_cancelled
    )
    names = [port.name for port in session.get_outputs()]
    figures = check_conversion(
        reference,
        candidate,
        parts_of(names, _run(session, case.chosen.sample(0))),
        precision=Precision.FP32,
        max_abs=params.max_abs_diff,
        locate=lambda sample, output: _locate(case, sample, output, context.threads),
    )
    _declare(case, figures, context)
    context.progress(3, 3, "done")


def _read(item: InputItem) -> tuple[Network, Weights]:
    if item.artifact is None or item.artifact.format != "darknet":
        raise InvalidInput(f"{item.reference} is {item.artifact.format if item.artifact else 'no model'}, not darknet.")
    files = {path.rpartition(".")[2].lower(): item.folder / path for path in item.artifact.files}
    if not {"cfg", "weights"} <= set(files):
        raise InvalidInput(
            f"{item.reference} has the files {', '.join(item.artifact.files)}; a .cfg and a .weights are needed.",
            hint="Push both files as one artifact.",
        )
    if files["cfg"].stat().st_size > MAX_CONFIGURATION:
        raise InvalidInput(f"{files['cfg'].name!r} is larger than {MAX_CONFIGURATION:,} bytes.")
    network = read_configuration(files["cfg"].read_text("utf-8", "replace"))
    return network, read_weights(files["weights"], network)


def _parity_inputs(params: ExportOnnxParams, item: InputItem, network: Network, seed: int) -> ParityInputs:
    preprocessing = item.artifact.preprocessing if item.artifact else None
    if preprocessing is None:
        return uniform_parity_inputs(network.shape, params.parity_samples, seed)
    check_input_fits(item.reference, preprocessing, (None, *network.shape))
    return random_parity_inputs(preprocessing, params.parity_samples, seed)


def _serialised(model: onnx.ModelProto) -> bytes:
    try:
        return model.SerializeToString(deterministic=True)
    except ValueError as error:  # protobuf's limit
        raise InvalidInput("The weights take more than 2 GiB, the most that one ONNX file holds.") from error


def _reference(case: _Case, batch: NDArray[np.float32]) -> Outputs:
    """The outputs for a batch of one."""
    values = run_network(case.network, case.weights, batch[0])
    return [values[number][None] for number in dict.fromkeys(case.network.outputs)]


def _session(content: bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise OperationError(f"ONNX Runtime {onnxruntime.__version__} cannot open the new model: {error}") from error


def _run(session: onnxruntime.InferenceSession, inputs: NDArray[np.float32]) -> Outputs:
    try:
        return [np.asarray(output) for output in session.run(None, {INPUT: inputs})]
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise OperationError(f"ONNX Runtime could not run the new model: {error}") from error


def _locate(case: _Case, sample: int, output: int, threads: int) -> bisection.WorstLayer | None:
    """The layer at which both part in one output: the graph's values carry the names of the layers."""
    inputs = case.chosen.sample(sample)
    values = run_network(case.network, case.weights, inputs[0])
    made = {layer.name: values[layer.number][None] for layer in case.network.layers}

    def graph_values(names: Sequence[str]) -> Outputs:
        model = build_graph(case.network, case.weights, fold=case.params.fold, show=names)
        return _run(_session(_serialised(model), threads), inputs)

    inner = [layer for layer in case.network.layers if _is_inside(layer, case.network)]
    last = case.network.layers[list(dict.fromkeys(case.network.outputs))[output]]
    return bisection.find_worst_layer(
        [bisection.Layer(layer.name, layer.kind) for layer in inner],
        lambda names: {name: made[name] for name in names},
        lambda names: dict(zip(names, graph_values(names)[-len(names) :], strict=True)),
        output=bisection.Layer(last.name, last.kind),
        output_error=bisection.relative_error(
            flat([_reference(case, inputs)[output]]), flat([graph_values(())[output]])
        ),
    )


def _is_inside(layer: Layer, network: Network) -> bool:
    """Whether the graph has a value of its own for the layer that is not an output already."""
    passing = {"dropout", "cost", "yolo", "region"}
    return layer.kind not in passing and layer.number not in network.outputs and layer.shape[1:] != (1, 1)


def _declare(case: _Case, figures: ParityFigures, context: OperationContext) -> None:
    item, network = case.item, case.network
    preprocessing = item.artifact.preprocessing if item.artifact else None
    versions = {"numpy": np.__version__, "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
    facts = {"versions": versions, "inputs": case.chosen.origin, "reference_runtime": REFERENCE}
    model = onnx.load(str(context.output() / FILE), load_external_data=False)
    details = {
        **(item.artifact.details if item.artifact else {}),
        "opset": OPSET,
        "darknet_version": case.weights.version,
        "parameters": case.weights.parameters,
        "heads": [_head(layer, network) for layer in network.heads],
        "parity": {**asdict(figures), **facts},
    }
    context.artifact(
        ArtifactDescription(
            format="onnx",
            files=(FILE,),
            precision=Precision.FP32,
            runtime=str(Runtime.ONNXRUNTIME),
            signature=_signature(model),
            preprocessing=preprocessing,
            details=details,
        )
    )
    report_parity(context, figures, runtime=str(Runtime.ONNXRUNTIME), details=facts)
    context.log(f"{len(network.layers)} layers, {case.weights.parameters:,} parameters, no weight left over")


def _head(layer: Layer, network: Network) -> dict[str, Any]:
    """What decodes boxes from a raw output: the settings of its head as they are in the configuration."""
    kept = ("anchors", "mask", "classes", "num", "scale_x_y", "coords", "softmax", "new_coords")
    settings = {key: layer.text(key, "") for key in kept if key in layer.settings}
    output = network.layers[layer.sources[0]]
    return {"kind": layer.kind, "output": output.name, "stride": network.shape[1] // output.shape[1], **settings}


def _signature(model: onnx.ModelProto) -> Signature:
    def tensor(value: Any) -> TensorSpec:
        sizes = tuple(dim.dim_value or None for dim in value.type.tensor_type.shape.dim)
        return TensorSpec(name=value.name, shape=sizes, layout="NCHW" if len(sizes) == 4 else "NC")

    return Signature(
        inputs=tuple(tensor(value) for value in model.graph.input),
        outputs=tuple(tensor(value) for value in model.graph.output),
    )
