"""Darknet networks that tests make: a configuration, and weights drawn for it in Darknet's order."""

import struct
from pathlib import Path

import numpy as np

from zoo_darknet.configuration import read_configuration
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import InputItem

DETECTOR = """
[net]
# a comment
height=16
width=24
channels=3

[convolutional]
batch_normalize=1
filters=8
size=3
stride=1
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
filters=8
size=3
stride=1
pad=1
groups=2
activation=mish

[shortcut]
from=-2
activation=leaky

[maxpool]
size=2
stride=1

[route]
layers=-1
groups=2
group_id=1

[convolutional]
filters=12
size=1
stride=1
pad=1
activation=linear

[yolo]
mask = 0,1
anchors = 10,14,  23,27
classes=1
num=2

[route]
layers = -4

[convolutional]
batch_normalize=1
filters=5
size=3
stride=2
padding=1
activation=swish

[upsample]
stride=2

[route]
layers = -1, 0

[convolutional]
filters=6
size=1
activation=linear

[yolo]
mask = 0
anchors = 10,14
classes=1
num=1
"""
"""The last route joins (5, 8, 12) and layer 0 only if their sides agree; see ``fitting``."""

CLASSIFIER = """
[net]
height=8
width=8
channels=1
[conv]
batch_normalize=1
filters=6
size=3
pad=1
activation=relu
[max]
size=3
stride=2
[connected]
output=7
batch_normalize=1
activation=elu
[dropout]
probability=.5
[connected]
output=5
activation=linear
[softmax]
[cost]
"""


def fitting(text: str) -> str:
    """The detector with a route that fits: the upsampled map is as large as the first maxpool's."""
    return text.replace("layers = -1, 0", "layers = -1, 1")


def write_network(folder: Path, text: str, *, seed: int = 0, minor: int = 2) -> InputItem:
    """Both files of a network with random weights, as a model input."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "net.cfg").write_text(text)
    random = np.random.default_rng(seed)
    values: list[np.ndarray] = []
    for layer in read_configuration(text).layers:
        outputs = layer.shape[0]
        normalised = layer.number_of("batch_normalize", 0)
        statistics = [
            random.uniform(0.5, 1.5, outputs),
            random.normal(0, 0.2, outputs),
            random.uniform(0.2, 2, outputs),
        ]
        if layer.kind == "convolutional":
            fan = layer.taken[0] // layer.number_of("groups", 1) * layer.number_of("size", 1) ** 2
            kernel = random.normal(0, fan**-0.5, outputs * fan)
            values += [random.normal(0, 0.2, outputs), *(statistics if normalised else []), kernel]
        elif layer.kind == "connected":
            fan = int(np.prod(layer.taken))
            kernel = random.normal(0, fan**-0.5, outputs * fan)
            values += [random.normal(0, 0.2, outputs), kernel, *(statistics if normalised else [])]
    header = struct.pack("<iii", 0, minor, 0) + (struct.pack("<q", 1) if minor >= 2 else struct.pack("<i", 1))
    (folder / "net.weights").write_bytes(header + np.concatenate(values).astype("<f4").tobytes())
    return item_of(folder / "net.weights", folder / "net.cfg")


def item_of(weights: Path, cfg: Path) -> InputItem:
    """A model input of the two files, which lie in one folder."""
    artifact = ArtifactDescription(format="darknet", files=(weights.name, cfg.name))
    return InputItem(reference="demo/darknet@1", folder=weights.parent, artifact=artifact)
