"""The packed network in numpy, the QDQ network in ONNX Runtime and TorchScript answer as the network in torch does."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from tests.plugins.zoo_torch.quantization.samples import quantised
from zoo_sdk.errors import InvalidInput
from zoo_torch.networks.architectures import Architecture
from zoo_torch.quantization.export_qdq import onnx_runner, write_qdq
from zoo_torch.quantization.export_torchscript import write_torchscript
from zoo_torch.quantization.integers import to_integers
from zoo_torch.quantization.network import QuantisedLinear, quantise, quantised_layers
from zoo_torch.quantization.scheme import LayerBits, QuantizationScheme
from zoo_vision.integer.files import read_network, write_network
from zoo_vision.integer.graph import Affine, Convolution
from zoo_vision.integer.simulator import Simulator
from zoo_vision.integer.simulator import quantised as rounded

SCHEMES = {
    "w8a8": QuantizationScheme(),
    "w3a4": QuantizationScheme(weight_bits=3, activation_bits=4, per_channel=False),
    "mixed": QuantizationScheme(
        weight_bits=2,
        activation_bits=5,
        overrides={"features.1.first.0": "float", "classifier": LayerBits(weight_bits=6)},
    ),
}


def answers(network: nn.Module, inputs: torch.Tensor) -> NDArray[np.float32]:
    with torch.inference_mode():
        result: NDArray[np.float32] = network(inputs).numpy()
    return result


@pytest.mark.parametrize("name", SCHEMES)
def test_the_simulator_answers_as_torch_on_a_thousand_pictures(name: str, tmp_path: Path) -> None:
    network, _ = quantised("zoo:resnet_small", SCHEMES[name], shape=(1, 16, 16))
    inputs = torch.randn(1000, 1, 16, 16)
    write_network(to_integers(network, (1, 16, 16)), tmp_path / "model.integers")
    found = Simulator(read_network(tmp_path / "model.integers", "test"))(inputs.numpy())
    expected = answers(network, inputs)
    assert np.array_equal(found.argmax(axis=1), expected.argmax(axis=1))
    # Where a number lies between two integers, the last digit of a sum decides; it moves few answers, and little.
    difference = np.abs(found - expected)
    assert np.mean(difference.max(axis=1) > 1e-5) < 0.02
    assert difference.max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize(
    "name",
    [
        "timm:resnet18",
        "timm:mobilenetv2_050",
        "timm:mobilenetv3_small_050",
        "timm:efficientnet_b0",
        "timm:resnet26d",
        "timm:tf_efficientnet_lite0",
    ],
)
def test_timms_networks_have_an_integer_graph_that_computes_the_same(name: str) -> None:
    scheme = QuantizationScheme(weight_bits=4, activation_bits=4)
    network = quantise(Architecture(name=name, num_classes=10).build(), scheme).eval()
    inputs = torch.randn(4, 3, 64, 64)
    integers = to_integers(network, (3, 64, 64))
    expected = answers(network, inputs)
    np.testing.assert_allclose(Simulator(integers)(inputs.numpy()), expected, atol=0.02 * np.abs(expected).max())
    assert not any(isinstance(node, Affine) for node in integers.graph.nodes)
    assert len(quantised_layers(network)) == len(integers.layers)


def test_a_linear_layer_in_8_bits_is_integer_arithmetic_exactly() -> None:
    torch.manual_seed(0)
    network = quantise(nn.Sequential(nn.Flatten(), nn.Linear(48, 7)), QuantizationScheme(unsigned=()))
    layer = network[1]  # type: ignore[index]
    assert isinstance(layer, QuantisedLinear)
    layer.input_quantiser.initialise(torch.tensor(0.8))
    inputs = torch.randn(200, 3, 4, 4)
    node = to_integers(network, (3, 4, 4)).graph.nodes[-1]
    codes = rounded(inputs.flatten(1).numpy(), node.integers).astype(np.int64)  # type: ignore[union-attr, arg-type]
    weights = layer.weight_quantiser.integers(layer.weight).numpy().astype(np.int64)
    sums = codes @ weights.T
    # The layer of the network, in float64 so that nothing rounds: its sums are the integers times both steps.
    steps = layer.weight_quantiser.positive_step.double() * layer.input_quantiser.positive_step.double()
    with torch.no_grad():
        quantised_inputs = layer.input_quantiser(inputs.flatten(1)).double() / layer.input_quantiser.positive_step
        product = layer.weight_quantiser(layer.weight).double() / layer.weight_quantiser.positive_step[:, None]
        assert np.array_equal((quantised_inputs.round() @ product.round().T).numpy().astype(np.int64), sums)
        expected = torch.from_numpy(sums).double() * steps + layer.bias.double()
        torch.testing.assert_close(network(inputs).double(), expected, rtol=1e-5, atol=1e-5)


def test_normalisations_are_joined_with_the_layers_before_them_where_nobody_else_reads() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
            self.head = nn.Linear(4, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            return self.head((self.norm(x) + x).mean(dim=(2, 3)))

    torch.manual_seed(0)
    network = Branching()
    network(torch.randn(64, 1, 8, 8))
    network = quantise(network, QuantizationScheme()).eval()  # type: ignore[assignment]
    integers = to_integers(network, (1, 8, 8))
    assert [node.op for node in integers.graph.nodes] == [
        "convolution", "affine", "combination", "global_pooling", "linear",
    ]  # fmt: skip
    inputs = torch.randn(5, 1, 8, 8)
    np.testing.assert_allclose(Simulator(integers)(inputs.numpy()), answers(network, inputs), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ([nn.Conv2d(1, 2, 3), nn.GELU(), nn.Flatten(), nn.Linear(72, 10)], "is a GELU"),
        ([nn.Conv2d(1, 2, 3, padding="same"), nn.Flatten(), nn.Linear(128, 10)], "has the padding 'same'"),
        ([nn.MaxPool2d(3, dilation=2), nn.Flatten(), nn.Linear(4, 10)], "is dilated"),
        ([nn.MaxPool2d(3, ceil_mode=True), nn.Flatten(), nn.Linear(9, 10)], "incomplete windows"),
        ([nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False), nn.Flatten()], "running statistics"),
    ],
)
def test_what_the_simulator_does_not_know_is_named(layers: list[nn.Module], reason: str) -> None:
    network = quantise(nn.Sequential(*layers), QuantizationScheme(unsigned=())).eval()
    with pytest.raises(InvalidInput, match=reason):
        to_integers(network, (1, 8, 8))


def test_a_transformer_is_refused_with_what_it_uses() -> None:
    network = Architecture(name="timm:vit_tiny_patch16_224", num_classes=10, options={"img_size": 32}).build()
    with pytest.raises(InvalidInput, match="cannot be exported as packed integers: it uses"):
        to_integers(quantise(network, QuantizationScheme()).eval(), (3, 32, 32))


def test_qdq_onnx_answers_as_torch_and_holds_integers(tmp_path: Path) -> None:
    network, inputs = quantised("zoo:resnet_small", QuantizationScheme(), shape=(1, 16, 16))
    integers = to_integers(network, (1, 16, 16))
    write_qdq(integers, tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    kinds = {item.name: item.data_type for item in model.graph.initializer}
    codes = [kind for name, kind in kinds.items() if name.endswith(".codes")]
    assert len(codes) == len(quantised_layers(network))
    assert set(codes) == {onnx.TensorProto.INT8}
    found = onnx_runner(tmp_path / "model.onnx", threads=1)(inputs.numpy())
    expected = answers(network, inputs)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.95
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
    write_qdq(to_integers(network, (1, 16, 16)), tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "model.onnx").read_bytes()


@pytest.mark.parametrize(
    "name", ["timm:mobilenetv2_050", "timm:mobilenetv3_small_050", "timm:resnet26d", "timm:tf_efficientnet_lite0"]
)
def test_qdq_onnx_of_timms_networks_answers_as_torch(name: str, tmp_path: Path) -> None:
    network = quantise(Architecture(name=name, num_classes=10).build(), QuantizationScheme()).eval()
    inputs = torch.randn(4, 3, 64, 64)
    write_qdq(to_integers(network, (3, 64, 64)), tmp_path / "model.onnx")
    expected = answers(network, inputs)
    found = onnx_runner(tmp_path / "model.onnx", threads=1)(inputs.numpy())
    np.testing.assert_allclose(found, expected, atol=0.1 * np.abs(expected).max())


def test_channels_whose_sign_a_normalisation_turns_keep_their_values_in_qdq_onnx(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 1), nn.Flatten())
    network(torch.randn(64, 1, 6, 6))
    with torch.no_grad():
        network.get_parameter("1.weight").copy_(torch.tensor([-1.5, 0.0, 1e-30]))
        network.get_parameter("1.bias").copy_(torch.tensor([0.5, 1.0, 2.0]))
        network.get_parameter("0.weight")[0, 0, 0, 0] = -9
    network = quantise(network, QuantizationScheme(per_channel=False)).eval()  # type: ignore[assignment]
    first = quantised_layers(network)["0"]
    with torch.no_grad():
        # So small a step that the first weight becomes -128, whose opposite does not fit.
        first.weight_quantiser.step.fill_(0.03)
    assert first.weight_quantiser.integers(first.weight).min() == -128
    integers = to_integers(network, (1, 6, 6))
    inputs = torch.randn(20, 1, 6, 6)
    write_qdq(integers, tmp_path / "model.onnx")
    expected = answers(network, inputs)
    for found in (onnx_runner(tmp_path / "model.onnx", threads=1)(inputs.numpy()), Simulator(integers)(inputs.numpy())):
        np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


def test_a_layer_in_float_stays_in_float_in_qdq_onnx(tmp_path: Path) -> None:
    network, inputs = quantised("zoo:conv_small", QuantizationScheme(overrides={"features.1.0": "float"}))
    write_qdq(to_integers(network, (1, 8, 8)), tmp_path / "model.onnx")
    kinds = {item.name: item.data_type for item in onnx.load(tmp_path / "model.onnx").graph.initializer}
    assert kinds["features.1.0.weight"] == onnx.TensorProto.FLOAT
    expected = answers(network, inputs)
    found = onnx_runner(tmp_path / "model.onnx", threads=1)(inputs.numpy())
    np.testing.assert_allclose(found, expected, atol=0.1 * np.abs(expected).max())


def test_biases_are_integers_only_where_integers_follow(tmp_path: Path) -> None:
    network, _ = quantised("zoo:conv_small")
    write_qdq(to_integers(network, (1, 8, 8)), tmp_path / "model.onnx")
    kinds = {item.name: item.data_type for item in onnx.load(tmp_path / "model.onnx").graph.initializer}
    biases = {name: kind for name, kind in kinds.items() if name.endswith(".bias")}
    assert biases == {
        "features.0.0.bias": onnx.TensorProto.INT32,
        "features.1.0.bias": onnx.TensorProto.INT32,
        "features.2.0.bias": onnx.TensorProto.FLOAT,
        "classifier.bias": onnx.TensorProto.FLOAT,
    }


def test_fewer_than_8_bits_are_no_qdq_onnx(tmp_path: Path) -> None:
    network, _ = quantised(scheme=QuantizationScheme(weight_bits=4))
    with pytest.raises(InvalidInput, match=r"8 bits, but the layer features\.1\.0 has 4 \(weights\) and 8 \(inputs\)"):
        write_qdq(to_integers(network, (1, 8, 8)), tmp_path / "model.onnx")


@pytest.mark.parametrize("size", [(7, 8), (8, 7), (1, 2)])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 2, 1), (5, 2, 1), (3, 1, 2), (1, 2, 1), (5, 3, 1)])
def test_a_same_convolution_pads_as_timm_s_does(size: tuple[int, int], kernel: int, stride: int, dilation: int) -> None:
    plain = Conv2dSame(2, 3, kernel, stride=stride, dilation=dilation)
    layer = quantise(nn.Sequential(plain), QuantizationScheme(unsigned=()))[0]
    layer.input_quantiser.initialise(torch.tensor(1.0))
    inputs = torch.randn(2, 2, *size)
    with torch.no_grad():
        plain.weight.copy_(layer.weight_quantiser(plain.weight))
        torch.testing.assert_close(layer(inputs), plain(layer.input_quantiser(inputs)))


@pytest.mark.parametrize("name", ["zoo:resnet_small", "timm:mobilenetv3_small_050", "timm:tf_efficientnet_lite0"])
def test_torchscript_is_loaded_without_zoo_and_answers_the_same(name: str, tmp_path: Path) -> None:
    scheme = QuantizationScheme(weight_bits=3, activation_bits=4)
    channels = 1 if name.startswith("zoo") else 3
    network, inputs = quantised(name, scheme, shape=(channels, 32, 32))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    write_torchscript(network, inputs[:2], tmp_path / "model.jit")
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    code = (
        "import sys, torch, warnings; warnings.simplefilter('ignore'); "
        f"inputs = torch.load({str(tmp_path / 'inputs')!r}); "
        f"network = torch.jit.load({str(tmp_path / 'model.jit')!r}); "
        "assert not any(name.startswith('zoo_') for name in sys.modules); "
        f"torch.save(network(inputs).detach(), {str(tmp_path / 'outputs')!r})"
    )
    torch.save(inputs, tmp_path / "inputs")
    subprocess.run([sys.executable, "-c", code], check=True)
    expected = answers(network, inputs)
    found = torch.load(tmp_path / "outputs").numpy()
    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())


def test_torchscript_is_the_same_each_time_and_tells_nothing_of_this_machine(tmp_path: Path) -> None:
    network, inputs = quantised("zoo:resnet_small", QuantizationScheme(weight_bits=3))
    for name in ("first", "second"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            write_torchscript(network, inputs[:2], tmp_path / name)
    content = (tmp_path / "first").read_bytes()
    assert content == (tmp_path / "second").read_bytes()
    assert str(Path(torch.__file__).parent).encode() not in content
    assert b"debug_pkl" not in content


def test_layers_that_are_used_twice_are_refused() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(self.layer(x))

    with pytest.raises(InvalidInput, match="the layer layer is used twice"):
        to_integers(quantise(Twice(), QuantizationScheme()).eval(), (1, 8, 8))


def test_the_graph_says_which_layers_have_unsigned_inputs() -> None:
    network, _ = quantised("zoo:conv_small")
    layers = [node for node in to_integers(network, (1, 8, 8)).graph.nodes if isinstance(node, Convolution)]
    assert [node.integers.input_signed for node in layers if node.integers] == [True, False, False]
