"""What is not allowed is refused by its name, before Keras sees it; damaged and dangerous files too."""

import json
import os
import random
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

import zoo_keras
from tests.plugins.zoo_keras.old_files import digits_network, item_for, old_config, write_old_h5
from zoo_keras.files import open_file
from zoo_keras.loading import load
from zoo_keras.networks.building import build
from zoo_keras.networks.reading import read_network
from zoo_sdk.errors import InvalidInput


def with_layer(kind: str, config: dict[str, Any], **entry: Any) -> dict[str, Any]:
    """A network of one layer between its input and its end."""
    layer = {"class_name": kind, "name": "odd", "config": {"name": "odd", **config}, **entry}
    start = {"class_name": "InputLayer", "name": "x", "config": {"batch_input_shape": [None, 4, 4, 2]}}
    layer.setdefault("inbound_nodes", [[["x", 0, 0, {}]]])
    settings = {"name": "m", "layers": [start, layer], "input_layers": [["x", 0, 0]], "output_layers": [["odd", 0, 0]]}
    return {"class_name": "Model", "config": settings}


def written(tmp_path: Path, config: dict[str, Any]) -> Path:
    return write_old_h5(digits_network(), tmp_path / "m.h5", config=config)


LAMBDA = {"function": ["4wAAAAA=", None, None], "function_type": "lambda", "module": "os"}


@pytest.mark.parametrize(
    ("kind", "config", "entry"),
    [
        ("Lambda", LAMBDA, {}),
        ("TFOpLambda", {"function": "math.add"}, {}),
        ("MyLayer", {}, {}),
        ("Dense", {"units": 1}, {"module": "os", "registered_name": None}),
        ("Dense", {"units": 1}, {"module": "keras.layers", "registered_name": "mine>Dense"}),
        ("Add", {}, {"module": "keras.src.ops.numpy", "registered_name": None}),
        ("TFSMLayer", {"filepath": "/etc"}, {"module": "keras.layers"}),
        ("LSTM", {"units": 3}, {}),
    ],
)
def test_a_layer_that_is_not_allowed_is_refused_by_its_name(
    kind: str, config: dict[str, Any], entry: dict[str, Any], tmp_path: Path
) -> None:
    path = written(tmp_path, with_layer(kind, config, **entry))
    with pytest.raises(InvalidInput, match=rf"The layer 'odd' is (a|the class) '{kind}'") as caught:
        load(item_for(path), tmp_path)
    assert caught.value.facts == {"layer": "odd", "class": kind}


@pytest.mark.parametrize(
    ("kind", "config", "told"),
    [
        ("Activation", {"activation": "os.system"}, "activation 'os.system'"),
        ("Activation", {"activation": {"class_name": "Evil", "config": {}}}, "activation 'Evil'"),
        ("Dense", {"units": {"class_name": "x"}}, "units of the layer 'odd'"),
        ("Dense", {"units": 10**12}, "units of the layer 'odd'"),
        ("Dense", {"units": -3}, "Keras refuses the layer 'odd'"),
        (
            "Conv2D",
            {"filters": 2**24, "kernel_size": [2**20, 2**20]},
            "'odd' the network has more than 536,870,912 weights",
        ),
        ("BatchNormalization", {"axis": [1, 2]}, r"normalises over the axes \[1, 2\]"),
        ("DepthwiseConv2D", {"kernel_size": 3, "groups": 2}, "depthwise with groups = 2"),
        ("Add", {}, "Keras refuses the layer 'odd'"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(kind: str, config: dict[str, Any], told: str, tmp_path: Path) -> None:
    path = written(tmp_path, with_layer(kind, config))
    with pytest.raises(InvalidInput, match=told):
        load(item_for(path), tmp_path)


def test_nothing_of_a_configuration_is_imported_or_built_but_allowed_layers(tmp_path: Path) -> None:
    config = with_layer("Dense", {
        "units": 2,
        "kernel_initializer": {"class_name": "Evil", "module": "this", "config": {}},
        "kernel_regularizer": {"class_name": "function", "config": "this"},
        "dtype": {"class_name": "DTypePolicy", "module": "antigravity", "config": {"name": "float64"}},
    })  # fmt: skip
    network = read_network(config, keras_major=2)
    assert network.by_name["odd"].settings == {"units": 2}
    assert not {"this", "antigravity"} & set(sys.modules)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"inbound_nodes": [[["odd", 0, 0, {}]]]}, "wait for each other"),
        ({"inbound_nodes": [[["nobody", 0, 0, {}]]]}, "'nobody' is used, but not described"),
        ({"inbound_nodes": []}, "has no output|used, but never called"),
        ({"inbound_nodes": [[["x", 0, 0, {"training": False, "mask": None, "evil": 1}]]]}, "with the arguments"),
        ({"inbound_nodes": [[["x", "a", 0, {}]]]}, "names no output"),
    ],
)
def test_a_graph_that_is_none_is_refused(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    path = written(tmp_path, with_layer("Activation", {"activation": "relu"}, **change))
    with pytest.raises(InvalidInput, match=told):
        load(item_for(path), tmp_path)


@pytest.mark.parametrize(
    "config", [[], {}, {"class_name": "Model"}, {"class_name": "Model", "config": {"layers": []}}, 7]
)
def test_a_configuration_without_layers_is_refused(config: Any) -> None:
    with pytest.raises(InvalidInput):
        read_network(config, keras_major=2)


def test_a_subclassed_model_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidInput, match=r"The model is a 'Mine'.*export it to ONNX"):
        read_network({"class_name": "Mine", "config": {}}, keras_major=3)


