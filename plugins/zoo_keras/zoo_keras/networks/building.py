"""Builds the Keras model of a :class:`Network` from Keras' own layer classes; nothing of the file is deserialised."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter
from typing import Any

import keras

from zoo_keras.networks.network import Layer, Network, Ref
from zoo_sdk.errors import InvalidInput

MAX_PARAMETERS = 2**29
"""2 GiB in float32, the most that one ONNX file holds; a configuration may ask for any number."""


@keras.saving.register_keras_serializable(package="zoo", name="legacy_hard_sigmoid")
def legacy_hard_sigmoid(inputs: Any) -> Any:
    """``hard_sigmoid`` as it was until Keras 2: 0.2 x + 0.5, where Keras 3 computes x / 6 + 0.5."""
    return keras.ops.clip(inputs * 0.2 + 0.5, 0.0, 1.0)


class AveragePooling2D(keras.layers.AveragePooling2D):
    """Means without what is padded, as in TensorFlow; on torch, Keras repeats the border where padding is uneven."""

    def call(self, inputs: Any) -> Any:
        sides = [inputs.shape[axis] for axis in ((2, 3) if self.data_format == "channels_first" else (1, 2))]
        if self.padding != "same" or None in sides:
            return super().call(inputs)
        pads = [
            max((-(-side // stride) - 1) * stride + window - side, 0)
            for side, window, stride in zip(sides, self.pool_size, self.strides, strict=True)
        ]
        around = [(pad // 2, pad - pad // 2) for pad in pads]
        width = [(0, 0), (0, 0), *around] if self.data_format == "channels_first" else [(0, 0), *around, (0, 0)]
        sums, shares = (
            keras.ops.average_pool(
                keras.ops.pad(values, width), self.pool_size, self.strides, "valid", data_format=self.data_format
            )
            for values in (inputs, keras.ops.ones_like(inputs))
        )
        return sums / shares


def build(network: Network) -> keras.Model:
    """The model, with weights as they were initialised.

    Raises:
        InvalidInput: settings that Keras refuses, a graph that is none, more weights than an ONNX file holds.

    """
    return _Builder().model(network)


class _Builder:
    def __init__(self) -> None:
        self._left = MAX_PARAMETERS

    def model(self, network: Network) -> keras.Model:
        if network.kind == "Sequential":
            return self._sequential(network)
        made = {layer.name: self._make(layer) for layer in network.layers if layer.kind != "InputLayer"}
        tensors: dict[Ref, Any] = {
            Ref(layer.name, 0, 0): _input(layer) for layer in network.layers if layer.kind == "InputLayer"
        }
        for layer, call in in_order(network):
            given = [_known(tensors, resolve(network, ref)) for ref in layer.calls[call]]
            result = self._call(layer, made[layer.name], given)
            results = list(result) if isinstance(result, list | tuple) else [result]
            tensors |= {Ref(layer.name, call, number): tensor for number, tensor in enumerate(results)}
        ends = [[_known(tensors, resolve(network, ref)) for ref in side] for side in (network.inputs, network.outputs)]
        try:
            return keras.Model(*(side if len(side) > 1 else side[0] for side in ends), name=network.name)
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidInput(f"The layers of {network.name!r} make no model: {error}") from error

    def _sequential(self, network: Network) -> keras.Model:
        model = keras.Sequential([_input(network.layers[0])], name=network.name)
        for layer in network.layers[1:]:
            with _refusing(layer):
                shape = model.output_shape if model.layers else network.layers[0].settings["shape"]
                self._reserve(layer, [tuple(shape)])
                model.add(self._make(layer))
        return model

    def _make(self, layer: Layer) -> keras.Layer:
        if layer.inner is not None:
            return self.model(Network(layer.name, layer.inner.kind, *_parts(layer.inner)))
        settings = {key: _tupled(value) for key, value in layer.settings.items()}
        if settings.get("activation") == "legacy_hard_sigmoid":
            settings["activation"] = legacy_hard_sigmoid
        kind = AveragePooling2D if layer.kind == "AveragePooling2D" else getattr(keras.layers, layer.kind)
        with _refusing(layer):
            return kind(name=layer.name, **settings)

    def _call(self, layer: Layer, made: keras.Layer, given: Sequence[Any]) -> Any:
        with _refusing(layer):
            self._reserve(layer, [tuple(tensor.shape) for tensor in given])
            return made(list(given) if len(given) > 1 else given[0])

    def _reserve(self, layer: Layer, shapes: Sequence[Sequence[int | None]]) -> None:
        """Count the weights before Keras allocates them."""
        self._left -= _weight_count(layer, shapes)
        if self._left < 0:
            raise InvalidInput(
                f"With the layer {layer.name!r} the network has more than {MAX_PARAMETERS:,} weights.",
                hint="An ONNX file holds 2 GiB.",
                facts={"layer": layer.name},
            )


def _parts(network: Network) -> tuple[Any, ...]:
    return network.layers, network.inputs, network.outputs


def resolve(network: Network, ref: Ref) -> Ref:
    """Which call a reference means: Keras counts the calls of a model used as a layer from one."""
    layer = network.by_name.get(ref.layer)
    if layer is None:
        raise InvalidInput(f"The layer {ref.layer!r} is used, but not described.", facts={"layer": ref.layer})
    calls = max(len(layer.calls), 1)
    counted_from_one = layer.inner is not None and ref.call == calls
    if layer.inner is not None and layer.inner.kind == "Functional" and ref.call > 0:
        counted_from_one = True
    return Ref(ref.layer, ref.call - 1, ref.tensor) if counted_from_one else ref


def in_order(network: Network) -> Iterator[tuple[Layer, int]]:
    """All calls, each after those that give its inputs.

    Raises:
        InvalidInput: there is no such order.

    """
    sorter: TopologicalSorter[tuple[str, int]] = TopologicalSorter()
    for layer in network.layers:
        for call, refs in enumerate(layer.calls):
            sorter.add((layer.name, call), *(resolve(network, ref)[:2] for ref in refs))
    try:
        order = list(sorter.static_order())
    except CycleError as error:
        names = ", ".join(dict.fromkeys(repr(name) for name, _ in error.args[1][:5]))
        raise InvalidInput(f"The layers {names} wait for each other.") from error
    for name, call in order:
        layer = network.by_name[name]
        if layer.kind != "InputLayer":
            if call >= len(layer.calls):
                raise InvalidInput(f"The layer {name!r} is used, but never called.", facts={"layer": name})
            yield layer, call


def _known(tensors: dict[Ref, Any], ref: Ref) -> Any:
    if ref not in tensors:
        raise InvalidInput(f"The layer {ref.layer!r} has no output {ref.tensor} of a call {ref.call}.")
    return tensors[ref]


def _input(layer: Layer) -> Any:
    return keras.Input(tuple(layer.settings["shape"][1:]), name=layer.name)


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value


@contextmanager
def _refusing(layer: Layer) -> Iterator[None]:
    """Whatever Keras makes of settings that nobody meant, the file is wrong, and the layer is named."""
    try:
        yield
    except InvalidInput:
        raise
    except Exception as error:
        raise InvalidInput(
            f"Keras refuses the layer {layer.name!r} ({layer.kind}): {str(error)[:500]}", facts={"layer": layer.name}
        ) from error


def _weight_count(layer: Layer, shapes: Sequence[Sequence[int | None]]) -> int:
    """An upper bound for the layers whose settings decide how many weights there are."""
    settings, shape = layer.settings, shapes[0]
    if layer.kind == "Dense":
        return int(settings.get("units") or 0) * ((shape[-1] or 0) + 1)
    if layer.kind not in {"Conv2D", "Conv2DTranspose", "DepthwiseConv2D", "SeparableConv2D"} or len(shape) != 4:
        return 0
    channels = shape[1 if settings.get("data_format") == "channels_first" else 3] or 0
    size = settings.get("kernel_size") or 1
    window = math.prod(size) if isinstance(size, list) else size**2
    filters, multiplier = int(settings.get("filters") or 0), int(settings.get("depth_multiplier") or 1)
    if layer.kind == "DepthwiseConv2D":
        return int(window) * channels * multiplier
    if layer.kind == "SeparableConv2D":
        return int(window) * channels * multiplier + channels * multiplier * filters
    return int(window) * channels * filters + filters
