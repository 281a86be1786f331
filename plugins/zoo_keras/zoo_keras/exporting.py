"""``keras.export_onnx``: a Keras network as ONNX, compared with the network in Keras itself."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from zoo_keras.graphs.builder import OPSET
from zoo_keras.graphs.emitting import emit
from zoo_keras.loading import Loaded, load
from zoo_keras.runtime import call, use_threads, values_inside, versions
from zoo_keras.specs import ExportOnnxParams
from zoo_sdk.artifacts import ArtifactDescription, Preprocessing, Signature, TensorSpec
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.errors import InvalidInput, OperationError
from zoo_sdk.formats import Runtime
from zoo_sdk.vocabulary import Precision
from zoo_vision.agreement import check_classes_fit, check_input_fits, check_pictures_fit
from zoo_vision.bisection import Layer, WorstLayer, find_worst_layer, relative_error
from zoo_vision.datasets import open_split
from zoo_vision.parity import ParityFigures, check_conversion, parts_of, report_parity
from zoo_vision.parity_inputs import (
    BATCH,
    ParityInputs,
    flat,
    outputs_over,
    parity_inputs_of,
    random_parity_inputs,
    uniform_parity_inputs,
)

FILE = "model.onnx"


@dataclass(frozen=True)
class _Case:
    """What is converted: the item, what it holds, and the inputs on which it is compared."""

    item: InputItem
    loaded: Loaded
    chosen: ParityInputs


def run(params: ExportOnnxParams, inputs: Inputs, context: OperationContext) -> None:
    """Convert, save, and keep the result only if it computes what Keras computes."""
    item = inputs.one("model")
    use_threads(context.threads)
    context.raise_if_cancelled()
    context.progress(0, 4, "reading the network")
    loaded = load(item, context.scratch, params.architecture)
    case = _Case(item, loaded, _parity_inputs(params, inputs, loaded, context.seed))
    context.progress(1, 4, "writing the graph")
    path = context.output() / FILE
    _save(emit(loaded.network, loaded.model), path)
    context.progress(2, 4, "comparing with Keras")
    reference = _outputs(lambda batch: flat(call(loaded.model, batch)), case.chosen, context)
    context.progress(3, 4, "comparing with Keras")
    session = _session(path.read_bytes(), context.threads)
    candidate = _outputs(lambda batch: flat(_run(session, batch)), case.chosen, context)
    names = [port.name for port in session.get_outputs()]
    figures = check_conversion(
        reference,
        candidate,
        parts_of(names, _run(session, case.chosen.sample(0))),
        precision=Precision.FP32,
        max_abs=params.max_abs_diff,
        min_agreement=params.min_agreement,
        locate=lambda sample, output: _locate(case, sample, output, context),
    )
    _declare(case, figures, session, context)
    context.progress(4, 4, "done")


def _parity_inputs(params: ExportOnnxParams, inputs: Inputs, loaded: Loaded, seed: int) -> ParityInputs:
    item, data = inputs.one("model"), inputs.optional("data")
    shapes = [tuple(tensor.shape) for tensor in loaded.model.inputs]
    if len(shapes) != 1:
        raise InvalidInput(f"{item.reference} has {len(shapes)} inputs; a network with one is converted.")
    preprocessing = item.artifact.preprocessing if item.artifact else None
    if preprocessing is None:
        if data is not None:
            raise InvalidInput(
                f"{item.reference} does not say how a picture becomes its input, so no data set can be compared on.",
                hint="Push the version again with `preprocessing`, or leave the data set out.",
                facts={"field": "preprocessing"},
            )
        return uniform_parity_inputs(_known_shape(shapes[0], item), params.parity_samples, seed)
    check_input_fits(item.reference, preprocessing, shapes[0])
    if data is None:
        return random_parity_inputs(preprocessing, params.parity_samples, seed)
    split = open_split(data, params.parity_split)
    outputs = [tuple(tensor.shape) for tensor in loaded.model.outputs]
    classes = outputs[0][1] if len(outputs) == 1 and len(outputs[0]) == 2 else None
    check_classes_fit(item.reference, split, preprocessing, classes)
    check_pictures_fit(split, preprocessing)
    return parity_inputs_of(split, preprocessing, params.parity_samples, seed)


def _known_shape(shape: Sequence[int | None], item: InputItem) -> tuple[int, ...]:
    sizes = tuple(size for size in shape[1:] if size is not None)
    if len(sizes) != len(shape) - 1:
        raise InvalidInput(
            f"The input of {item.reference} has the shape {tuple(shape)}, and the version has no preprocessing: "
            "on which size can the conversion be checked?",
            hint="Push the version again with `preprocessing`.",
            facts={"field": "preprocessing"},
        )
    return sizes


def _save(model: onnx.ModelProto, path: Path) -> None:
    try:
        content = model.SerializeToString(deterministic=True)
    except ValueError as error:  # protobuf's limit
        raise InvalidInput("The network's weights take more than 2 GiB, the most that one ONNX file holds.") from error
    path.write_bytes(content)


def _outputs(
    infer: Callable[[NDArray[np.float32]], NDArray[np.float32]], chosen: ParityInputs, context: OperationContext
) -> NDArray[np.float32]:
    return outputs_over(infer, chosen.batches(), largest=BATCH, before_batch=context.raise_if_cancelled)


def _session(content: bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise OperationError(f"ONNX Runtime {onnxruntime.__version__} cannot open the new model: {error}") from error


def _run(session: onnxruntime.InferenceSession, inputs: NDArray[np.float32]) -> list[NDArray[Any]]:
    try:
        return [np.asarray(output) for output in session.run(None, {session.get_inputs()[0].name: inputs})]
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise OperationError(f"ONNX Runtime could not run the new model: {error}") from error


def _locate(case: _Case, sample: int, output: int, context: OperationContext) -> WorstLayer | None:
    """The layer at which both part in one output: the graph's values carry the names of Keras' layers."""
    network, model, inputs = case.loaded.network, case.loaded.model, case.chosen.sample(sample)

    def graph_values(names: Sequence[str]) -> list[NDArray[Any]]:
        return _run(_session(emit(network, model, show=names).SerializeToString(), context.threads), inputs)

    ends = {ref.layer for ref in network.outputs}
    last = network.by_name[network.outputs[output].layer]
    return find_worst_layer(
        [Layer(layer.name, layer.kind) for layer in network.layers if len(layer.calls) == 1 and layer.name not in ends],
        values_inside(model, inputs),
        lambda names: dict(zip(names, graph_values(names)[-len(names) :], strict=True)),
        output=Layer(last.name, last.kind),
        output_error=relative_error(call(model, inputs)[output], graph_values(())[output]),
    )


def _declare(
    case: _Case, figures: ParityFigures, session: onnxruntime.InferenceSession, context: OperationContext
) -> None:
    artifact = case.item.artifact
    preprocessing = artifact.preprocessing if artifact else None
    used = {**versions(), "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
    facts = {"versions": used, "inputs": case.chosen.origin, "reference_runtime": "keras on torch"}
    details = {
        **(artifact.details if artifact else {}),
        "opset": OPSET,
        "keras_version": case.loaded.version,
        "versions": used,
        "parity": {**asdict(figures), **facts},
    }
    context.artifact(
        ArtifactDescription(
            format="onnx",
            files=(FILE,),
            precision=Precision.FP32,
            runtime=str(Runtime.ONNXRUNTIME),
            signature=_signature(session, preprocessing),
            preprocessing=preprocessing,
            details=details,
        )
    )
    report_parity(
        context,
        figures,
        runtime=str(Runtime.ONNXRUNTIME),
        dataset=case.chosen.dataset_port,
        split=case.chosen.split,
        details=facts,
    )
    context.log(f"{len(case.loaded.network.layers)} layers, largest difference to Keras {figures.max_abs_diff:.3g}")


def _signature(session: onnxruntime.InferenceSession, preprocessing: Preprocessing | None) -> Signature:
    def tensor(port: Any, layout: str) -> TensorSpec:
        shape = tuple(size if isinstance(size, int) else None for size in port.shape)
        return TensorSpec(name=port.name, shape=shape, layout=layout if len(shape) == len(layout) else "")

    layout = preprocessing.layout if preprocessing else ""
    return Signature(
        inputs=tuple(tensor(port, layout) for port in session.get_inputs()),
        outputs=tuple(tensor(port, "NC") for port in session.get_outputs()),
    )
