"""``tflite.convert``: ONNX to TensorFlow Lite, opened again and compared with the ONNX file in ONNX Runtime."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray

from zoo_sdk.artifacts import ArtifactDescription, Signature, TensorSpec
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.errors import InvalidInput, OperationError
from zoo_sdk.vocabulary import Precision
from zoo_tflite.graphs.emitting import Written, emit
from zoo_tflite.graphs.graph import FROM_TURNED
from zoo_tflite.runtime import RUNTIME, Model, versions
from zoo_tflite.specs import ConvertParams
from zoo_vision.agreement import check_classes_fit, check_input_fits, check_pictures_fit
from zoo_vision.bisection import WorstLayer, find_worst_layer, relative_error
from zoo_vision.datasets import open_split
from zoo_vision.evaluation import padded
from zoo_vision.onnx_graphs import check_external_data, expose, layers_of, output_of
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

FILE = "model.tflite"


@dataclass(frozen=True)
class _Case:
    """What is converted, the inputs on which it is compared, and how."""

    item: InputItem
    chosen: ParityInputs
    params: ConvertParams
    threads: int


def run(params: ConvertParams, inputs: Inputs, context: OperationContext) -> None:
    """Convert, save, and keep the result only if it computes what its source computes."""
    item = inputs.one("model")
    context.raise_if_cancelled()
    context.progress(0, 4, "reading the graph")
    model = _read(item)
    case = _Case(item, _parity_inputs(params, inputs, model, context.seed), params, context.threads)
    path = context.output() / FILE
    written = emit(model, batch=params.batch, half=params.precision == "fp16")
    path.write_bytes(written.content)
    context.progress(1, 4, "comparing with the source")
    session = _session(_read(item), context.threads)
    batches, fixed = case.chosen.batches, _fixed_batch(session)
    reference = outputs_over(
        padded(partial(_reference, session), fixed) if fixed else partial(_reference, session),
        batches(),
        largest=fixed or BATCH,
        before_batch=context.raise_if_cancelled,
    )
    context.progress(2, 4, "comparing with the source")
    made = Model(path, context.threads)
    candidate = outputs_over(
        padded(lambda batch: flat(made(batch)), params.batch),
        batches(),
        largest=params.batch,
        before_batch=context.raise_if_cancelled,
    )
    context.progress(3, 4, "comparing with the source")
    one = np.repeat(case.chosen.sample(0), fixed or 1, axis=0)
    figures = check_conversion(
        reference,
        candidate,
        parts_of([port.name for port in session.get_outputs()], [value[:1] for value in _run(session, one)]),
        precision=params.precision,
        max_abs=params.max_abs_diff,
        min_agreement=params.min_agreement,
        locate=partial(_locate, case, written, context.scratch),
    )
    _declare(case, made, figures, context)
    context.progress(4, 4, "done")


def _read(item: InputItem) -> onnx.ModelProto:
    if item.artifact is None or item.artifact.format != "onnx":
        raise InvalidInput(f"{item.reference} is {item.artifact.format if item.artifact else 'no model'}, not onnx.")
    try:
        check_external_data(onnx.load(str(item.main_file), load_external_data=False), item)
        return onnx.load(str(item.main_file))
    except (DecodeError, OSError) as error:
        raise InvalidInput(f"{item.main_file.name!r} of {item.reference} is no ONNX file: {error}") from error


def _parity_inputs(params: ConvertParams, inputs: Inputs, model: onnx.ModelProto, seed: int) -> ParityInputs:
    item, data = inputs.one("model"), inputs.optional("data")
    preprocessing = item.artifact.preprocessing if item.artifact else None
    weights = {tensor.name for tensor in model.graph.initializer}
    port = next((value for value in model.graph.input if value.name not in weights), None)
    shape = [dim.dim_value or None for dim in port.type.tensor_type.shape.dim] if port else []
    if preprocessing is None:
        sizes = tuple(size for size in shape[1:] if size)
        if data is not None or len(sizes) != len(shape) - 1:
            raise InvalidInput(
                f"{item.reference} does not say how a picture becomes its input.",
                hint="Push the version again with `preprocessing`.",
                facts={"field": "preprocessing"},
            )
        return uniform_parity_inputs(sizes, params.parity_samples, seed)
    check_input_fits(item.reference, preprocessing, shape)
    if data is None:
        return random_parity_inputs(preprocessing, params.parity_samples, seed)
    split = open_split(data, params.parity_split)
    sizes_out = [dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim]
    check_classes_fit(item.reference, split, preprocessing, sizes_out[1] or None if len(sizes_out) == 2 else None)
    check_pictures_fit(split, preprocessing)
    return parity_inputs_of(split, preprocessing, params.parity_samples, seed)


def _session(model: onnx.ModelProto, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise InvalidInput(f"ONNX Runtime {onnxruntime.__version__} cannot open the source: {error}") from error


def _fixed_batch(session: onnxruntime.InferenceSession) -> int | None:
    size = session.get_inputs()[0].shape[0]
    return size if isinstance(size, int) else None


def _run(
    session: onnxruntime.InferenceSession, inputs: NDArray[np.float32], names: Sequence[str] | None = None
) -> list[NDArray[Any]]:
    try:
        return [np.asarray(one) for one in session.run(names, {session.get_inputs()[0].name: inputs})]
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise OperationError(f"ONNX Runtime could not run the source: {error}") from error


def _reference(session: onnxruntime.InferenceSession, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    return flat(_run(session, inputs))


def _locate(case: _Case, written: Written, scratch: Path, sample: int, output: int) -> WorstLayer | None:
    """The value at which both part; the interpreter keeps all values of one run, the source gives those asked for."""
    inputs = case.chosen.sample(sample)
    session = _session(_read(case.item), case.threads)
    batch = np.repeat(inputs, _fixed_batch(session) or 1, axis=0)
    path = scratch / FILE
    path.write_bytes(written.content)
    made = Model(path, case.threads, keep_all=True)
    found = made(np.repeat(inputs, case.params.batch, axis=0))

    def source_values(names: Sequence[str]) -> dict[str, NDArray[Any]]:
        model = _read(case.item)
        expose(model, names)
        session = _session(model, case.threads)
        offered = [one.name for one in session.get_outputs() if one.name in names]
        return {name: value[:1] for name, value in zip(offered, _run(session, batch, offered), strict=True)}

    def new_values(names: Sequence[str]) -> dict[str, NDArray[Any]]:
        known = {name: written.values[name] for name in names if name in written.values}
        arrays = {name: made.value(value.index)[:1] for name, value in known.items()}
        return {name: array.transpose(FROM_TURNED) if known[name].turned else array for name, array in arrays.items()}

    model = onnx.shape_inference.infer_shapes(_read(case.item))
    return find_worst_layer(
        layers_of(model),
        source_values,
        new_values,
        output=output_of(model, output),
        output_error=relative_error(flat([_run(session, batch)[output]])[:1], flat([found[output]])[:1]),
    )


def _declare(case: _Case, made: Model, figures: ParityFigures, context: OperationContext) -> None:
    artifact = case.item.artifact
    preprocessing = artifact.preprocessing if artifact else None
    used = {**versions(), "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
    facts = {"versions": used, "inputs": case.chosen.origin, "reference_runtime": "onnxruntime"}
    layout = preprocessing.layout if preprocessing else ""
    context.artifact(
        ArtifactDescription(
            format="tflite",
            files=(FILE,),
            precision=Precision(case.params.precision),
            runtime=RUNTIME,
            signature=Signature(
                inputs=tuple(_tensor(port, layout) for port in made.inputs),
                outputs=tuple(_tensor(port, "NC") for port in made.outputs),
            ),
            preprocessing=preprocessing,
            details={
                **(artifact.details if artifact else {}),
                "batch": case.params.batch,
                "versions": used,
                "parity": {**asdict(figures), **facts},
            },
        )
    )
    report_parity(
        context,
        figures,
        runtime=RUNTIME,
        dataset=case.chosen.dataset_port,
        split=case.chosen.split,
        details=facts,
    )
    context.log(f"largest difference to the source {figures.max_abs_diff:.3g}")


def _tensor(port: dict[str, Any], layout: str) -> TensorSpec:
    shape = tuple(int(size) for size in port["shape"])
    dtype = np.dtype(port["dtype"]).name
    return TensorSpec(name=port["name"], dtype=dtype, shape=shape, layout=layout if len(layout) == len(shape) else "")
