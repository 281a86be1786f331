"""Every layer that is read computes in ONNX what it computes in Keras, in both data formats."""

import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers

from tests.plugins.zoo_keras.old_files import perturbed
from zoo_keras.graphs.emitting import _EMITTERS, emit
from zoo_keras.networks.allowed import ACTIVATIONS, LAYERS
from zoo_keras.networks.building import build
from zoo_keras.networks.reading import read_network
from zoo_keras.runtime import call
from zoo_sdk.errors import InvalidInput

LAST, FIRST = "channels_last", "channels_first"
Make = Callable[[], keras.Layer]
CASES: dict[str, tuple[Make, tuple[int, ...]]] = {
    "same, stride 2, even": (lambda: layers.Conv2D(3, 3, strides=2, padding="same"), (8, 8, 2)),
    "same, stride 2, odd": (lambda: layers.Conv2D(3, (3, 2), strides=(2, 3), padding="same"), (9, 7, 2)),
    "dilated": (lambda: layers.Conv2D(3, 3, dilation_rate=2, padding="same"), (9, 9, 2)),
    "grouped": (lambda: layers.Conv2D(4, 3, groups=2, use_bias=False), (6, 6, 4)),
    "channels first": (lambda: layers.Conv2D(3, 3, padding="same", data_format=FIRST), (2, 6, 6)),
    "depthwise": (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu"), (6, 6, 3)),
    "separable": (lambda: layers.SeparableConv2D(5, 3, depth_multiplier=2, strides=2, padding="same"), (7, 7, 3)),
    "transposed, same": (lambda: layers.Conv2DTranspose(3, 3, strides=2, padding="same"), (4, 5, 2)),
    "transposed, valid": (lambda: layers.Conv2DTranspose(3, 4, strides=2), (4, 5, 2)),
    "dense on pictures": (lambda: layers.Dense(4, activation="tanh"), (3, 3, 5)),
    "batch normalisation of features": (layers.BatchNormalization, (5,)),
    "batch normalisation of sequences": (lambda: layers.BatchNormalization(center=False), (4, 5)),
    "batch normalisation, channels first": (lambda: layers.BatchNormalization(axis=1, scale=False), (3, 4, 4)),
    "layer normalisation": (layers.LayerNormalization, (3, 3, 5)),
    "rescaling": (lambda: layers.Rescaling(1 / 127.5, offset=-1), (3, 3, 2)),
    "rescaling by channel": (lambda: layers.Rescaling([0.5, 2.0], offset=[1.0, 0.0]), (3, 3, 2)),
    "normalization": (lambda: layers.Normalization(mean=[0.2, 0.4], variance=[0.5, 2.0]), (3, 3, 2)),
    "normalization of all": (lambda: layers.Normalization(axis=None, mean=0.3, variance=4.0), (3, 3, 2)),
    "relu6": (lambda: layers.ReLU(max_value=6), (3, 3, 2)),
    "leaky relu as relu": (lambda: layers.ReLU(negative_slope=0.3), (3, 3, 2)),
    "parametric relu": (lambda: layers.PReLU(shared_axes=[1, 2]), (3, 3, 2)),
    "elu": (lambda: layers.ELU(alpha=0.5), (4,)),
    "softmax over rows": (lambda: layers.Softmax(axis=1), (3, 4, 2)),
    "pool, same": (lambda: layers.MaxPooling2D(3, strides=2, padding="same"), (8, 7, 2)),
    "mean pool, same": (lambda: layers.AveragePooling2D(3, strides=2, padding="same"), (8, 7, 2)),
    "mean pool, channels first": (lambda: layers.AveragePooling2D(2, data_format=FIRST), (2, 6, 6)),
    "global pool that keeps axes": (lambda: layers.GlobalAveragePooling2D(keepdims=True), (4, 4, 3)),
    "global largest": (layers.GlobalMaxPooling2D, (4, 4, 3)),
    "flatten": (layers.Flatten, (3, 4, 2)),
    "flatten, channels first": (lambda: layers.Flatten(data_format=FIRST), (2, 3, 4)),
    "reshape": (lambda: layers.Reshape((6, -1)), (3, 4, 2)),
    "reshape to one pixel": (lambda: layers.Reshape((1, 1, 6)), (6,)),
    "permute": (lambda: layers.Permute((3, 1, 2)), (3, 4, 2)),
    "padding": (lambda: layers.ZeroPadding2D(((0, 1), (2, 1))), (3, 4, 2)),
    "cropping": (lambda: layers.Cropping2D(((1, 0), (1, 2))), (5, 6, 2)),
    "upsampling": (lambda: layers.UpSampling2D((2, 3)), (3, 4, 2)),
    "smooth upsampling": (lambda: layers.UpSampling2D(2, interpolation="bilinear"), (3, 4, 2)),
    "noise": (lambda: layers.GaussianNoise(0.5), (4,)),
}  # fmt: skip


def converted(model: keras.Model) -> tuple[keras.Model, onnx.ModelProto]:
    """The model as it is rebuilt from its configuration, like a file's, and its graph."""
    network = read_network(json.loads(model.to_json()), keras_major=3)
    rebuilt = build(network)
    for layer in model.layers:
        if layer.weights:
            rebuilt.get_layer(layer.name).set_weights([weight.value.detach().numpy() for weight in layer.weights])
    return rebuilt, emit(network, rebuilt)


def check(model: keras.Model, shape: tuple[int, ...], samples: int = 2) -> onnx.GraphProto:
    """Compare a model with its graph on random inputs; the graph."""
    rebuilt, made = converted(model)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = np.random.default_rng(1).normal(size=(samples, *shape)).astype(np.float32)
    found = session.run(None, {session.get_inputs()[0].name: inputs})
    for one, other in zip(call(rebuilt, inputs), found, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=2e-5)
    return made.graph


@pytest.mark.parametrize("name", CASES)
def test_a_layer_computes_what_it_computes_in_keras(name: str) -> None:
    make, shape = CASES[name]
    source = keras.Input(shape)
    check(perturbed(keras.Model(source, make()(source))), shape)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS - {"legacy_hard_sigmoid"}))
