"""An 8-bit network as ONNX with QuantizeLinear and DequantizeLinear, which runtimes turn into integer kernels."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from zoo_sdk.errors import InvalidInput
from zoo_vision.integer.files import IntegerNetwork, Layer
from zoo_vision.integer.graph import (
    Activation,
    Affine,
    Combination,
    Concatenation,
    Convolution,
    Flatten,
    GlobalPooling,
    Linear,
    Node,
    Pooling,
    WeightedNode,
    ZeroPadding,
)

OPSET = 17
"""Old enough for every runtime that reads QDQ with a step for each channel (from 13 on)."""
IR_VERSION = 8
INPUT_NAME = "input"
OUTPUT_NAME = "logits"
LARGEST_BIAS = 2**31 - 1
_ACTIVATIONS = {"relu": "Relu", "hardswish": "HardSwish", "sigmoid": "Sigmoid"}


def check_is_8_bit(network: IntegerNetwork) -> None:
    """Raise :class:`InvalidInput` unless all weights and inputs that are integers have 8 bits."""
    for node in network.graph.nodes:
        if isinstance(node, (Convolution, Linear)) and node.integers is not None:
            bits = (node.integers.weight_bits, node.integers.input_bits)
            if bits != (8, 8):
                raise InvalidInput(
                    f"QDQ ONNX holds 8 bits, but the layer {node.name} has {bits[0]} (weights) and {bits[1]} (inputs).",
                    hint="Leave `qdq_onnx` out of `exports`, or use 8 bits.",
                    facts={"field": "exports", "layer": node.name},
                )


def write_qdq(network: IntegerNetwork, path: Path) -> None:
    """Write the network as ONNX with a dynamic batch; equal networks give equal bytes.

    The multiplier of a channel goes into the step of its weights.  Where integers follow, the bias becomes int32 in
    units of the sums, as integer kernels expect it: what that rounds off is the one thing that the file computes
    otherwise than the network.

    Raises:
        InvalidInput: some layer has other than 8 bits.

    """
    check_is_8_bit(network)
    model = _Writer(network).model()
    onnx.checker.check_model(model)
    onnx.save(model, path)


def onnx_runner(path: Path, *, threads: int) -> Callable[[NDArray[np.float32]], NDArray[Any]]:
    """ONNX Runtime for a file: inputs (N, C, H, W) to (N, classes)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def infer(inputs: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(session.run([OUTPUT_NAME], {INPUT_NAME: inputs})[0])

    return infer


class _Writer:
    def __init__(self, network: IntegerNetwork) -> None:
        self.network = network
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.names = [INPUT_NAME]
        self.rounded: dict[tuple[int, float, bool], str] = {}

    def model(self) -> onnx.ModelProto:
        for node in self.network.graph.nodes:
            self.names.append(self._node(node))
        self.nodes[-1].output[0] = OUTPUT_NAME
        shape = self.network.graph.input_shape
        classes = self.network.graph.shapes()[-1]
        graph = helper.make_graph(
            self.nodes,
            "zoo",
            [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, ["batch", *shape])],
            [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["batch", *classes])],
            list(self.constants.values()),
        )
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="zoo")

    def _node(self, node: Node) -> str:
        inputs = [self.names[source] for source in node.sources()]
        match node:
            case Convolution() | Linear():
                layer = self.network.layers[node.name]
                return self._in_float(node, layer) if node.integers is None else self._in_integers(node, layer)
            case Affine():
                layer = self.network.layers[node.name]
                is_picture = len(self.network.graph.shapes()[node.input]) == 3
                return self._affine(node.name, inputs[0], layer.multiplier, layer.bias, is_picture=is_picture)
            case Activation():
                return self._activation(node.function, inputs[0])
            case Pooling():
                return self._pooling(node, inputs)
            case ZeroPadding(sides=(top, left, bottom, right)):
                pads = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
                return self._add("Pad", [*inputs, self._constant(f"pads_{len(self.nodes)}", pads)])
            case GlobalPooling():
                pooled = self._add("GlobalMaxPool" if node.function == "max" else "GlobalAveragePool", inputs)
                return self._add("Flatten", [pooled], axis=1) if node.flat else pooled
            case Combination():
                return self._add("Add" if node.function == "add" else "Mul", inputs)
            case Concatenation() | Flatten():
                return self._add("Flatten" if isinstance(node, Flatten) else "Concat", inputs, axis=1)

    def _pooling(self, node: Pooling, inputs: Sequence[str]) -> str:
        attributes: dict[str, Any] = {
            "kernel_shape": node.kernel,
            "strides": node.stride,
            "pads": [*node.padding] * 2,
        }
        if node.function == "max":
            return self._add("MaxPool", inputs, **attributes)
        return self._add("AveragePool", inputs, **attributes, count_include_pad=int(node.counts_padding))

    def _add(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _activation(self, function: str, value: str) -> str:
        if function in _ACTIVATIONS:
            return self._add(_ACTIVATIONS[function], [value])
        if function == "relu6":
            limits = [self._constant(f"number_{limit}", np.array(limit, np.float32)) for limit in (0, 6)]
            return self._add("Clip", [value, *limits])
        if function == "hardsigmoid":
            return self._add("HardSigmoid", [value], alpha=1 / 6, beta=0.5)
        return self._add("Mul", [value, self._add("Sigmoid", [value])])

    def _affine(
        self, name: str, value: str, scale: NDArray[np.float32], shift: NDArray[np.float32], *, is_picture: bool
    ) -> str:
        shape = (-1, 1, 1) if is_picture else (-1,)
        value = self._add("Mul", [value, self._constant(f"{name}.scale", scale.reshape(shape))])
        return self._add("Add", [value, self._constant(f"{name}.shift", shift.reshape(shape))])

    def _product(self, node: WeightedNode, inputs: Sequence[str]) -> str:
        if isinstance(node, Linear):
            return self._add("Gemm", inputs, transB=1)
        return self._add(
            "Conv",
            inputs,
            kernel_shape=node.kernel,
            strides=node.stride,
            pads=[*node.padding] * 2,
            dilations=node.dilation,
            group=node.groups,
        )

    def _in_float(self, node: WeightedNode, layer: Layer) -> str:
        weights = np.asarray(layer.weights) * layer.multiplier.reshape(-1, *[1] * (len(node.weight_shape) - 1))
        constants = [self._constant(f"{node.name}.weight", weights), self._constant(f"{node.name}.bias", layer.bias)]
        return self._product(node, [self.names[node.input], *constants])

    def _in_integers(self, node: WeightedNode, layer: Layer) -> str:
        assert node.integers is not None  # noqa: S101 (the caller has looked)
        step = np.float32(node.integers.input_step)
        codes, steps, sign = _positive_steps(np.asarray(layer.weights), layer.multiplier, step)
        self._constant(f"{node.name}.codes", codes)
        self._constant(f"{node.name}.steps", steps)
        inputs = [
            self._rounded_input(node),
            self._add("DequantizeLinear", [f"{node.name}.codes", f"{node.name}.steps"], axis=0),
        ]
        units = (step * steps).astype(np.float32)
        bias = np.rint(layer.bias.astype(np.float64) / units)
        if sign is not None:
            value = self._product(node, inputs)
            return self._affine(node.name, value, sign, layer.bias, is_picture=isinstance(node, Convolution))
        if self._is_rounded_next(len(self.names)) and np.abs(bias).max() < LARGEST_BIAS:
            self._constant(f"{node.name}.bias", bias.astype(np.int32))
            self._constant(f"{node.name}.units", units)
            inputs.append(self._add("DequantizeLinear", [f"{node.name}.bias", f"{node.name}.units"], axis=0))
        else:
            inputs.append(self._constant(f"{node.name}.bias", layer.bias))
        return self._product(node, inputs)

    def _is_rounded_next(self, value: int) -> bool:
        """Whether only integer layers read the value, perhaps through a ReLU: what integer kernels compute as one."""
        readers = [(k, node) for k, node in enumerate(self.network.graph.nodes, 1) if value in node.sources()]
        return bool(readers) and all(
            (isinstance(node, (Convolution, Linear)) and node.integers is not None)
            or (isinstance(node, Activation) and node.function in {"relu", "relu6"} and self._is_rounded_next(k))
            for k, node in readers
        )

    def _rounded_input(self, node: WeightedNode) -> str:
        """The input through QuantizeLinear and back; made once where several layers share it and its step."""
        integers = node.integers
        assert integers is not None  # noqa: S101 (the caller has looked)
        key = (node.input, integers.input_step, integers.input_signed)
        if key not in self.rounded:
            kind = np.int8 if integers.input_signed else np.uint8
            zero = self._constant(f"zero_{kind.__name__}", np.zeros((), dtype=kind))
            step = self._constant(f"{node.name}.input_step", np.array(integers.input_step, np.float32))
            codes = self._add("QuantizeLinear", [self.names[node.input], step, zero])
            self.rounded[key] = self._add("DequantizeLinear", [codes, step, zero])
        return self.rounded[key]


def _positive_steps(
    codes: NDArray[np.int16], multiplier: NDArray[np.float32], input_step: np.float32
) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32] | None]:
    """Codes and positive steps of the weights for each channel, and signs to multiply by, where they are needed.

    A batch normalisation can turn the sign of a channel.  Then its codes change sign; where one of them is -128, whose
    opposite does not fit 8 bits, the sign stays outside.  A channel with the multiplier 0 gets codes of 0.
    """
    shape = (-1, *[1] * (codes.ndim - 1))
    steps = np.abs(multiplier / input_step).astype(np.float32)
    sign = np.where(multiplier < 0, -1, 1).astype(np.int16)
    is_zero = steps == 0
    codes = np.where(is_zero.reshape(shape), 0, codes).astype(np.int16)
    steps = np.where(is_zero, np.float32(1), steps)
    turned = codes * sign.reshape(shape)
    if turned.max(initial=0) <= np.iinfo(np.int8).max:
        return turned.astype(np.int8), steps, None
    return codes.astype(np.int8), steps, sign.astype(np.float32)
