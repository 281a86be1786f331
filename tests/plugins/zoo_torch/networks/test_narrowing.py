"""Narrowed networks: which channels remain, what is refused, and that every operation takes them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from tests.plugins.zoo_torch.samples import SMALL, build, fresh_model, npz_digits, perform
from tests.zoo_vision.samples import PREPROCESSING
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.narrowing import keep_channels, layer_part, narrow, narrow_untrained, widths_of
from zoo_torch.networks.weights import METADATA_KEY, load_weights, read_safetensors, save_weights

WIDTHS = {"features.0.0": (5, 1), "features.0.1": (5, 5), "features.1.0": (24, 5)}
FULL = Architecture(name="zoo:conv_tiny", num_classes=10, in_chans=1)


def narrow_model(folder: Path, widths: dict[str, tuple[int, int]] | None = None) -> InputItem:
    """Untrained weights of a narrowed zoo:conv_tiny as a model input."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    architecture = FULL.model_copy(update={"widths": widths or WIDTHS})
    save_weights(architecture.build(), architecture, folder / "model.safetensors")
    artifact = ArtifactDescription(format="safetensors", files=("model.safetensors",), preprocessing=PREPROCESSING)
    return InputItem(reference="digits/narrow@1", folder=folder, artifact=artifact)


def test_a_description_without_widths_keeps_the_bytes_that_it_had(tmp_path: Path) -> None:
    item = fresh_model(tmp_path)
    with safe_open(item.main_file, framework="pt") as file:
        assert file.metadata() == {METADATA_KEY: '{"name":"zoo:conv_tiny","num_classes":10,"in_chans":1,"options":{}}'}
    assert FULL.model_dump(mode="json") == {"name": "zoo:conv_tiny", "num_classes": 10, "in_chans": 1, "options": {}}


def test_a_narrowed_network_is_rebuilt_from_its_file(tmp_path: Path) -> None:
    item = narrow_model(tmp_path)
    weights = read_safetensors(item.main_file, "narrow")
    torch.manual_seed(0)
    same = FULL.model_copy(update={"widths": WIDTHS}).build()
    assert weights.architecture.widths == WIDTHS
    images = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(weights.build().eval()(images), same.eval()(images), rtol=0, atol=0)
    assert weights.build().get_parameter("features.0.0.weight").shape == (5, 1, 3, 3)


def test_widths_are_derived_by_comparing_with_the_full_network() -> None:
    before = torch.get_rng_state()
    network = FULL.model_copy(update={"widths": WIDTHS}).build()
    torch.set_rng_state(before)
    assert FULL.narrowed_as(network).widths == WIDTHS
    assert FULL.narrowed_as(FULL.build()).widths is None
    torch.set_rng_state(before)
    FULL.narrowed_as(network)
    torch.testing.assert_close(torch.get_rng_state(), before, rtol=0, atol=0)


def test_networks_that_differ_in_more_than_widths_have_none_to_derive() -> None:
    with pytest.raises(InvalidInput, match="differ in more than the widths"):
        widths_of(build("zoo:conv_small"), build("zoo:resnet_small"))


def test_a_narrowed_network_gets_a_new_classifier_for_other_classes(tmp_path: Path) -> None:
    item = narrow_model(tmp_path, {"features.2.0": (7, 24), "features.2.1": (7, 7), "classifier": (10, 7)})
    network = load_weights(item).build_for_classes(4)
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 4)
    assert network.get_parameter("classifier.weight").shape == (4, 7)


def test_untrained_narrow_weights_keep_the_variance_of_each_layer_s_outputs() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(256, 256, 3, bias=False))
    inputs = torch.randn(2, 256, 12, 12)
    before = network(inputs).detach().std()
    narrow_untrained(network, {"0": (256, 32)})
    assert float(network(inputs[:, :32]).detach().std() / before) == pytest.approx(1, abs=0.05)