def test_an_activation_computes_what_it_computes_in_keras(name: str) -> None:
    source = keras.Input((3, 3, 4))
    check(keras.Model(source, layers.Activation(name)(layers.ZeroPadding2D(1)(source))), (3, 3, 4))


@pytest.mark.parametrize("kind", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"])
def test_a_merge_of_pictures_turns_no_axis_in_between(kind: str) -> None:
    source = keras.Input((6, 6, 2))
    branches = [layers.Conv2D(3, 3, padding="same")(source) for _ in range(2)]
    merged = getattr(layers, kind)()(branches)
    graph = check(perturbed(keras.Model(source, layers.GlobalAveragePooling2D()(merged))), (6, 6, 2))
    assert [node.op_type for node in graph.node].count("Transpose") == 1


def test_an_excitation_block_turns_no_axis_in_between() -> None:
    source = keras.Input((6, 6, 2))
    deep = layers.Conv2D(4, 3, padding="same")(source)
    gate = layers.Reshape((1, 1, 4))(layers.GlobalAveragePooling2D()(deep))
    gate = layers.Conv2D(4, 1, activation="sigmoid")(gate)
    model = keras.Model(source, layers.GlobalMaxPooling2D()(layers.Multiply()([deep, gate])))
    graph = check(perturbed(model), (6, 6, 2))
    assert [node.op_type for node in graph.node].count("Transpose") == 1


def test_a_mean_pool_leaves_out_what_is_padded_as_tensorflow_does() -> None:
    source = keras.Input((4, 3, 1))
    rebuilt, _ = converted(keras.Model(source, layers.AveragePooling2D(3, strides=2, padding="same")(source)))
    picture = np.arange(12, dtype=np.float32).reshape(1, 4, 3, 1)
    # Of four rows the last window sees two; of three columns the first and the last see two.
    wanted = [
        [picture[0, :3, :2].mean(), picture[0, :3, 1:].mean()],
        [picture[0, 2:, :2].mean(), picture[0, 2:, 1:].mean()],
    ]
    np.testing.assert_allclose(call(rebuilt, picture)[0][0, :, :, 0], wanted, atol=1e-6)


def test_pictures_of_any_size_keep_their_dynamic_axes() -> None:
    source = keras.Input((None, None, 2))
    deep = layers.MaxPooling2D(3, strides=2, padding="same")(layers.Conv2D(3, 3, strides=2, padding="same")(source))
    model = perturbed(keras.Model(source, layers.GlobalAveragePooling2D()(deep)))
    for shape in ((9, 12, 2), (16, 5, 2)):
        check(model, shape, samples=3)


def test_several_outputs_keep_the_names_of_their_layers_and_keras_axes() -> None:
    source = keras.Input((6, 6, 2))
    maps = layers.Conv2D(3, 3, name="maps")(source)
    graph = check(perturbed(keras.Model(source, [maps, layers.Flatten(name="flat")(maps)])), (6, 6, 2))
    sizes = [[dim.dim_value for dim in value.type.tensor_type.shape.dim][1:] for value in graph.output]
    assert sizes == [[4, 4, 3], [48]]
    assert graph.output[1].name == "flat"


def test_there_is_an_emitter_for_every_layer_that_is_allowed() -> None:
    assert set(_EMITTERS) == set(LAYERS) - {"InputLayer"}
    assert all(hasattr(layers, name) for name in LAYERS)


@pytest.mark.parametrize(
    ("make", "shape", "told"),
    [
        (lambda: layers.ReLU(threshold=1.0), (4,), "has a threshold"),
        (lambda: layers.LayerNormalization(axis=1), (4, 5), r"normalises over the axes \[1\]"),
        (lambda: layers.UpSampling2D(2, interpolation="bicubic"), (4, 4, 1), "interpolates 'bicubic'"),
    ],
)
def test_settings_that_are_not_read_are_refused_by_the_layers_name(
    make: Make, shape: tuple[int, ...], told: str
) -> None:
    source = keras.Input(shape)
    layer: Any = make()
    layer.name = "odd"
    with pytest.raises(InvalidInput, match=f"The layer 'odd' .*{told}"):
        converted(keras.Model(source, layer(source)))
