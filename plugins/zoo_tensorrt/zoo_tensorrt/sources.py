"""What the ONNX file of a plan is: its precision, its input, and what it computes in ONNX Runtime."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray

from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, OperationError
from zoo_sdk.vocabulary import Precision
from zoo_vision.onnx_costs import count_macs, count_parameters, for_one_sample
from zoo_vision.onnx_graphs import check_external_data
from zoo_vision.parity_inputs import flat

Infer = Callable[[NDArray[np.float32]], NDArray[np.float32]]
_INTEGER_OPERATORS = frozenset({"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "QGemm"})


def read_source(item: InputItem) -> onnx.ModelProto:
    """The graph without weights that lie in other files.

    Raises:
        InvalidInput: another format, no ONNX file, or weights outside the artifact.

    """
    if item.artifact is None or item.artifact.format != "onnx":
        raise InvalidInput(f"{item.reference} is {item.artifact.format if item.artifact else 'no model'}, not onnx.")
    try:
        model = onnx.load(str(item.main_file), load_external_data=False)
    except (DecodeError, OSError) as error:
        raise InvalidInput(f"{item.main_file.name!r} of {item.reference} is no ONNX file: {error}") from error
    check_external_data(model, item)
    return model


def precision_of(model: onnx.ModelProto) -> Precision:
    """What a strongly typed plan computes in: QDQ pairs say INT8, else most of the weights.

    Raises:
        InvalidInput: the file is quantised by integer operators, which TensorRT does not read.

    """
    kinds = {node.op_type for node in model.graph.node}
    integers = sorted(kinds & _INTEGER_OPERATORS)
    if integers:
        raise InvalidInput(
            f"The model is quantised by operators such as {integers[0]}; TensorRT reads QuantizeLinear and "
            "DequantizeLinear around float operators.",
            hint="Quantise it with onnxruntime.quantize, which writes QDQ.",
        )
    if "QuantizeLinear" in kinds:
        return Precision.INT8
    sizes = dict.fromkeys((onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16), 0)
    for tensor in model.graph.initializer:
        if tensor.data_type in sizes:
            sizes[tensor.data_type] += int(np.prod(tensor.dims, dtype=np.int64))
    most = max(sizes, key=lambda kind: sizes[kind])
    names = {onnx.TensorProto.FLOAT16: Precision.FP16, onnx.TensorProto.BFLOAT16: Precision.BF16}
    return names.get(most, Precision.FP32)


def input_shape(model: onnx.ModelProto) -> list[int | None]:
    """Of the only input; raises InvalidInput for several."""
    weights = {tensor.name for tensor in model.graph.initializer}
    ports = [value for value in model.graph.input if value.name not in weights]
    if len(ports) != 1:
        raise InvalidInput(f"The model has {len(ports)} inputs; one is built and compared.")
    return [dim.dim_value or None for dim in ports[0].type.tensor_type.shape.dim]


def in_onnx_runtime(path: Path, threads: int) -> Infer:
    """Runs the file; all outputs of a batch beside each other, (N, values)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise InvalidInput(f"ONNX Runtime {onnxruntime.__version__} cannot open the source: {error}") from error
    port = session.get_inputs()[0]
    half = port.type == "tensor(float16)"

    def infer(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            return flat(session.run(None, {port.name: inputs.astype(np.float16) if half else inputs}))
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise OperationError(f"ONNX Runtime could not run the source: {error}") from error

    return infer


def costs_of(path: Path, fixed_batch: int | None) -> dict[str, int | None]:
    """``parameters`` of the file and ``macs`` of one sample (None: not known); a plan itself does not tell them."""
    model = for_one_sample(onnx.load(str(path), load_external_data=False))
    shaped = onnx.shape_inference.infer_shapes(model, data_prop=True)
    return {"parameters": count_parameters(shaped), "macs": count_macs(shaped) if fixed_batch in {None, 1} else None}
