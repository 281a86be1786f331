"""Small files that are made here, one of each format; most hold one network, trained on scikit-learn's digits."""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch

from bench.matrix.real import unlabelled
from bench.matrix.ways import Effort, Source
from bench.operations import perform
from tests.plugins.zoo_darknet.generated import CLASSIFIER, write_network
from tests.plugins.zoo_keras.old_files import PREPROCESSING as CHANNELS_LAST
from tests.plugins.zoo_keras.old_files import digits_network, item_for, perturbed, write_old_h5
from tests.plugins.zoo_torch.importing.checkpoints import oneflow_item, saved, yolo_classes
from tests.zoo_vision.samples import PREPROCESSING, TRAINING_SAMPLES, digits, npz_digits
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem
from zoo_torch.networks.weights import load_weights
from zoo_vision.preprocessing import prepare

ARCHITECTURE = "zoo:conv_tiny"
NAMED = {"torch.import_weights": {"architecture": ARCHITECTURE}}
SIDE = 32
"""Pixels of a side for Keras' own architectures."""
COLOUR = Preprocessing(channels=3, resize=SIDE, crop=(SIDE, SIDE), layout="NHWC")
TRAINED = "the digits network"


def made_sources(folder: Path, effort: Effort) -> Iterator[Source]:
    """Train the network, and put it into every format."""
    data = npz_digits(folder / "data")
    yield from _of_torch(folder / "torch", data, effort)
    yield from _of_keras(folder / "keras", data)
    tiny = write_network(folder / "darknet", CLASSIFIER)
    pictures = unlabelled(folder / "unlabelled", digits()[0][:TRAINING_SAMPLES], 5)
    yield Source("classifier.weights", "random weights", _with(tiny, PREPROCESSING), data=pictures)


def _of_torch(folder: Path, data: InputItem, effort: Effort) -> Iterator[Source]:
    trained = trained_digits(folder / "trained", data, threads=effort.threads)
    network = load_weights(trained).build().eval()
    state = network.state_dict()

    def source(name: str, item: InputItem, how: str = "", options: Mapping[str, Any] = NAMED) -> Source:
        return Source(name, how or TRAINED, item, options=options, data=data, labelled=True)

    yield source("digits.safetensors", trained, options={})
    yield source("digits.pth", saved(folder / "zip", state))
    wrapped = {f"module.{name}": value for name, value in state.items()}
    training = {"epoch": 3, "arch": "conv_tiny", "state_dict": wrapped, "optimizer": {"state": {}, "param_groups": []}}
    yield source("digits.pth.tar", saved(folder / "tar", training, "model.pth.tar"), f"{TRAINED}, with an optimiser")
    legacy = saved(folder / "legacy", state, "model.pt", _use_new_zipfile_serialization=False)
    yield source("digits.pt", legacy, f"{TRAINED}, as torch wrote before 1.6")
    with yolo_classes(type(network)):
        content = {"epoch": -1, "model": deepcopy(network).half(), "ema": None, "optimizer": None}
        pickled = saved(folder / "yolo", content, "yolo.pt")
    yield source("yolov5.pt", pickled, f"{TRAINED} in half precision, as a pickled module of YOLOv5")
    for layout, version in (("A", "0.5"), ("B", "0.6 to 0.9"), ("C", "1.0")):
        item = oneflow_item(folder / f"oneflow-{layout}", state, layout, packed=layout != "C")
        yield source(f"oneflow-{layout}", item, f"{TRAINED}, as OneFlow {version}")
    onnx = None
    for name, operation, before in (
        ("digits.torchscript.pt", "torch.export_torchscript", trained),
        ("digits.pt2", "torch.export_program", trained),
        ("digits.onnx", "torch.export_onnx", trained),
        ("digits.xml", "openvino.convert", None),
        ("digits.tflite", "tflite.convert", None),
    ):
        item = _converted(operation, before or onnx, folder / name, effort)
        onnx = item if operation == "torch.export_onnx" else onnx
        yield source(name, item, f"{TRAINED}, by {operation}", {})


def trained_digits(folder: Path, data: InputItem, *, threads: int) -> InputItem:
    """The network, trained for a few seconds."""
    params = {"architecture": ARCHITECTURE, "epochs": 8, "batch_size": 64, "learning_rate": 0.1}
    outcome = perform("torch.train", params, {"data": data}, folder=folder, seed=0, threads=threads)
    assert outcome.made is not None
    return outcome.made


def _converted(operation: str, item: InputItem | None, folder: Path, effort: Effort) -> InputItem:
    assert item is not None
    outcome = perform(operation, {}, {"model": item}, folder=folder, seed=0, threads=effort.threads)
    assert outcome.made is not None
    return outcome.made


def _of_keras(folder: Path, data: InputItem) -> Iterator[Source]:
    folder.mkdir(parents=True)
    own = fitted(digits_network())
    write: Mapping[str, Callable[[Path], object]] = {
        "digits.keras": own.save,
        "digits.h5": partial(write_old_h5, own),
    }
    for name, function in write.items():
        function(folder / name)
        how = "a network fitted to the digits, as Keras " + ("3" if name.endswith("keras") else "2.2.4")
        yield Source(name, how, item_for(folder / name, preprocessing=CHANNELS_LAST), data=data, labelled=True)
    small: dict[str, Any] = {"input_shape": (SIDE, SIDE, 3), "classes": 10}
    for name, more in (("ResNet50", {}), ("MobileNet", {"alpha": 0.25})):
        settings = small | more
        model = perturbed(getattr(keras.applications, name)(weights=None, **settings))
        path = write_old_h5(model, folder / f"{name}.h5")
        yield Source(path.name, "random weights, as Keras 2.2.4", item_for(path, preprocessing=COLOUR), data=data)
    # The last one once more, without its configuration.
    path = write_old_h5(model, folder / f"{name}-weights.h5", weights_only=True)
    options = {"keras.export_onnx": {"architecture": {"name": name, **settings}}}
    item = item_for(path, preprocessing=COLOUR)
    yield Source(path.name, "random weights without a configuration, as Keras 2.2.4", item, options, data)


def fitted(network: keras.Model) -> keras.Model:
    """The network with its last layer fitted to the digits by least squares: no training, and still right mostly."""
    images, labels = digits()
    inputs = prepare(images[:TRAINING_SAMPLES], CHANNELS_LAST)
    body = keras.Model(network.inputs[0], network.layers[-1].input)
    with torch.no_grad():
        features = body(inputs, training=False).cpu().numpy().astype(np.float64)
    extended = np.hstack([features, np.ones((len(features), 1))])
    wanted = np.eye(10)[labels[:TRAINING_SAMPLES]] * 10
    solution = np.linalg.solve(extended.T @ extended + 5 * np.eye(extended.shape[1]), extended.T @ wanted)
    network.layers[-1].set_weights([solution[:-1], solution[-1]])
    return network


def _with(item: InputItem, preprocessing: Preprocessing) -> InputItem:
    assert item.artifact is not None
    artifact = item.artifact.model_copy(update={"preprocessing": preprocessing})
    return InputItem(reference=item.reference, folder=item.folder, artifact=artifact)
