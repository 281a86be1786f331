"""``torch.mixed_precision`` on digits."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.plugins.zoo_torch.samples import Outcome, digest, npz_digits, perform
from zoo_sdk.context import InputItem
from zoo_sdk.errors import Cancelled, InvalidInput, OperationError
from zoo_torch import saved_state
from zoo_torch.measuring.prepared import PreparedPictures
from zoo_torch.networks.weights import load_weights
from zoo_torch.quantization.network import quantised_layers, resolved
from zoo_torch.quantization.scheme import LayerBits, QuantizationScheme
from zoo_torch.quantization.sensitivity import Figures, Goal, SensitivityAnalysis
from zoo_torch.quantization.sensitivity_report import REPORT_FILE, SensitivityReport
from zoo_vision.datasets import open_split

ROUGH: dict[str, Any] = {"weight_bits": 2, "activation_bits": 2, "first_last_bits": 2, "limit_samples": 300}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return npz_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def base(digits: InputItem, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    params = {"architecture": "zoo:resnet_small", "epochs": 2, "batch_size": 32, "evaluate_each_epoch": False}
    return perform("torch.train", tmp_path_factory.mktemp("base"), {"data": digits}, **params)


@pytest.fixture(scope="module")
def rough(base: Outcome, digits: InputItem, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Two bits everywhere, restored until two points below float."""
    return mixed(tmp_path_factory.mktemp("rough"), base, digits, max_drop=2, **ROUGH)


def mixed(folder: Path, base: Outcome, digits: InputItem, **params: Any) -> Outcome:
    return perform("torch.mixed_precision", folder, {"model": base.item, "data": digits}, **params)


def report_of(outcome: Outcome) -> SensitivityReport:
    return SensitivityReport.model_validate_json((outcome.context.output() / REPORT_FILE).read_bytes())


def test_the_most_sensitive_layers_are_restored_until_the_metric_holds(rough: Outcome) -> None:
    report = report_of(rough)
    ranking = sorted(report.layers, key=lambda name: report.layers[name].rank)
    drops = [report.layers[name].drop for name in ranking]
    assert drops == sorted(drops, reverse=True)
    assert 0 < len(report.restored) < len(report.layers)
    assert [restoration.layer for restoration in report.restored] == ranking[: len(report.restored)]
    steps = [report.quantised, *(restoration.figures for restoration in report.restored)]
    assert all(report.whole.top1 - figures.top1 > report.max_drop for figures in steps[:-1])
    assert report.whole.top1 - steps[-1].top1 <= report.max_drop
    assert report.result == steps[-1]


def test_what_was_made_is_what_the_report_says(rough: Outcome, digits: InputItem, tmp_path: Path) -> None:
    report = report_of(rough)
    architecture = load_weights(rough.item).architecture
    assert architecture.quantization == report.scheme
    layers = quantised_layers(load_weights(rough.item).build())
    for name, layer in report.layers.items():
        restored = name in {restoration.layer for restoration in report.restored}
        assert layer.bits == (2, 2)
        assert layer.result == ("float" if restored else (2, 2))
        assert (name in layers) != restored
    again = perform("torch.evaluate", tmp_path, {"model": rough.item, "data": digits})
    assert again.measured("top1") == rough.measured("top1") == report.test.result.top1
    assert 2 < rough.measured("effective_bits") < 32
    assert rough.measured("effective_size_bytes") < rough.measured("size_bytes")


def test_the_float_network_is_measured_on_the_same_pictures(rough: Outcome, base: Outcome) -> None:
    assert report_of(rough).test.whole.top1 == pytest.approx(base.measured("top1"))
    assert report_of(rough).samples == 300


def test_a_network_that_stands_eight_bits_is_quantised_throughout(
    base: Outcome, digits: InputItem, tmp_path: Path
) -> None:
    outcome = mixed(tmp_path, base, digits, limit_samples=300, max_drop=2)
    assert report_of(outcome).restored == ()
    assert load_weights(outcome.item).architecture.quantization.overrides == {}
    assert outcome.measured("effective_bits") == 8


def test_layers_get_more_bits_before_any_is_left_in_float(base: Outcome, digits: InputItem, tmp_path: Path) -> None:
    params = {**ROUGH, "first_last_bits": 8, "restore_to": [4, 8, "float"], "metric": "loss", "max_drop": 0.05}
    report = report_of(mixed(tmp_path, base, digits, **params))
    levels = [restoration.to for restoration in report.restored]
    assert levels == sorted(levels, key=lambda level: 32 if level == "float" else level)
    assert levels[0] == 4
    first, last = next(iter(report.layers)), list(report.layers)[-1]
    assert all(restoration.layer not in {first, last} for restoration in report.restored if restoration.to != "float")
    assert report.result.loss - report.whole.loss <= 0.05
    assert report.scheme.overrides[report.restored[0].layer] != LayerBits(weight_bits=2, activation_bits=2)


def make_analysis(base: Outcome, digits: InputItem, outcome: Outcome) -> SensitivityAnalysis:
    split = open_split(digits, "train")
    preprocessing = base.item.artifact.preprocessing
    first, second = (
        PreparedPictures(split, split.random_indices(count, count), preprocessing, torch.device("cpu"), 100)
        for count in (200, 300)
    )
    network = load_weights(base.item).build().eval()
    return SensitivityAnalysis(
        network,
        resolved(network, QuantizationScheme(weight_bits=2, activation_bits=3)),
        Goal("top1", 100, ("float",)),
        calibration=first,
        measured_on=second,
        context=outcome.context,
    )


