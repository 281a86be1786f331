"""What the plugins ask of an ONNX model that they have parsed: does it stay in its folder, and what is inside?

The parsed model (``onnx.ModelProto``) is handed in, so that this room needs no framework.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput
from zoo_sdk.names import checked_path
from zoo_vision.bisection import Layer

EXTERNAL = 1
"""``TensorProto.EXTERNAL``: the tensor's values are in another file."""
FLOATING_TYPES = frozenset({1, 10, 11, 16})
"""float, float16, double and bfloat16 in ``TensorProto.DataType``."""


def check_external_data(model: Any, item: InputItem) -> None:
    """Check that all files that the graph reads its weights from are files of the artifact; read none of them.

    Raises:
        InvalidInput: a path that leaves the folder, that is not one of the artifact's files, or that is missing.

    """
    files = item.artifact.files if item.artifact else ()
    folder = PurePosixPath(files[0]).parent if files else PurePosixPath()
    for tensor in _tensors(model):
        if tensor.data_location != EXTERNAL:
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        path = _inside(folder, location)
        if path is None or path not in files or not (item.folder / path).is_file():
            raise InvalidInput(
                f"The weight {tensor.name!r} of {item.reference} lies in {location!r}, "
                "which is not one of the artifact's files.",
                hint="Push the model together with its data files in one folder, as one artifact.",
                facts={"location": location},
            )


def _inside(folder: PurePosixPath, location: str) -> str | None:
    try:
        return (folder / checked_path(location)).as_posix()
    except InvalidInput:
        return None


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor with values: weights, attributes of nodes, and those of subgraphs and functions."""
    yield from _tensors_of_graph(model.graph)
    for function in model.functions:
        yield from _tensors_of_nodes(function.node)


def _tensors_of_graph(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _tensors_of_nodes(graph.node)


def _tensors_of_nodes(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                yield from _tensors_of_graph(attribute.g)
            for graph in attribute.graphs:
                yield from _tensors_of_graph(graph)


def layers_of(model: Any) -> list[Layer]:
    """The floating-point values inside the graph in the order in which they are computed, its outputs left out.

    ``model``: with inferred shapes; values whose type is not known are left out too.
    """
    known = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    outputs = {value.name for value in model.graph.output}
    return [
        Layer(name, node.op_type)
        for node in model.graph.node
        for name in node.output
        if name not in outputs and known.get(name) in FLOATING_TYPES
    ]


def output_of(model: Any, number: int = 0) -> Layer:
    """An output of the graph, and what makes it."""
    name = model.graph.output[number].name
    return Layer(name, next((node.op_type for node in model.graph.node if name in node.output), "input"))


def expose(model: Any, names: Any) -> None:
    """Add values inside the graph to its outputs; names that nothing in the graph makes are left out."""
    made = {name for node in model.graph.node for name in node.output}
    already = {value.name for value in model.graph.output}
    for name in names:
        if name in made and name not in already:
            model.graph.output.add(name=name)
