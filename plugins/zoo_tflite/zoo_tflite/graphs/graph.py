"""Keeps account of the values of an ONNX graph while TFLite's operators are written for its nodes.

ONNX convolves with channels first, TFLite with channels last.  A value of four axes is *turned* while it lies as
(N, H, W, C) though ONNX means (N, C, H, W): convolutions, pools and element-wise operators pass it on like that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from zoo_sdk.errors import InvalidInput
from zoo_tflite.graphs.file import BUILTIN, FileWriter

Shape = tuple[int, ...]
TO_TURNED, FROM_TURNED = (0, 2, 3, 1), (0, 3, 1, 2)
TURNED_AXIS = {0: 0, 1: 3, 2: 1, 3: 2}
"""Where an axis of ONNX lies in a turned value."""


@dataclass(frozen=True)
class Value:
    """A tensor of the file.  ``shape`` counts as ONNX does, whatever ``turned`` says."""

    index: int
    shape: Shape
    turned: bool = False

    @property
    def rank(self) -> int:
        return len(self.shape)


@dataclass(frozen=True)
class Node:
    """A node of the ONNX graph with its attributes as Python values."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    @classmethod
    def of(cls, node: onnx.NodeProto) -> "Node":
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        return cls(node.op_type, node.name or node.output[0], tuple(node.input), tuple(node.output), attributes)

    def text(self, key: str, default: str) -> str:
        """An attribute that is a text, which ONNX keeps as bytes."""
        value = self.attributes.get(key, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def given(self, number: int) -> str:
        """The name of an input; empty if it is left out."""
        return self.inputs[number] if number < len(self.inputs) else ""

    def refusal(self, what: str) -> InvalidInput:
        """The error for a node that is known, but not like this."""
        return InvalidInput(
            f"The node {self.name!r} ({self.kind}) {what}.",
            hint="Optimise the model first (onnxruntime.optimise), or convert it with TensorFlow's own tools.",
            facts={"node": self.name, "operator": self.kind},
        )


class Graph:
    """The values known so far, and the file they are written to."""

    def __init__(self, model: onnx.ModelProto, file: FileWriter) -> None:
        self.file = file
        self.values: dict[str, Value] = {}
        self.constants: dict[str, NDArray[Any]] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }
        self._shapes = _shapes_of(model)
        self._copies: dict[tuple[int, bool], Value] = {}

    def shape(self, name: str, node: Node) -> Shape:
        """The shape of a node's output, as ONNX infers it."""
        if name not in self._shapes:
            raise node.refusal("gives a shape that is only known when the model runs")
        return self._shapes[name]

    def value(self, name: str, node: Node) -> Value:
        """An input of a node: a value, or a constant as a value in ONNX' order."""
        if name in self.values:
            return self.values[name]
        if name in self.constants:
            array = self.constants[name]
            if array.dtype != np.float32:
                raise node.refusal(f"takes {array.dtype} numbers; float32 is converted")
            return Value(self.file.constant(name, array), array.shape)
        raise node.refusal(f"takes {name!r}, which nothing gives")

    def constant(self, name: str, node: Node) -> NDArray[Any]:
        """An input that has to be a constant, such as a weight or a shape."""
        if name not in self.constants:
            raise node.refusal(f"takes {name!r}, which is not a constant")
        return self.constants[name]

    def floats(self, name: str, array: Any) -> int:
        """A float32 constant."""
        return self.file.constant(name, np.asarray(array, np.float32))

    def integers(self, name: str, values: Sequence[int]) -> int:
        """An int32 constant: a shape, axes, pads."""
        return self.file.constant(name, np.asarray(values, np.int32))

    def write(
        self, code: int, inputs: Sequence[int], name: str, shape: Shape, *, turned: bool = False, options: Any = None
    ) -> Value:
        """An operator with one output of ``shape`` (as ONNX counts it)."""
        lying = tuple(shape[axis] for axis in TO_TURNED) if turned else shape
        index = self.file.tensor(name, lying)
        self.file.operator(code, inputs, [index], options)
        return Value(index, shape, turned)

    def turned(self, value: Value) -> Value:
        """The value with its channels last."""
        return value if value.turned else self._copy(value, turned=True)

    def plain(self, value: Value) -> Value:
        """The value with its axes in ONNX' order."""
        return self._copy(value, turned=False) if value.turned else value

    def _copy(self, value: Value, *, turned: bool) -> Value:
        key = (value.index, turned)
        if key not in self._copies:
            name = f"value{value.index}:{'nhwc' if turned else 'nchw'}"
            order = self.integers(f"{name}:order", TO_TURNED if turned else FROM_TURNED)
            self._copies[key] = self.write(BUILTIN.TRANSPOSE, [value.index, order], name, value.shape, turned=turned)
        return self._copies[key]

    def reshaped(self, value: Value, name: str, shape: Shape, *, turned: bool = False) -> Value:
        """The same numbers under another shape; ``turned``: the new shape's numbers lie like that already."""
        lying = tuple(shape[axis] for axis in TO_TURNED) if turned else shape
        target = self.integers(f"{name}:shape", lying)
        return self.write(BUILTIN.RESHAPE, [value.index, target], name, shape, turned=turned)


def _shapes_of(model: onnx.ModelProto) -> dict[str, Shape]:
    found = {}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            found[value.name] = tuple(dim.dim_value for dim in tensor.shape.dim)
    return found
