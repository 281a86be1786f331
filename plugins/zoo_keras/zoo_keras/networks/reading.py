"""Reads a model's configuration, of Keras 2 or 3, as a :class:`Network`; everything that is not allowed is refused.

The text is JSON.  Nothing of it is imported, called or handed to Keras: what comes out is names from our own table,
numbers and who calls whom.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zoo_keras.networks.allowed import (
    ACTIVATIONS,
    FORMER_ACTIVATIONS,
    FORMER_CLASSES,
    FORMER_SETTINGS,
    LAYERS,
    MODELS,
)
from zoo_keras.networks.network import Layer, Network, Ref
from zoo_sdk.errors import InvalidInput

MAX_LAYERS = 20_000
MAX_DEPTH = 16
"""Of models within models."""
MAX_NUMBER = 2**24
MAX_ITEMS = 4096
"""Of a list of settings, such as the means of a Normalization."""
MAX_NAME = 300
_OWN = re.compile(r"(keras|tf_keras)(\.src)?(\.(layers|models|engine)(\.[a-z0-9_.]+)?)?")
_IGNORED_ARGUMENTS = frozenset({"training", "mask"})


def read_network(config: Any, *, keras_major: int) -> Network:
    """The network of a configuration.

    Args:
        config: the parsed JSON: ``{"class_name": "Functional", "config": {...}}``.
        keras_major: of the Keras that wrote it; until 2, ``hard_sigmoid`` was another function than today.

    Raises:
        InvalidInput: a layer, an activation or a setting that is not allowed, by its name; a graph that is none.

    """
    reader = _Reader(keras_major)
    kind, settings = _entry(config, "the model")
    if kind not in MODELS:
        raise InvalidInput(
            f"The model is a {kind!r}; only {', '.join(MODELS)} are read.",
            hint="A subclassed model has no graph in its file: export it to ONNX where its code is.",
        )
    return reader.network(MODELS[kind], settings, depth=0)


def _entry(value: Any, what: str) -> tuple[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("class_name"), str):
        raise InvalidInput(f"The configuration is damaged: {what} has no class_name.")
    return value["class_name"], value.get("config")


@dataclass
class _Reader:
    keras_major: int
    count: int = field(default=0)

    def network(self, kind: str, settings: Any, *, depth: int) -> Network:
        if depth > MAX_DEPTH:
            raise InvalidInput(f"Models are nested deeper than {MAX_DEPTH} levels.")
        listed = settings.get("layers") if isinstance(settings, dict) else settings
        if not isinstance(listed, list) or not listed:
            raise InvalidInput("The configuration lists no layers.", hint="Save the model after it was built.")
        self.count += len(listed)
        if self.count > MAX_LAYERS:
            raise InvalidInput(f"The configuration has more than {MAX_LAYERS} layers.")
        name = _name(settings.get("name") if isinstance(settings, dict) else None, kind.lower())
        if kind == "Sequential":
            build_shape = settings.get("build_input_shape") if isinstance(settings, dict) else None
            return self._chain(name, listed, build_shape, depth)
        layers = tuple(self._layer(entry, depth) for entry in listed)
        if len({layer.name for layer in layers}) != len(layers):
            raise InvalidInput("Two layers have the same name.")
        return Network(name, kind, layers, _ends(settings.get("input_layers")), _ends(settings.get("output_layers")))

    def _chain(self, name: str, listed: list[Any], build_shape: Any, depth: int) -> Network:
        """A Sequential model: each layer is called once, with what the one before it gave."""
        layers: list[Layer] = []
        for entry in listed:
            layer = self._layer(entry, depth)
            if not layers and layer.kind != "InputLayer":
                layers.append(_first_input(entry, layer, build_shape))
            before = ((Ref(layers[-1].name, 0, 0),),) if layers else ()
            layers.append(Layer(layer.name, layer.kind, layer.settings, before, layer.inner))
        if len({layer.name for layer in layers}) != len(layers):
            raise InvalidInput("Two layers have the same name.")
        return Network(name, "Sequential", tuple(layers), (Ref(layers[0].name, 0, 0),), (Ref(layers[-1].name, 0, 0),))

    def _layer(self, entry: Any, depth: int) -> Layer:
        given, settings = _entry(entry, "a layer")
        own_name = settings.get("name") if isinstance(settings, dict) else None
        name = _name(entry.get("name") or own_name, given.lower())
        kind = FORMER_CLASSES.get(given, given)
        _check_origin(entry, given, name)
        if kind in MODELS:
            inner = self.network(MODELS[kind], settings, depth=depth + 1)
            return Layer(name, inner.kind, {}, _calls(entry.get("inbound_nodes"), name), inner)
        if kind not in LAYERS or not isinstance(settings, dict):
            raise InvalidInput(
                f"The layer {name!r} is a {given[:100]!r}, which is not read.",
                hint="Lambda and custom layers hold or need somebody's code, which is never run here: export the model "
                "to ONNX where that code is, and push that."
                if kind == "Lambda" or kind not in LAYERS
                else "",
                facts={"layer": name, "class": given[:100]},
            )
        return Layer(name, kind, self._settings(kind, name, settings), _calls(entry.get("inbound_nodes"), name))

    def _settings(self, kind: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        if kind == "InputLayer":
            return {"shape": _input_shape(given.get("batch_shape", given.get("batch_input_shape")), name)}
        found: dict[str, Any] = {}
        for key, value in given.items():
            current = FORMER_SETTINGS.get((kind, key), key)
            if current in LAYERS[kind]:
                found[current] = self._value(value, current, name)
        if kind == "BatchNormalization" and isinstance(found.get("axis"), list):
            # TensorFlow 1 and 2 write [3]; there was never more than one axis in an image network.
            if len(found["axis"]) != 1:
                raise InvalidInput(f"The layer {name!r} normalises over the axes {found['axis']}; one is read.")
            found["axis"] = found["axis"][0]
        if kind == "DepthwiseConv2D" and given.get("groups") not in (None, 1):
            raise InvalidInput(f"The layer {name!r} is depthwise with groups = {given['groups']!r}.")
        return found

    def _value(self, value: Any, key: str, layer: str) -> Any:
        if key == "activation":
            return self._activation(value, layer)
        if isinstance(value, dict) and value.get("type") == "ndarray":
            value = value.get("value")  # how Keras 2.0 wrote some numbers
        return _plain(value, f"{key} of the layer {layer!r}")

    def _activation(self, value: Any, layer: str) -> str:
        named = value.get("config") if isinstance(value, dict) and value.get("class_name") == "function" else value
        if isinstance(value, dict) and isinstance(named, dict):
            named = value.get("class_name")
        name = "linear" if named is None else named
        name = FORMER_ACTIVATIONS.get(name, name) if isinstance(name, str) else name
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise InvalidInput(
                f"The layer {layer!r} has the activation {str(named)[:100]!r}, which is not read.",
                hint=f"Known: {', '.join(sorted(ACTIVATIONS))}.",
                facts={"layer": layer},
            )
        return "legacy_hard_sigmoid" if name == "hard_sigmoid" and self.keras_major < 3 else name


def _check_origin(entry: Mapping[str, Any], kind: str, name: str) -> None:
    """A class of Keras 3 files says where it comes from; only Keras' own layers are meant by our table."""
    module, registered = entry.get("module"), entry.get("registered_name")
    if (module is None or (isinstance(module, str) and _OWN.fullmatch(module))) and registered in (None, kind):
        return
    raise InvalidInput(
        f"The layer {name!r} is the class {kind[:100]!r} of {str(registered or module)[:100]!r}, not a layer of Keras.",
        hint="Custom layers and functions called between layers are not read: export the model to ONNX where its code "
        "is.",
        facts={"layer": name, "class": kind[:100]},
    )