class Convolutions(nn.Module):
    """Plain, depthwise, grouped and normalised layers in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.grouped = nn.Conv2d(8, 12, 1, groups=2)
        self.norm = nn.LayerNorm(12)
        self.last = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.grouped(self.depthwise(self.first(x)))
        return self.last(self.norm(x.mean(dim=(2, 3))))


def test_kept_channels_compute_what_they_computed_in_the_full_network() -> None:
    torch.manual_seed(0)
    network = Convolutions().eval()
    kept, grouped = [1, 2, 3, 4, 6, 7], [0, 2, 5, 6, 10, 11]
    inputs = torch.rand(2, 3, 4, 4)
    with torch.no_grad():
        for index in (0, 5):
            network.depthwise.weight[index] = 0
            network.get_parameter("depthwise.bias")[index] = 0
        expected = network.grouped(network.depthwise(network.first(inputs)))[:, grouped]
    keep_channels(network, {"first": (kept, [0, 1, 2]), "depthwise": (kept, kept), "grouped": (grouped, kept)})
    assert (network.depthwise.groups, network.grouped.groups) == (6, 2)
    assert network.grouped.weight.shape == (6, 3, 1, 1)
    torch.testing.assert_close(network.grouped(network.depthwise(network.first(inputs))), expected)


def test_narrowing_keeps_the_leading_channels_of_each_group() -> None:
    torch.manual_seed(0)
    network = Convolutions()
    before = network.grouped.weight.detach().clone()
    narrow(network, {"first": (4, 3), "depthwise": (4, 4), "grouped": (6, 4), "norm": (6, 6), "last": (5, 6)})
    assert network(torch.zeros(1, 3, 4, 4)).shape == (1, 5)
    assert (network.norm.normalized_shape, network.depthwise.groups) == ((6,), 4)
    rows = [0, 1, 2, 6, 7, 8]
    torch.testing.assert_close(network.grouped.weight, nn.Parameter(before[rows][:, :2]))


def test_a_momentum_is_narrowed_as_its_weight_is() -> None:
    network = Convolutions()
    channels = ([0, 2, 5, 6, 10, 11], [1, 2, 3, 4, 6, 7])
    weight = network.grouped.weight.detach().clone()
    part = layer_part(network.grouped, "weight", channels)
    keep_channels(network, {"grouped": channels})
    torch.testing.assert_close(part(weight), network.grouped.weight.detach())


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ({"first": (0, 3)}, "cannot have 0 outputs"),
        ({"first": (9, 3)}, "it has 8 and 3"),
        ({"grouped": (5, 8)}, "2 groups"),
        ({"depthwise": (4, 3)}, "8 groups"),
        ({"norm": (6, 5)}, "must be equal"),
        ({"": (6, 5)}, "cannot be narrowed"),
    ],
)
def test_widths_that_do_not_fit_are_refused(widths: dict[str, tuple[int, int]], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        narrow(Convolutions(), widths)


def test_an_unknown_layer_is_refused_with_the_nearest_known() -> None:
    with pytest.raises(UnknownName, match="Did you mean depthwise"):
        narrow(Convolutions(), {"depthwize": (4, 4)})


def test_groups_must_keep_equal_numbers() -> None:
    with pytest.raises(InvalidInput, match="unequal numbers"):
        keep_channels(Convolutions(), {"grouped": ([0, 1, 2, 6], list(range(8)))})


@pytest.mark.parametrize(
    "widths",
    ['{"features.0.0":[0,1]}', '{"features.0.0":[5]}', '{"":[5,1]}', '{"features.0.0":[5000000,1]}', "[1]"],
)
def test_a_file_with_impossible_widths_is_refused(widths: str) -> None:
    text = f'{{"name":"zoo:conv_tiny","num_classes":10,"in_chans":1,"options":{{}},"widths":{widths}}}'
    with pytest.raises(InvalidInput, match="describes its architecture wrongly: widths"):
        Architecture.parse(text, "a file")


def test_a_file_with_a_width_above_the_full_one_is_refused() -> None:
    architecture = Architecture.parse(FULL.model_dump_json()[:-1] + ',"widths":{"features.0.0":[13,1]}}', "a file")
    with pytest.raises(InvalidInput, match="it has 12 and 1"):
        architecture.build()


def test_a_narrowed_network_is_evaluated_timed_and_exported(tmp_path: Path) -> None:
    model, data = narrow_model(tmp_path / "model"), npz_digits(tmp_path)
    evaluated = perform("torch.evaluate", tmp_path / "evaluate", {"model": model, "data": data}, limit_samples=50)
    assert evaluated.measured("parameters") < sum(p.numel() for p in FULL.build().parameters())
    timed = perform("torch.benchmark", tmp_path / "benchmark", {"model": model}, seconds=0.05, warmup=1)
    assert timed.measured("latency_ms") > 0
    exported = perform("torch.export_onnx", tmp_path / "export", {"model": model}, parity_samples=4)
    details = exported.context.artifacts["model"][0].details["architecture"]
    assert json.loads(json.dumps(details))["widths"]["features.0.0"] == [5, 1]


def test_a_narrowed_network_is_trained_further_and_is_student_and_teacher(tmp_path: Path) -> None:
    model, data = narrow_model(tmp_path / "model"), npz_digits(tmp_path)
    trained = perform("torch.train", tmp_path / "train", {"init": model, "data": data}, **{**SMALL, "epochs": 1})
    assert read_safetensors(trained.model, "trained").architecture.widths == WIDTHS
    ports: dict[str, InputItem | Sequence[InputItem]] = {"student": model, "teacher": trained.item, "data": data}
    distilled = perform("torch.distill", tmp_path / "distill", ports, **{**SMALL, "epochs": 1})
    assert read_safetensors(distilled.model, "distilled").architecture.widths == WIDTHS
