"""``torch.prune`` on scikit-learn's digits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.plugins.zoo_torch.samples import Outcome, digest, fresh_model, npz_digits, perform
from tests.zoo_vision.samples import PREPROCESSING
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import Cancelled, InvalidInput
from zoo_torch.measuring.scoring import count_macs
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.narrowing import layer_widths
from zoo_torch.networks.weights import load_weights, save_weights
from zoo_torch.pruning.params import PruneParams
from zoo_torch.quantization.scheme import QuantizationScheme

TRAINING: dict[str, Any] = {"batch_size": 64, "limit_samples": 320, "limit_test_samples": 100}
Prune = Callable[..., Outcome]


@pytest.fixture
def prune(tmp_path: Path) -> Prune:
    """Prune an untrained network of that name; ``data=True`` gives digits."""

    def run(*, name: str = "zoo:resnet_small", folder: str = "run", data: bool = False, **given: Any) -> Outcome:
        ports: dict[str, Any] = {"model": fresh_model(tmp_path / name.partition(":")[2], name=name)}
        if data:
            ports["data"] = npz_digits(tmp_path)
        return perform("torch.prune", tmp_path / folder, ports, **given)

    return run


def channels_of(outcome: Outcome) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((outcome.context.output() / "channels.json").read_text())
    return content


def widths_of(outcome: Outcome) -> dict[str, tuple[int, int]]:
    return dict(load_weights(outcome.item).architecture.widths or {})


def test_the_result_is_narrow_weights_and_a_channel_map(prune: Prune) -> None:
    outcome = prune(ratio=0.5)
    weights, channels = outcome.context.artifacts["model"]
    assert (weights.format, channels.format, channels.name) == ("safetensors", "json", "channels")
    network = load_weights(outcome.item).build()
    content = channels_of(outcome)
    for layer, kept in content["layers"].items():
        outputs = network.get_parameter(f"{layer}.weight").shape[0]
        assert outputs == len(kept["outputs"])
    stem = next(group for group in content["groups"] if group["name"] == "features.0.0")
    assert "features.1.second.0" in stem["layers"]
    assert (stem["channels"], len(stem["kept"]), stem["ratio"]) == (24, 12, 0.5)
    kept = sorted(range(24), key=lambda k: stem["importance"][k])[12:]
    assert sorted(kept) == stem["kept"]
    assert content["macs"] == {"before": 428_352, "after": outcome.measured("macs")}
    assert content["parameters"] == {"before": 173_842, "after": outcome.measured("parameters")}
    assert content["left"] == {"classifier": "it makes the network's outputs"}
    assert weights.details["pruning"]["method"] == "l1"


def test_kept_weights_are_those_of_the_base(prune: Prune, tmp_path: Path) -> None:
    outcome = prune(ratio=0.5, name="zoo:conv_tiny")
    base = load_weights(fresh_model(tmp_path / "conv_tiny")).state["features.1.0.weight"]
    layer = channels_of(outcome)["layers"]["features.1.0"]
    expected = base[layer["outputs"]][:, layer["inputs"]]
    assert torch.equal(load_weights(outcome.item).state["features.1.0.weight"], expected)


def test_a_seed_gives_the_same_files_and_another_other_ones(prune: Prune) -> None:
    given: dict[str, Any] = {"method": "random", "ratio": 0.5, "data": True, "epochs": 1, **TRAINING}
    first, same, other = (prune(folder=f"run{k}", seed=seed, **given) for k, seed in enumerate((1, 1, 2)))
    files = [
        [digest(run.context.output() / name) for name in ("model.safetensors", "channels.json")]
        for run in (first, same, other)
    ]
    assert files[0] == files[1]
    assert files[0][0] != files[2][0]
    assert files[0][1] != files[2][1]


@pytest.mark.parametrize("target", [0.5, 214_176.0])
def test_a_target_in_macs_is_reached_from_below(prune: Prune, target: float) -> None:
    outcome = prune(target_macs=target, scope="global")
    assert 0.97 * 214_176 <= outcome.measured("macs") <= 214_176
    assert channels_of(outcome)["target"] == "target_macs"


def test_a_target_in_parameters_is_reached_from_below(prune: Prune) -> None:
    assert 0.95 * 100_000 <= prune(target_parameters=100_000).measured("parameters") <= 100_000


def test_a_target_in_latency_is_measured_and_reported(tmp_path: Path) -> None:
    large = Preprocessing(channels=1, crop=(160, 160))
    model = fresh_model(tmp_path / "model", name="zoo:conv_medium", preprocessing=large)
    outcome = perform(
        "torch.prune", tmp_path / "run", {"model": model}, target_latency=0.7, latency_seconds=0.1, method="random"
    )
    content = channels_of(outcome)
    assert content["goal"] == pytest.approx(0.7 * content["base_latency"]["ms"])
    assert content["latency"]["ms"] == pytest.approx(outcome.measured("latency_ms"), rel=1e-3)
    assert 0 < content["ratio"] <= 0.9
    assert content["macs"]["after"] < content["macs"]["before"]
    assert {"noise", "repeats", "noisy"} <= content["latency"].keys()


def test_layers_can_have_ratios_of_their_own(prune: Prune) -> None:
    outcome = prune(scope="per_layer", layer_ratios={"features.2.first.*": 0.5, "features.*.first.0": 0.25})
    made = {layer: outputs for layer, (outputs, _) in widths_of(outcome).items() if layer.endswith("first.0")}
    assert made == {"features.1.first.0": 18, "features.2.first.0": 24, "features.3.first.0": 72}
    assert "features.0.0" not in widths_of(outcome)


def test_the_stem_and_ignored_layers_stay_and_widths_are_rounded(prune: Prune) -> None:
    outcome = prune(ratio=0.4, keep_stem=True, ignore=["features.3"], round_to=16)
    made = {layer: outputs for layer, (outputs, _) in widths_of(outcome).items() if layer.endswith("first.0")}
    assert made == {"features.1.first.0": 16, "features.2.first.0": 32, "features.3.first.0": 96}
    assert channels_of(outcome)["left"]["features.0.0"] == "it is the first layer"


def test_taylor_prunes_by_the_training_data(prune: Prune) -> None:
    given: dict[str, Any] = {"method": "taylor", "ratio": 0.5, "data": True, **TRAINING}
    outcome = prune(folder="few", importance_batches=1, **given)
    assert channels_of(outcome)["groups"] != channels_of(prune(folder="more", importance_batches=3, **given))["groups"]
    assert outcome.measured("top1") >= 0


def test_sparse_training_comes_first_and_pushes_gammas_down(prune: Prune) -> None:
    given: dict[str, Any] = {"method": "bn_gamma", "data": True, "ratio": 0.5, "sparse_epochs": 2, **TRAINING}
    weak, strong = (prune(folder=f"run{s}", sparse_strength=s, **given) for s in (1e-9, 0.5))

    def mean(outcome: Outcome) -> float:
        scores = [value for group in channels_of(outcome)["groups"] for value in group["importance"]]
        return float(sum(scores) / len(scores))

    assert mean(strong) < 0.8 * mean(weak)
    assert "Before epoch 2: 168 channels are left" in strong.lines


def test_a_schedule_prunes_by_epoch_and_counts_in_the_base(prune: Prune) -> None:
    schedule = [
        {"epochs": [0, 2], "ratio": 0.25, "layers": ["features.*.first.0"]},
        {"epochs": [1], "ratio": 0.5, "layers": ["features.0.0"], "method": "bn_gamma"},
    ]
    outcome = prune(data=True, epochs=3, pruning_schedule=schedule, **TRAINING)
    made = {layer: outputs for layer, (outputs, _) in widths_of(outcome).items()}
    assert {made[f"features.{k}.first.0"] for k in (1, 2, 3)} == {12, 24, 48}
    assert (made["features.0.0"], made["features.1.second.0"]) == (12, 12)
    assert "features.3.second.0" not in made or made["features.3.second.0"] == 96
    left = [int(line.split()[3]) for line in outcome.lines.splitlines() if line.startswith("Before epoch")]
    assert left == [336 - 42, 336 - 42 - 12, 336 - 84 - 12]


@pytest.mark.parametrize(
    "how",
    [
        {"epochs": 3, "pruning_schedule": [{"epochs": [0, 1], "ratio": 0.25}], "method": "group_norm"},
        {"epochs": 1, "sparse_epochs": 2, "ratio": 0.5, "method": "bn_gamma", "sparse_strength": 1e-3},
        {"epochs": 2, "target_macs": 0.5, "scope": "global", "optimizer": "adamw", "ema_decay": 0.9},
    ],
    ids=["schedule", "sparse", "target"],
)
def test_an_interrupted_pruning_ends_with_the_same_files(prune: Prune, tmp_path: Path, how: dict[str, Any]) -> None:
    given: dict[str, Any] = {"data": True, **TRAINING, **how, "evaluate_each_epoch": False}
    whole = prune(folder="whole", **given)
    checkpoint = tmp_path / "parts" / "checkpoints" / "checkpoint"
    with pytest.raises(Cancelled):
        prune(folder="parts", cancelled=checkpoint.exists, **given)
    resumed = prune(folder="parts", **given)
    assert "Resumed after epoch 1" in resumed.lines
    for name in ("model.safetensors", "channels.json"):
        assert digest(resumed.context.output() / name) == digest(whole.context.output() / name)


def test_a_pruned_network_can_be_pruned_again(prune: Prune, tmp_path: Path) -> None:
    once = prune(ratio=0.5)
    twice = perform("torch.prune", tmp_path / "twice", {"model": once.item}, ratio=0.5)
    assert widths_of(twice)["features.0.0"] == (6, 1)
    network = load_weights(twice.item).build()
    assert count_macs(network, PREPROCESSING, torch.device("cpu")) == twice.measured("macs")
    assert channels_of(twice)["macs"]["before"] == once.measured("macs")


def test_a_pruned_network_is_evaluated_exported_and_distilled(prune: Prune, tmp_path: Path) -> None:
    pruned, data = prune(ratio=0.5, name="zoo:conv_tiny"), npz_digits(tmp_path)
    ports: dict[str, InputItem] = {"model": pruned.item, "data": data}
    evaluated = perform("torch.evaluate", tmp_path / "evaluate", dict(ports), limit_samples=50)
    assert evaluated.measured("macs") == pruned.measured("macs")
    perform("torch.export_onnx", tmp_path / "export", {"model": pruned.item}, parity_samples=4)
    teacher = fresh_model(tmp_path / "teacher", seed=1)
    distilled = perform(
        "torch.distill",
        tmp_path / "distill",
        {"student": pruned.item, "teacher": teacher, "data": data},
        epochs=1,
        **TRAINING,
    )
    assert widths_of(distilled) == widths_of(pruned)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"method": "taylor"}, "method=taylor"),
        ({"epochs": 1}, "epochs"),
        ({"sparse_epochs": 1, "method": "bn_gamma"}, "sparse_epochs"),
    ],
)
def test_what_needs_data_says_so(prune: Prune, given: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInput, match=f"`data` is missing, which {reason} cannot do without"):
        prune(ratio=0.5, **given)


def test_a_data_set_with_other_classes_is_refused(tmp_path: Path) -> None:
    model = fresh_model(tmp_path / "model", classes=7)
    with pytest.raises(InvalidInput, match="7"):
        perform("torch.prune", tmp_path / "run", {"model": model, "data": npz_digits(tmp_path)}, ratio=0.5)


def test_a_quantised_network_is_refused(tmp_path: Path) -> None:
    model = fresh_model(tmp_path / "model")
    architecture = Architecture(
        name="zoo:conv_tiny", num_classes=10, in_chans=1, quantization=QuantizationScheme(weight_bits=4)
    )
    save_weights(architecture.build(), architecture, model.main_file)
    with pytest.raises(InvalidInput, match="is quantised"):
        perform("torch.prune", tmp_path / "run", {"model": model}, ratio=0.5)
    assert layer_widths(architecture.build().get_submodule("features.0.0")) is None


def test_a_ratio_that_would_empty_a_layer_is_refused_before_training(prune: Prune) -> None:
    with pytest.raises(InvalidInput, match=r"All 12 channels of features\.0\.0 would be removed"):
        prune(name="zoo:conv_tiny", ratio=1.0, max_ratio=1.0)
    schedule = [{"epochs": [0, 1], "ratio": 0.5}]
    with pytest.raises(InvalidInput, match=r"In total 100% of the channels of features\.0\.0"):
        prune(name="zoo:conv_tiny", data=True, folder="late", epochs=2, pruning_schedule=schedule)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scope": "per_layer", "layer_ratios": {"layer9": 0.5}}, "'layer9', but no such layer"),
        ({"scope": "per_layer", "layer_ratios": {"classifier": 0.5}}, "classifier keeps its channels"),
        (
            {"scope": "per_layer", "layer_ratios": {"features.0.0": 0.5, "features.1.second.0": 0.25}},
            "share their channels, but layer_ratios differ",
        ),
        ({"ratio": 0.5, "ignore": ["stem"]}, "'stem', which is no module"),
        ({"ratio": 0.5, "ignore": ["features"]}, "no channels that can be pruned"),
        ({"target_macs": 10**9}, "already"),
        ({"target_macs": 0.001}, "Even with the ratio 0.9"),
    ],
)
def test_what_does_not_fit_the_network_is_refused(prune: Prune, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        prune(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give one of ratio"),
        ({"ratio": 0.5, "target_macs": 0.5}, "given: ratio, target_macs"),
        ({"ratio": 0.95}, "must not exceed max_ratio"),
        ({"ratio": 0.5, "scope": "per_layer"}, "scope=per_layer needs layer_ratios"),
        ({"ratio": 0.5, "sparse_epochs": 1}, "needs method to be bn_gamma or group_norm"),
        ({"epochs": 2, "pruning_schedule": [{"epochs": [2], "ratio": 0.1}]}, "names epoch 2, but there are 2 epochs"),
        ({"ratio": 0.5, "method": "magnitude"}, "method"),
        ({"ratio": float("nan")}, "ratio"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PruneParams.model_validate(given)