def _plain(value: Any, what: str) -> Any:
    """A setting: numbers, texts and short lists of them; tuples are lists in JSON."""
    if isinstance(value, list) and len(value) <= MAX_ITEMS:
        return [_plain(item, what) for item in value]
    if value is None or isinstance(value, bool) or (isinstance(value, str) and len(value) <= MAX_NAME):
        return value
    if isinstance(value, int | float) and abs(value) <= MAX_NUMBER:
        return value
    raise InvalidInput(f"The setting {what} is {str(value)[:100]!r}, which is no number, text or short list.")


def _name(value: Any, default: str) -> str:
    if value is None:
        return default
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME:
        raise InvalidInput(f"A layer is named {str(value)[:100]!r}.")
    return value


def _input_shape(value: Any, name: str) -> list[int | None]:
    sizes = value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list) else value
    if not isinstance(sizes, list) or not 2 <= len(sizes) <= 5:
        raise InvalidInput(f"The input {name!r} has the shape {str(value)[:100]}, which is not (N, ...).")
    if any(not (size is None or (type(size) is int and 0 < size <= MAX_NUMBER)) for size in sizes):
        raise InvalidInput(f"The input {name!r} has the shape {str(value)[:100]}.")
    return [None, *sizes[1:]]


def _first_input(entry: Any, layer: Layer, build_shape: Any) -> Layer:
    """The input of a Sequential model, whose shape its first layer tells (or the model, where it was built late)."""
    waiting = entry
    while isinstance(waiting, dict):
        settings = waiting.get("config")
        shape = settings.get("batch_input_shape", settings.get("batch_shape")) if isinstance(settings, dict) else None
        if shape is not None:
            break
        inner = settings.get("layers") if isinstance(settings, dict) else settings
        waiting = inner[0] if isinstance(inner, list) and inner else None
    else:
        shape = build_shape
    if shape is None:
        raise InvalidInput(
            f"The model does not say the shape of its input: its first layer {layer.name!r} has none.",
            hint="Build the model with an input shape and save it again.",
        )
    name = f"{layer.name}_input"
    return Layer(name, "InputLayer", {"shape": _input_shape(shape, name)})