def test_a_layer_alone_is_the_network_with_all_others_in_float(
    base: Outcome, digits: InputItem, tmp_path: Path
) -> None:
    outcome = mixed(tmp_path, base, digits, limit_samples=100, max_drop=50)
    (tmp_path / "checkpoints" / "checkpoint").unlink(missing_ok=True)
    analysis = make_analysis(base, digits, outcome)
    analysis.run()
    network: nn.Module = analysis._network
    assert analysis.whole == analysis._measure(network)
    for name in (next(iter(analysis.bits)), list(analysis.bits)[2]):
        others = dict.fromkeys((other for other in analysis.bits if other != name), "float")
        alone = analysis._quantised(analysis._scheme.model_copy(update={"overrides": others}))
        assert list(quantised_layers(alone)) == [name]
        assert analysis.state.alone[name] == analysis._measure(alone)
    assert not quantised_layers(network), "the float network was changed"


def test_a_drop_is_positive_where_the_network_is_worse_whatever_the_metric() -> None:
    float_network, worse = Figures(top1=90, loss=0.3), Figures(top1=88, loss=0.5)
    assert worse.drop_from(float_network, "top1") == 2
    assert worse.drop_from(float_network, "loss") == pytest.approx(0.2)
    assert float_network.drop_from(worse, "top1") == -2


def test_an_interrupted_analysis_measures_nothing_twice_and_makes_the_same(
    rough: Outcome, base: Outcome, digits: InputItem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Figures] = []
    measure = SensitivityAnalysis._measure

    def counting(self: SensitivityAnalysis, network: nn.Module) -> Figures:
        measured.append(measure(self, network))
        return measured[-1]

    monkeypatch.setattr(SensitivityAnalysis, "_measure", counting)
    monkeypatch.setattr(saved_state, "SECONDS_BETWEEN", 0)
    report = report_of(rough)
    for stop in (4, len(report.layers) + 3):
        with pytest.raises(Cancelled):
            perform(
                "torch.mixed_precision",
                tmp_path,
                {"model": base.item, "data": digits},
                cancelled=lambda stop=stop: len(measured) == stop,
                max_drop=2,
                **ROUGH,
            )
    resumed = mixed(tmp_path, base, digits, max_drop=2, **ROUGH)
    assert len(measured) == 1 + len(report.layers) + 1 + len(report.restored)
    assert digest(resumed.model) == digest(rough.model)
    assert (resumed.context.output() / REPORT_FILE).read_bytes() == (rough.context.output() / REPORT_FILE).read_bytes()


def test_the_test_split_decides_nothing(rough: Outcome, base: Outcome, digits: InputItem, tmp_path: Path) -> None:
    outcome = mixed(tmp_path, base, digits, max_drop=2, limit_test_samples=10, **ROUGH)
    assert digest(outcome.model) == digest(rough.model)
    assert report_of(outcome).test.samples == 10


def test_its_scheme_can_be_trained_further(rough: Outcome, digits: InputItem, tmp_path: Path) -> None:
    ports = {"model": rough.item, "data": digits}
    params = {"epochs": 1, "limit_samples": 320, "batch_size": 32, "exports": [], "keep_scheme": True}
    trained = perform("torch.quantize_aware", tmp_path, ports, **params)
    assert load_weights(trained.item).architecture.quantization == report_of(rough).scheme
    assert trained.measured("effective_bits") == rough.measured("effective_bits")
    spared = next(iter(report_of(rough).scheme.overrides))
    ports["model"] = trained.item
    again = perform("torch.quantize_aware", tmp_path / "again", ports, **params, overrides={spared: {"weight_bits": 8}})
    assert quantised_layers(load_weights(again.item).build())[spared].weight_quantiser.bits == 8


def test_a_scheme_cannot_be_kept_where_there_is_none(base: Outcome, digits: InputItem, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="keep_scheme needs a model that is quantised"):
        perform("torch.quantize_aware", tmp_path, {"model": base.item, "data": digits}, keep_scheme=True)


def test_bits_that_do_not_suffice_are_refused(base: Outcome, digits: InputItem, tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="With every layer at 3 bits the loss is still worse"):
        mixed(tmp_path, base, digits, **ROUGH, restore_to=[3], metric="loss", max_drop=0.0001)


def test_a_network_that_stands_no_quantisation_is_refused(base: Outcome, digits: InputItem, tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="Every layer had to be restored to float"):
        mixed(tmp_path, base, digits, **ROUGH, metric="loss", max_drop=0)


def test_a_quantised_network_is_refused(rough: Outcome, digits: InputItem, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="quantised already"):
        mixed(tmp_path, rough, digits)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"restore_to": [8, 4]}, "ascend"),
        ({"restore_to": ["float", 8]}, "float last"),
        ({"weight_bits": 1}, "weight_bits"),
        ({"restore_to": [9]}, "restore_to"),
        ({"test_split": "train"}, "train_split and test_split"),
    ],
)
def test_wrong_parameters_are_named(
    base: Outcome, digits: InputItem, tmp_path: Path, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        mixed(tmp_path, base, digits, **params)