@pytest.mark.parametrize("link", [h5py.ExternalLink("other.h5", "/x"), h5py.SoftLink("/model_weights")])
def test_links_to_other_places_are_refused(link: Any, tmp_path: Path) -> None:
    path = write_old_h5(digits_network(), tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        file["model_weights/stem/odd"] = link
    with pytest.raises(InvalidInput, match="'/model_weights/stem/odd' is a link to somewhere else"):
        open_file(path, tmp_path)


def test_values_in_other_files_are_refused(tmp_path: Path) -> None:
    path = write_old_h5(digits_network(), tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        file["model_weights"].create_dataset("outside", (4,), "u1", external=[("/etc/hostname", 0, 4)])
    with pytest.raises(InvalidInput, match="'/model_weights/outside' keeps its values in other files"):
        open_file(path, tmp_path)
    with h5py.File(path, "r+") as file:
        del file["model_weights/outside"]
        layout = h5py.VirtualLayout((4,), "u1")
        layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4,))
        file["model_weights"].create_virtual_dataset("virtual", layout)
    with pytest.raises(InvalidInput, match="'/model_weights/virtual' keeps its values in other files"):
        open_file(path, tmp_path)


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    whole = write_old_h5(digits_network(), tmp_path / "m.h5").read_bytes()
    for name, content in (("empty", b""), ("text", b"not a model"), ("cut", whole[:3000]), ("head", whole[:8])):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InvalidInput):
            open_file(path, tmp_path)
    with h5py.File(tmp_path / "table.h5", "w") as file:
        file["table"] = np.zeros(3)
    with pytest.raises(InvalidInput, match="HDF5, but not of Keras"):
        open_file(tmp_path / "table.h5", tmp_path)


def test_an_archive_is_bounded_and_needs_its_members(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (33 * 2**20))
        archive.writestr("model.weights.h5", b"")
    with pytest.raises(InvalidInput, match=r"'config\.json' is larger than"):
        open_file(tmp_path / "bomb.keras", tmp_path)
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("readme", b"")
    with pytest.raises(InvalidInput, match="a zip, but not of Keras"):
        open_file(tmp_path / "other.keras", tmp_path)


def test_keras_reads_our_settings_and_not_those_of_the_users_home() -> None:
    assert keras.config.backend() == "torch"
    home = Path(os.environ["KERAS_HOME"])
    assert home.parent == Path(zoo_keras.__file__).parent
    assert json.loads((home / "keras.json").read_text())["image_data_format"] == keras.config.image_data_format()


def test_a_deep_old_configuration_keeps_what_matters() -> None:
    network = read_network(old_config(digits_network()), keras_major=2)
    assert network.by_name["stem_bn"].settings["axis"] == 3
    assert network.by_name["leaky"].settings == {"negative_slope": 0.1}
    assert "groups" not in network.by_name["depthwise"].settings


NONSENSE: list[Any] = [
    None, True, -1, 0, 1e30, 2**31, float("nan"), "x", "Lambda", "same", [], {}, [[]], [1, 2], {"class_name": "Add"},
    ["image", 0, 0],
]  # fmt: skip


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every path into a configuration."""
    if above:
        yield above
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in below:
        yield from places(inner, (*above, key))


def test_a_configuration_that_was_changed_anywhere_is_read_or_refused() -> None:
    source = random.Random(5)
    whole = json.dumps(old_config(digits_network()))
    refused = 0
    for number in range(300):
        config = json.loads(whole)
        *above, last = source.choice(list(places(config)))
        target = config
        for key in above:
            target = target[key]
        target[last] = source.choice(NONSENSE)
        try:
            network = read_network(config, keras_major=2)
            if number % 10 == 0:
                build(network)
        except InvalidInput:
            refused += 1
    assert 50 < refused < 250
