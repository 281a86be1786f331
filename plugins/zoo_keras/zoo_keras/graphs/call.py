"""What an emitter gets for one call of a layer, and the activations that many layers end with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo_keras.graphs.builder import PLANAR_AXIS, GraphBuilder, Shape, Value
from zoo_keras.networks.network import Layer
from zoo_sdk.errors import InvalidInput


@dataclass(frozen=True)
class Call:
    """One call: the layer, its weights in Keras' order, its inputs, and the shape that Keras finds for its output."""

    graph: GraphBuilder
    layer: Layer
    weights: tuple[NDArray[Any], ...]
    inputs: tuple[Value, ...]
    shape: Shape
    scope: str = ""
    """Of a model within the model: before the names of its layers, which only differ among themselves."""

    @property
    def name(self) -> str:
        return f"{self.scope}{self.layer.name}"

    @property
    def linear_name(self) -> str:
        """Of the value before the activation: what the layer gives has the layer's own name."""
        return self.name if self.setting("activation", "linear") == "linear" else f"{self.name}:linear"

    @property
    def value(self) -> Value:
        """The only input."""
        return self.inputs[0]

    def setting(self, key: str, default: Any) -> Any:
        """A setting of the layer; Keras' default where the file leaves it out or writes null."""
        found = self.layer.settings.get(key)
        return default if found is None else found

    def switch(self, key: str, *, default: bool) -> bool:
        """A setting that is true or false."""
        return bool(self.setting(key, default))

    def pair(self, key: str, default: int) -> tuple[int, int]:
        """A setting for height and width."""
        found = self.setting(key, default)
        return (found[0], found[-1]) if isinstance(found, list) else (found, found)

    @property
    def channels_first(self) -> bool:
        """Whether Keras means (N, C, H, W)."""
        return bool(self.setting("data_format", "channels_last") == "channels_first")

    def picture(self) -> Value:
        """The input as convolutions and pools of ONNX take it: (N, C, H, W) in memory."""
        if self.value.rank != 4:
            raise self.refusal(f"takes {self.value.rank} axes; four are read")
        return self.graph.as_keras(self.value) if self.channels_first else self.graph.planar(self.value)

    @property
    def sides(self) -> tuple[int | None, int | None]:
        """Height and width of the input."""
        return self.value.shape[2:4] if self.channels_first else self.value.shape[1:3]  # type: ignore[return-value]

    def made(self, name: str) -> Value:
        """The output of a layer whose input came from :meth:`picture`."""
        return Value(name, self.shape, planar=len(self.shape) == 4 and not self.channels_first)

    def refusal(self, what: str) -> InvalidInput:
        """The error for a layer that is known, but not like this."""
        return InvalidInput(
            f"The layer {self.name!r} ({self.layer.kind}) {what}.",
            hint="Export the model to ONNX with the framework that made it.",
            facts={"layer": self.name},
        )

    def activated(self, value: Value, activation: str | None = None) -> Value:
        """``value`` after the layer's activation; softmax is over Keras' last axis."""
        kind = activation or self.setting("activation", "linear")
        if kind == "linear":
            return value
        if kind == "softmax":
            return softmax(self, value, -1)
        return Value(ACTIVATIONS[kind](self, value.name), value.shape, value.planar)


def softmax(call: Call, value: Value, axis: int) -> Value:
    """A softmax over an axis as Keras counts it."""
    own = axis % value.rank
    place = PLANAR_AXIS[own] if value.planar else own
    return Value(call.graph.add("Softmax", [value.name], call.name, axis=place), value.shape, value.planar)


def _node(kind: str, **attributes: Any) -> Callable[[Call, str], str]:
    return lambda call, name: call.graph.add(kind, [name], call.name, **attributes)


def clipped(call: Call, name: str, low: float, high: float) -> str:
    """Values below ``low`` and above ``high`` are cut off."""
    limits = [call.graph.floats(f"{call.name}:{end}", limit) for end, limit in (("low", low), ("high", high))]
    return call.graph.add("Clip", [name, *limits], call.name)


def _swish(call: Call, name: str) -> str:
    gate = call.graph.add("Sigmoid", [name], f"{call.name}:gate")
    return call.graph.add("Mul", [name, gate], call.name)


ACTIVATIONS: Mapping[str, Callable[[Call, str], str]] = {
    "relu": _node("Relu"),
    "relu6": lambda call, name: clipped(call, name, 0, 6),
    "sigmoid": _node("Sigmoid"),
    "hard_sigmoid": _node("HardSigmoid", alpha=1 / 6, beta=0.5),
    "legacy_hard_sigmoid": _node("HardSigmoid", alpha=0.2, beta=0.5),
    "tanh": _node("Tanh"),
    "elu": _node("Elu", alpha=1.0),
    "selu": _node("Selu", alpha=1.6732632423543772, gamma=1.0507009873554805),
    "softplus": _node("Softplus"),
    "softsign": _node("Softsign"),
    "silu": _swish,
    "gelu": _node("Gelu"),
    "exponential": _node("Exp"),
    "leaky_relu": _node("LeakyRelu", alpha=0.2),
    "hard_silu": _node("HardSwish"),
}


def same_padding(size: int, window: int, stride: int) -> tuple[int, int]:
    """Pads before and after one axis for Keras' ``same``: the odd one comes after."""
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def per_axis(array: NDArray[Any], rank: int, axis: int) -> NDArray[Any]:
    """A vector shaped so that it broadcasts along ``axis`` of a value of that rank."""
    shape = [1] * rank
    shape[axis] = -1
    return np.asarray(array).reshape(shape)
