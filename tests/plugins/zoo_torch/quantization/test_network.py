"""Which layers are quantised to what, and that a file rebuilds the same network."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from tests.plugins.zoo_torch.samples import build
from zoo_sdk.errors import InvalidInput
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.weights import read_safetensors, save_weights
from zoo_torch.quantization.calibration import calibrate
from zoo_torch.quantization.network import in_floating_point, quantise, quantised_layers, resolved
from zoo_torch.quantization.scheme import LayerBits, QuantizationScheme

LOW = QuantizationScheme(weight_bits=3, activation_bits=4)


def bits(network: nn.Module) -> dict[str, tuple[int, int]]:
    return {
        name: (layer.weight_quantiser.bits, layer.input_quantiser.bits)
        for name, layer in quantised_layers(network).items()
    }


def pictures(batches: int = 2, size: int = 8) -> Sequence[torch.Tensor]:
    torch.manual_seed(5)
    return [torch.randn(8, 1, size, size) for _ in range(batches)]


def test_the_first_and_the_last_layer_have_eight_bits_and_the_others_those_asked_for() -> None:
    network = quantise(build("zoo:conv_small"), LOW)
    assert bits(network) == {
        "features.0.0": (8, 8),
        "features.1.0": (3, 4),
        "features.2.0": (3, 4),
        "classifier": (8, 8),
    }


def test_overrides_change_the_bits_of_a_layer_or_leave_it_in_float() -> None:
    scheme = QuantizationScheme(
        weight_bits=2,
        activation_bits=2,
        overrides={"features.0.0": LayerBits(weight_bits=5), "features.1.0": "float", "features.2.0": LayerBits()},
    )
    network = quantise(build("zoo:conv_small"), scheme)
    assert bits(network) == {"features.0.0": (5, 8), "features.2.0": (2, 2), "classifier": (8, 8)}
    assert type(network.get_submodule("features.1.0")) is nn.Conv2d


def test_an_override_that_names_no_layer_is_refused_with_the_layers_there_are() -> None:
    with pytest.raises(InvalidInput, match=r"called features\.9.*features\.0\.0"):
        quantise(build("zoo:conv_small"), QuantizationScheme(overrides={"features.9": "float"}))


@pytest.mark.parametrize("wrong", [1, 9, 0, -4, 3.5, "many"])
@pytest.mark.parametrize("field", ["weight_bits", "activation_bits", "first_last_bits"])
def test_bits_outside_two_to_eight_are_refused(field: str, wrong: object) -> None:
    with pytest.raises(ValidationError, match=field):
        QuantizationScheme.model_validate({field: wrong})
    with pytest.raises(ValidationError):
        LayerBits.model_validate({"weight_bits": wrong})


def test_a_network_without_convolutions_and_linear_layers_cannot_be_quantised() -> None:
    with pytest.raises(InvalidInput, match="nothing to quantise"):
        quantise(nn.Sequential(nn.ReLU(), nn.Flatten()), LOW)


def test_a_convolution_of_its_own_kind_is_refused_by_name() -> None:
    class SamePadding(nn.Conv2d):
        pass

    with pytest.raises(InvalidInput, match=r"The layer 0 is a .*SamePadding"):
        quantise(nn.Sequential(SamePadding(1, 2, 3), nn.Linear(2, 2)), LOW)


def test_inputs_that_come_from_a_relu_are_unsigned_and_the_others_signed() -> None:
    network = build("zoo:resnet_small")
    unsigned = resolved(network, LOW).unsigned
    layers = quantised_layers(quantise(network, LOW))
    assert [name for name, layer in layers.items() if layer.input_quantiser.signed] == ["features.0.0"]
    assert set(unsigned or ()) == set(layers) - {"features.0.0"}


def test_the_signs_in_timms_networks_follow_their_activations() -> None:
    mobile = quantise(Architecture(name="timm:mobilenetv2_050", num_classes=4).build(), LOW)
    layers = quantised_layers(mobile)
    # An inverted residual block: expansion reads a linear bottleneck, depthwise and projection read a ReLU6.
    assert layers["blocks.1.0.conv_pw"].input_quantiser.signed
    assert not layers["blocks.1.0.conv_dw"].input_quantiser.signed
    assert not layers["blocks.1.0.conv_pwl"].input_quantiser.signed
    assert not layers["classifier"].input_quantiser.signed


def test_a_list_of_unsigned_inputs_in_the_scheme_wins_over_the_graph() -> None:
    layers = quantised_layers(quantise(build("zoo:conv_small"), LOW.model_copy(update={"unsigned": ("classifier",)})))
    assert [name for name, layer in layers.items() if not layer.input_quantiser.signed] == ["classifier"]


def test_quantising_draws_no_random_numbers_and_keeps_names_and_values_of_parameters() -> None:
    network = build("zoo:resnet_small")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(1)
    quantise(network, LOW)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(1))
    after = network.state_dict()
    assert {name for name in after if not name.endswith("_quantiser.step")} == set(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_in_floating_point_the_network_computes_what_the_base_computes() -> None:
    network = build("zoo:resnet_small").eval()
    inputs = pictures(1)[0]
    expected = network(inputs)
    quantise(network, LOW)
    calibrate(network, pictures())
    assert not torch.equal(network(inputs), expected)
    with in_floating_point(network):
        torch.testing.assert_close(network(inputs), expected)
    assert not torch.equal(network(inputs), expected)


def test_calibration_averages_over_its_batches() -> None:
    network = quantise(build("zoo:conv_small"), LOW).eval()
    first = quantised_layers(network)["features.0.0"].input_quantiser
    batches = [torch.full((4, 1, 8, 8), value) for value in (1.0, -3.0, 5.0)]
    assert calibrate(network, batches) == 3
    assert first.step.item() == pytest.approx(2 * 3 / 127**0.5)
    steps = [layer.input_quantiser.step.item() for layer in quantised_layers(network).values()]
    calibrate(network, reversed(batches))
    again = [layer.input_quantiser.step.item() for layer in quantised_layers(network).values()]
    assert again == pytest.approx(steps)


def test_calibration_without_pictures_or_with_damaged_weights_is_an_error() -> None:
    network = quantise(build("zoo:conv_small"), LOW)
    with pytest.raises(InvalidInput, match="Nothing reached the layer features"):
        calibrate(network, [])
    with torch.no_grad():
        network.get_parameter("features.1.0.weight").fill_(float("nan"))
    with pytest.raises(InvalidInput, match=r"not finite before the layer features\.2\.0"):
        calibrate(network, pictures())


def test_a_channel_of_zeros_gets_the_step_of_the_whole_tensor() -> None:
    network = build("zoo:conv_small")
    with torch.no_grad():
        network.get_parameter("features.1.0.weight")[3] = 0
    layer = quantised_layers(quantise(network, LOW))["features.1.0"]
    expected = 2 * layer.weight.detach().abs().mean() / 3**0.5
    assert layer.weight_quantiser.step[3].item() == pytest.approx(expected.item())


def test_a_file_rebuilds_the_quantised_network_with_its_steps(tmp_path: Path) -> None:
    scheme = resolved(build("zoo:resnet_small"), LOW)
    architecture = Architecture(name="zoo:resnet_small", num_classes=10, in_chans=1, quantization=scheme)
    network = architecture.build().eval()
    calibrate(network, pictures())
    save_weights(network, architecture, tmp_path / "model.safetensors")
    weights = read_safetensors(tmp_path / "model.safetensors", "test")
    assert weights.architecture == architecture
    rebuilt = weights.build().eval()
    inputs = pictures(1)[0]
    assert torch.equal(rebuilt(inputs), network(inputs))
    assert weights.build_for_classes(4)(inputs).shape == (8, 4)


def test_a_description_without_quantization_is_what_it_was_before() -> None:
    text = Architecture(name="zoo:conv_tiny", num_classes=10, in_chans=1).model_dump_json()
    assert text == '{"name":"zoo:conv_tiny","num_classes":10,"in_chans":1,"options":{}}'
