"""Collects nodes and weights of an ONNX graph, and keeps account of how each value's axes lie.

Keras counts axes as channels last, ONNX convolves with channels first.  A value of four axes is *planar* while it lies
as (N, C, H, W) though Keras means (N, H, W, C): convolutions, pools and element-wise layers pass it on like that, so
that only the ends of the graph, and layers that mix the axes, need a transposition.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from zoo_sdk.errors import InvalidInput

OPSET = 20
IR_VERSION = 10
Shape = tuple[int | None, ...]
TO_PLANAR, FROM_PLANAR = (0, 3, 1, 2), (0, 2, 3, 1)
PLANAR_AXIS = {0: 0, 1: 2, 2: 3, 3: 1}
"""Where an axis of Keras lies in a planar value."""


@dataclass(frozen=True)
class Value:
    """A tensor of the graph.  ``shape`` counts as Keras does, whatever ``planar`` says; None: known when it runs."""

    name: str
    shape: Shape
    planar: bool = False

    @property
    def rank(self) -> int:
        return len(self.shape)


class GraphBuilder:
    """Nodes in the order in which they run; names of values are those of the layers."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._turned: dict[tuple[str, bool], Value] = {}
        self._used: set[str] = set()

    def input(self, name: str, shape: Shape) -> Value:
        """A float32 input, its batch dynamic, its axes as in Keras."""
        value = Value(self.unique(name), shape)
        self._inputs.append(_described(value))
        return value

    def unique(self, name: str) -> str:
        """``name``, or with a number behind it if it is taken."""
        chosen, number = name, 1
        while chosen in self._used:
            chosen, number = f"{name}:{number}", number + 1
        self._used.add(chosen)
        return chosen

    def add(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """A node with one output called ``name`` (made unique); returns that."""
        output = self.unique(name)
        self._nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def weight(self, name: str, array: NDArray[Any]) -> str:
        """A constant; a layer that is called again finds what it gave the first time."""
        if name not in self._weights:
            self._weights[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def floats(self, name: str, array: Any) -> str:
        """A float32 constant."""
        return self.weight(name, np.asarray(array, dtype=np.float32))

    def integers(self, name: str, values: Sequence[int]) -> str:
        """An int64 constant: a shape, axes, pads."""
        return self.weight(name, np.asarray(values, dtype=np.int64))

    def planar(self, value: Value) -> Value:
        """The value with its channels first, for one that Keras means channels last."""
        return value if value.planar else self._turn(value, planar=True)

    def as_keras(self, value: Value) -> Value:
        """The value with its axes in Keras' order."""
        return self._turn(value, planar=False) if value.planar else value

    def _turn(self, value: Value, *, planar: bool) -> Value:
        key = (value.name, planar)
        if key not in self._turned:
            order = TO_PLANAR if planar else FROM_PLANAR
            name = self.add("Transpose", [value.name], f"{value.name}:{'nchw' if planar else 'nhwc'}", perm=order)
            self._turned[key] = Value(name, value.shape, planar)
        return self._turned[key]

    def model(self, name: str, outputs: Sequence[tuple[str, Value]]) -> onnx.ModelProto:
        """The finished model; ``outputs`` with the names that they get.

        Raises:
            InvalidInput: ONNX itself refuses it.

        """
        described = []
        for wanted, value in outputs:
            found = self.as_keras(value)
            if wanted != found.name:
                found = Value(self.add("Identity", [found.name], wanted), found.shape)
            described.append(_described(found))
        graph = helper.make_graph(self._nodes, name, self._inputs, described, list(self._weights.values()))
        made = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="zoo-keras"
        )
        try:
            onnx.checker.check_model(made, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
            raise InvalidInput(f"The layers make no valid ONNX graph: {str(error)[:1000]}") from error
        return made


def _described(value: Value) -> onnx.ValueInfoProto:
    sizes = ["batch" if axis == 0 else size for axis, size in enumerate(value.shape)]
    return helper.make_tensor_value_info(value.name, TensorProto.FLOAT, sizes)