def _ref(value: Any) -> Ref:
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        config = value.get("config")
        value = config.get("keras_history") if isinstance(config, dict) else None
    if (
        not isinstance(value, list)
        or len(value) not in {3, 4}
        or not isinstance(value[0], str)
        or any(type(number) is not int or number < 0 for number in value[1:3])
    ):
        raise InvalidInput(f"The configuration is damaged: {str(value)[:100]} names no output of a layer.")
    if len(value) == 4 and isinstance(value[3], dict) and value[3].keys() - _IGNORED_ARGUMENTS:
        raise InvalidInput(f"A layer calls {value[0]!r} with the arguments {', '.join(value[3])[:100]}.")
    return Ref(*value[:3])


def _refs(value: Any) -> tuple[Ref, ...]:
    """One output, a list of them, or lists within lists as Keras 3 writes the arguments of a call."""
    is_one = isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], str))
    if is_one:
        return (_ref(value),)
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > MAX_ITEMS:
        raise InvalidInput(f"The configuration is damaged: {str(value)[:100]} names no output of a layer.")
    return tuple(ref for item in value for ref in _refs(item))


def _calls(value: Any, name: str) -> tuple[tuple[Ref, ...], ...]:
    """The inputs of each call of a layer, from ``inbound_nodes``."""
    if not isinstance(value, list):
        return ()
    found = []
    for node in value:
        if isinstance(node, dict):
            extra = node.get("kwargs")
            if isinstance(extra, dict) and extra.keys() - _IGNORED_ARGUMENTS:
                raise InvalidInput(f"The layer {name!r} is called with the arguments {', '.join(extra)[:100]}.")
            found.append(_refs(node.get("args", [])))
        else:
            found.append(_refs(node))
    return tuple(found)


def _ends(value: Any) -> tuple[Ref, ...]:
    found = _refs(list(value.values()) if isinstance(value, dict) else value) if value is not None else ()
    if not 1 <= len(found) <= 32:
        raise InvalidInput(f"The model has {len(found)} inputs or outputs; 1 to 32 are read.")
    return found
