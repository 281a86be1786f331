"""Reads, changes and writes ONNX graphs: bounded, with their weights, and never from outside their folder."""

from collections.abc import Iterable
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto, NodeProto

from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, OperationError
from zoo_vision.evaluation import artifact_bytes
from zoo_vision.onnx_graphs import check_external_data

FILE = "model.onnx"
MAX_BYTES = 2**31 - 1
"""What one protocol buffer can hold; the operations write a single file."""
STANDARD_DOMAINS = frozenset({"", "ai.onnx"})
QUANTISED_TYPES = frozenset(
    {
        "ConvInteger",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "MatMulInteger",
        "QAttention",
        "QGemm",
        "QLinearAdd",
        "QLinearConv",
        "QLinearMatMul",
        "QuantizeLinear",
    }
)


def read_structure(item: InputItem) -> ModelProto:
    """The graph of a model input without the weights that lie in other files; checks where those lie.

    Raises:
        InvalidInput: another format, no ONNX file, or weights outside the artifact's files.

    """
    if item.artifact is None or item.artifact.format != "onnx":
        raise InvalidInput(
            f"{item.reference} is {item.artifact.format if item.artifact else 'no model'}, not onnx.",
            hint="Export it first, for example with torch.export_onnx.",
        )
    try:
        model = onnx.load(str(item.main_file), load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise InvalidInput(
            f"ONNX {onnx.__version__} cannot open {item.main_file.name!r} of {item.reference}: {error}",
            hint="Check that the file is a complete ONNX model.",
        ) from error
    check_external_data(model, item)
    return model


def read_graph(item: InputItem) -> ModelProto:
    """The graph of a model input with all its weights.

    Raises:
        InvalidInput: as :func:`read_structure`; or more than 2 GiB.

    """
    model = read_structure(item)
    if artifact_bytes(item) > MAX_BYTES:
        raise InvalidInput(
            f"{item.reference} has {artifact_bytes(item):,} bytes; this operation takes at most {MAX_BYTES:,}.",
            hint="Work on a smaller network.",
        )
    try:
        onnx.load_external_data_for_model(model, str(item.main_file.parent))
    except (onnx.checker.ValidationError, ValueError, OSError) as error:
        raise InvalidInput(f"The data files of {item.reference} cannot be read: {error}") from error
    return model


def opset_of(model: ModelProto) -> int:
    """The version of the standard operator set; 0 if the graph imports none."""
    return max((item.version for item in model.opset_import if item.domain in STANDARD_DOMAINS), default=0)


def foreign_domains(model: ModelProto) -> list[str]:
    """Operator sets beside the standard one that nodes of the graph use, such as ``com.microsoft``."""
    return sorted({node.domain for node in model.graph.node} - STANDARD_DOMAINS)


def check_is_float(model: ModelProto, reference: str) -> None:
    """Raise :class:`InvalidInput` if the graph is quantized already or holds half-precision weights."""
    if any(node.op_type in QUANTISED_TYPES for node in model.graph.node):
        raise InvalidInput(f"{reference} is quantized already.", hint="Give its floating-point base.")
    if any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer):
        raise InvalidInput(f"{reference} holds weights in half precision.", hint="Give the float32 model.")


def with_names(model: ModelProto) -> ModelProto:
    """Call every node without a name after its first output, so that it can be spoken of."""
    for node in model.graph.node:
        node.name = node.name or node.output[0]
    return model


def write_graph(model: ModelProto, path: Path) -> ModelProto:
    """Write a graph whose nodes are in order and which imports only the operator sets that it uses; answers it.

    Raises:
        OperationError: the graph is not valid ONNX.

    """
    _sort(model)
    used = {node.domain or "" for node in model.graph.node} | {function.domain for function in model.functions}
    imports = [item for item in model.opset_import if item.domain in STANDARD_DOMAINS or item.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(imports)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise OperationError(f"What came out is not a valid ONNX model: {error}") from error
    onnx.save(model, str(path))
    return model


def _sort(model: ModelProto) -> None:
    """Put every node behind those that it reads from, and otherwise leave the order as it is."""
    made_here = {name for node in model.graph.node for name in node.output if name}
    waiting, ordered, done = [_copy(node) for node in model.graph.node], list[NodeProto](), set[str]()
    while waiting:
        left = []
        for node in waiting:
            if _read_by(node) & made_here <= done:
                ordered.append(node)
                done.update(node.output)
            else:
                left.append(node)
        if len(left) == len(waiting):
            raise OperationError("The graph that came out has a cycle.")
        waiting = left
    del model.graph.node[:]
    model.graph.node.extend(ordered)


def _read_by(node: NodeProto) -> set[str]:
    """The values that a node reads, those that its subgraphs take from outside too."""
    inner: Iterable[NodeProto] = (
        item for attribute in node.attribute for graph in (attribute.g, *attribute.graphs) for item in graph.node
    )
    return set(node.input).union(*(_read_by(item) for item in inner))


def _copy(node: NodeProto) -> NodeProto:
    copied = NodeProto()
    copied.CopyFrom(node)
    return copied
