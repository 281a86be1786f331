"""Keras files as they were written in the days of TensorFlow 1 and 2, and small networks to put into them.

Keras 3 writes the old HDF5 layout, but not the old configuration; this writes both as Keras 2.2.4 and tf.keras 2 did.
"""

import json
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from zoo_sdk.artifacts import ArtifactDescription, Preprocessing
from zoo_sdk.context import InputItem

PREPROCESSING = Preprocessing(channels=1, crop=(8, 8), mean=(0.3053,), std=(0.3759,), layout="NHWC")


def item_for(path: Path, *more: str, preprocessing: Preprocessing | None = None, format: str = "") -> InputItem:  # noqa: A002
    """A model input for a file."""
    artifact = ArtifactDescription(
        format=format or ("keras" if path.suffix == ".keras" else "keras-h5"),
        files=(path.name, *more),
        preprocessing=preprocessing,
    )
    return InputItem(reference="demo/old@1", folder=path.parent, artifact=artifact)


def digits_network(*, outputs: int = 10) -> keras.Model:
    """8 x 8 grey: convolution, batch normalisation, separable and depthwise convolutions, a shortcut, a classifier."""
    inputs = keras.Input((8, 8, 1), name="image")
    stem = keras.layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(inputs)
    stem = keras.layers.Activation("relu", name="stem_relu")(keras.layers.BatchNormalization(name="stem_bn")(stem))
    deep = keras.layers.SeparableConv2D(8, 3, padding="same", name="separable")(stem)
    deep = keras.layers.BatchNormalization(name="separable_bn", scale=False)(deep)
    deep = keras.layers.DepthwiseConv2D(3, strides=2, padding="same", name="depthwise")(
        keras.layers.Add(name="shortcut")([stem, deep])
    )
    deep = keras.layers.LeakyReLU(negative_slope=0.1, name="leaky")(deep)
    flat = keras.layers.Dropout(0.2, name="dropout")(keras.layers.Flatten(name="flat")(deep))
    scores = keras.layers.Dense(outputs, activation="softmax", name="scores")(flat)
    return perturbed(keras.Model(inputs, scores, name="digits"))


def perturbed(model: keras.Model, seed: int = 0) -> keras.Model:
    """Weights drawn from the seed, so that no statistic is its neutral start and none is random from run to run."""
    random = np.random.default_rng(seed)
    for layer in model.layers:
        drawn = []
        for weight in layer.weights:
            shape = tuple(weight.shape)
            around_one = weight.path.rpartition("/")[2] in {"gamma", "moving_variance", "variance"}
            fan = max(int(np.prod(shape[:-1])), 1)
            drawn.append(random.uniform(0.5, 1.5, shape) if around_one else random.normal(0, (1 / fan) ** 0.5, shape))
        layer.set_weights(drawn)
    return model


def old_config(model: keras.Model) -> dict[str, Any]:
    """The configuration as Keras 2 wrote it: no modules, ``batch_input_shape``, lists of lists for the calls."""
    new = json.loads(model.to_json())["config"]
    if isinstance(model, keras.Sequential):
        chain = [_old_layer(entry) for entry in new["layers"] if entry["class_name"] != "InputLayer"]
        chain[0]["config"]["batch_input_shape"] = [None, *model.input_shape[1:]]
        # Until Keras 2.2.2 it was the bare list.
        return {
            "class_name": "Sequential",
            "config": [{key: entry[key] for key in ("class_name", "config")} for entry in chain],
        }
    layers = [_old_layer(entry) for entry in new["layers"]]
    ends = {key: _listed(new[key]) for key in ("input_layers", "output_layers")}
    return {"class_name": "Model", "config": {"name": new["name"], "layers": layers, **ends}}


def _listed(ends: Any) -> list[Any]:
    return [ends] if isinstance(ends[0], str) else ends


def _old_layer(entry: dict[str, Any]) -> dict[str, Any]:
    kind, config = entry["class_name"], entry["config"]
    if kind in {"Functional", "Sequential"}:
        inner = [_old_layer(layer) for layer in config["layers"]]
        ends = {key: _listed(config[key]) for key in ("input_layers", "output_layers")}
        settings: dict[str, Any] = {"name": config["name"], "layers": inner, **ends}
        kind = "Model"
    else:
        settings = {key: _old_value(value) for key, value in config.items() if key not in {"dtype", "batch_shape"}}
    if kind == "InputLayer":
        settings |= {"batch_input_shape": config["batch_shape"], "sparse": False, "dtype": "float32"}
    if kind == "BatchNormalization":
        settings["axis"] = [3 if config["axis"] == -1 else config["axis"]]
    if kind == "DepthwiseConv2D":
        settings["groups"] = 1
    if kind == "LeakyReLU":
        settings["alpha"] = settings.pop("negative_slope")
    calls = [[[*ref, {}] for ref in _refs(node["args"])] for node in entry.get("inbound_nodes", [])]
    return {"class_name": kind, "name": config["name"], "config": settings, "inbound_nodes": calls}


def _old_value(value: Any) -> Any:
    if isinstance(value, dict) and "class_name" in value:
        return {"class_name": value["class_name"], "config": value.get("config", {})}
    return value


def _refs(arguments: Any) -> list[Any]:
    if isinstance(arguments, dict):
        return [arguments["config"]["keras_history"]]
    return [ref for item in arguments for ref in _refs(item)]


def write_old_h5(
    model: keras.Model, path: Path, *, config: dict[str, Any] | None = None, weights_only: bool = False
) -> Path:
    """An HDF5 file of Keras 2.2.4 (``config`` replaces the model's own)."""
    with h5py.File(path, "w") as file:
        group = file
        if not weights_only:
            file.attrs["model_config"] = json.dumps(config or old_config(model)).encode()
            file.attrs["training_config"] = b'{"optimizer_config": {"class_name": "Adam", "config": {"lr": 0.0001}}}'
            group = file.create_group("model_weights")
            for target in (file, group):
                target.attrs["keras_version"], target.attrs["backend"] = b"2.2.4-tf", b"tensorflow"
        group.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            part = group.create_group(layer.name)
            weights = [*layer.trainable_weights, *layer.non_trainable_weights]
            names = [
                f"{layer.name}/{weight.path.rpartition('/')[2]}_{number}:0" for number, weight in enumerate(weights)
            ]
            part.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, weights, strict=True):
                part.create_dataset(name, data=weight.value.detach().numpy())
    return path
