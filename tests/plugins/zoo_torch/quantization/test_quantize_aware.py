"""``torch.quantize_aware`` on digits: what it makes, what it refuses, and that it can be interrupted."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.plugins.zoo_torch.quantization.samples import packed_model
from tests.plugins.zoo_torch.samples import PREPROCESSING, SMALL, Outcome, digest, fresh_model, npz_digits, perform
from zoo_sdk.context import InputItem, Inputs
from zoo_sdk.discovery import find_operation
from zoo_sdk.errors import Cancelled, InvalidInput, OperationError, ParityFailed
from zoo_sdk.execution import LocalContext, Workplace, run_operation
from zoo_sdk.vocabulary import Precision
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.weights import read_safetensors, save_weights
from zoo_torch.quantization import exports
from zoo_torch.quantization.network import quantised_layers

QUICK: dict[str, Any] = {**SMALL, "learning_rate": 0.01, "calibration_batches": 4, "parity_samples": 200}
LOW: dict[str, Any] = {"weight_bits": 3, "activation_bits": 4}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return npz_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def base(data: InputItem, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return perform(
        "torch.train", tmp_path_factory.mktemp("base"), {"data": data},
        architecture="zoo:conv_small", **SMALL | {"epochs": 6, "limit_samples": None},
    )  # fmt: skip


@pytest.fixture(scope="module")
def eight_bits(base: Outcome, data: InputItem, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return quantize(tmp_path_factory.mktemp("w8a8"), base.item, data)


@pytest.fixture(scope="module")
def low_bits(base: Outcome, data: InputItem, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return quantize(tmp_path_factory.mktemp("w3a4"), base.item, data, **LOW, epochs=4, limit_samples=None)


def quantize(
    folder: Path, model: InputItem, data: InputItem, teachers: tuple[InputItem, ...] = (), **params: Any
) -> Outcome:
    given: dict[str, Any] = {"model": model, "data": data}
    return perform(
        "torch.quantize_aware", folder, given | ({"teacher": teachers} if teachers else {}), **QUICK | params
    )


def artifact_item(outcome: Outcome, name: str) -> InputItem:
    artifact = next(item for item in outcome.context.artifacts["model"] if item.name == name)
    return InputItem(reference="digits/quantised@1", folder=outcome.context.output(), artifact=artifact)


def agreement(outcome: Outcome, runtime: str) -> float:
    found = [item for item in outcome.context.measurements if item.name == "agreement_top1" and item.runtime == runtime]
    return found[0].value


def test_eight_bits_make_all_four_artifacts_of_the_float_networks_quality(eight_bits: Outcome, base: Outcome) -> None:
    kinds = {item.name: (item.format, item.precision) for item in eight_bits.context.artifacts["model"]}
    assert kinds == {
        "model": ("safetensors", Precision.INT8),
        "integers": ("zoo-integer", Precision.INT8),
        "qdq-onnx": ("onnx", Precision.INT8),
        "torchscript": ("torchscript", Precision.INT8),
    }
    assert eight_bits.measured("top1") > base.measured("top1") - 2
    assert eight_bits.measured("effective_bits") == 8
    assert [agreement(eight_bits, runtime) for runtime in ("numpy", "torch")] == [100, 100]
    assert agreement(eight_bits, "onnxruntime") >= 98


def test_few_bits_learn_and_report_bits_and_packed_size_apart_from_the_file(low_bits: Outcome, base: Outcome) -> None:
    assert low_bits.measured("top1") > base.measured("top1") - 5
    names = [item.name for item in low_bits.context.artifacts["model"]]
    assert names == ["model", "integers", "torchscript"]
    assert "No qdq_onnx: QDQ ONNX holds 8 bits" in low_bits.lines
    first, others, last = 16 * 9, 32 * 16 * 9 + 64 * 32 * 9, 640
    bits = (8 * first + 3 * others + 8 * last) / (first + others + last)
    assert low_bits.measured("effective_bits") == pytest.approx(bits)
    vectors = 4 * 4 * (16 + 32 + 64) + 3 * 8 + 10 * 4
    steps = 4 * (16 + 32 + 64 + 10 + 4)
    assert low_bits.measured("effective_size_bytes") == (first + others * 3 / 8 + last) + vectors + steps
    packed = artifact_item(low_bits, "integers")
    assert packed.main_file.stat().st_size < low_bits.model.stat().st_size / 5
    assert low_bits.context.artifacts["model"][0].precision == Precision.INT3


def test_the_checkpoint_is_the_quantised_network_for_every_other_operation(
    low_bits: Outcome, data: InputItem, tmp_path: Path
) -> None:
    weights = read_safetensors(low_bits.model, "test")
    assert weights.architecture.quantization is not None
    assert weights.architecture.quantization.unsigned == ("features.1.0", "features.2.0", "classifier")
    assert all(bool((value > 0).all()) for key, value in weights.state.items() if key.endswith(".step"))
    evaluated = perform(
        "torch.evaluate", tmp_path / "evaluated", {"model": low_bits.item, "data": data}, limit_samples=200
    )
    assert evaluated.measured("top1") == low_bits.measured("top1")
    student = fresh_model(tmp_path / "student")
    taught = perform(
        "torch.distill", tmp_path / "taught", {"student": student, "teacher": low_bits.item, "data": data},
        **SMALL | {"epochs": 1},
    )  # fmt: skip
    assert taught.measured("top1") > 20


def test_the_packed_integers_score_what_the_trained_network_scores(
    low_bits: Outcome, data: InputItem, tmp_path: Path
) -> None:
    packed = artifact_item(low_bits, "integers")
    evaluated = perform("torch.evaluate_integers", tmp_path, {"model": packed, "data": data}, limit_samples=200)
    assert evaluated.measured("top1") == low_bits.measured("top1")
    assert evaluated.measured("loss") == pytest.approx(low_bits.measured("loss"), rel=0.01)
    assert evaluated.measured("effective_bits") == pytest.approx(low_bits.measured("effective_bits"))
    assert evaluated.measured("size_bytes") == packed.main_file.stat().st_size
    # Weights at their bits, a multiplier and a bias for each channel, a step for each layer.
    codes = 144 + (4608 + 18432) * 3 / 8 + 640
    assert evaluated.measured("effective_size_bytes") == codes + 4 * (2 * (16 + 32 + 64 + 10) + 4)


def test_qdq_onnx_and_packed_integers_agree_with_each_other_through_their_own_operations(
    eight_bits: Outcome, data: InputItem, tmp_path: Path
) -> None:
    onnx = perform(
        "onnxruntime.evaluate", tmp_path / "a", {"model": artifact_item(eight_bits, "qdq-onnx"), "data": data}
    )
    packed = perform(
        "torch.evaluate_integers", tmp_path / "b", {"model": artifact_item(eight_bits, "integers"), "data": data}
    )
    assert onnx.measured("top1") == pytest.approx(packed.measured("top1"), abs=1)


def test_a_teacher_is_learnt_from_and_never_changed(base: Outcome, data: InputItem, tmp_path: Path) -> None:
    teachers = tuple(fresh_model(tmp_path / f"teacher{n}", seed=n, weight=n) for n in (1, 2))
    before = [digest(teacher.main_file) for teacher in teachers]
    alone = quantize(tmp_path / "alone", base.item, data, **LOW, exports=[])
    unheard = quantize(tmp_path / "unheard", base.item, data, teachers, **LOW, exports=[], kd_weight=0)
    taught = quantize(tmp_path / "taught", base.item, data, teachers, **LOW, exports=[], kd_weight=1, epochs=4)
    assert digest(unheard.model) == digest(alone.model)
    assert [digest(teacher.main_file) for teacher in teachers] == before
    # Untrained teachers know nothing, and who listens to them alone forgets.
    assert taught.measured("loss") > alone.measured("loss") + 0.5
    assert "taught by digits/teacher1@1, digits/teacher2@1" in taught.lines


def test_the_same_seed_makes_the_same_files_and_another_seed_others(
    base: Outcome, data: InputItem, tmp_path: Path
) -> None:
    runs = [quantize(tmp_path / str(n), base.item, data, **LOW, seed=seed) for n, seed in enumerate((3, 3, 4))]
    files = [{path.name: digest(path) for path in run.context.output().iterdir()} for run in runs]
    assert len(files[0]) == 3
    assert files[0] == files[1]
    assert all(files[0][name] != files[2][name] for name in files[0])


def test_an_interrupted_training_ends_with_the_same_file_as_an_uninterrupted_one(
    base: Outcome, data: InputItem, tmp_path: Path
) -> None:
    given = {**LOW, "epochs": 3, "evaluate_each_epoch": False, "augmentation": "flip_crop", "exports": ["packed"]}
    whole = quantize(tmp_path / "whole", base.item, data, **given)
    with pytest.raises(Cancelled):
        quantize(
            tmp_path / "broken", base.item, data, cancelled=(tmp_path / "broken/checkpoints/checkpoint").exists, **given
        )
    resumed = quantize(tmp_path / "broken", base.item, data, **given)
    assert "Resumed after epoch 1" in resumed.lines
    assert digest(resumed.model) == digest(whole.model)


def test_a_quantised_network_goes_on_with_fewer_bits(eight_bits: Outcome, data: InputItem, tmp_path: Path) -> None:
    outcome = quantize(tmp_path, eight_bits.item, data, **LOW, exports=[])
    layers = quantised_layers(read_safetensors(outcome.model, "test").build())
    assert [layer.weight_quantiser.bits for layer in layers.values()] == [8, 3, 3, 8]
    assert outcome.measured("top1") > 50


def test_overrides_reach_the_network(base: Outcome, data: InputItem, tmp_path: Path) -> None:
    overrides = {"features.1.0": "float", "classifier": {"weight_bits": 4}}
    outcome = quantize(tmp_path, base.item, data, **LOW, overrides=overrides, epochs=1)
    layers = quantised_layers(read_safetensors(outcome.model, "test").build())
    assert {name: layer.weight_quantiser.bits for name, layer in layers.items()} == {
        "features.0.0": 8,
        "features.2.0": 3,
        "classifier": 4,
    }
    assert artifact_item(outcome, "integers").artifact.details["layers_in_float"] == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "options",
    [
        {"mixed_precision": "bf16"},
        {"ema_decay": 0.9},
        {"freeze": ["features"]},
        {"accumulation_steps": 2},
        {"mixup_alpha": 0.2},
        {"optimizer": "adamw", "learning_rate": 0.001, "layer_decay": 0.8},
        {"gradient_clip": 1.0, "channels_last": False, "per_channel": False},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_training_offers_works_with_rounding(
    options: dict[str, Any], base: Outcome, data: InputItem, tmp_path: Path
) -> None:
    outcome = quantize(tmp_path, base.item, data, **LOW | {"exports": ["packed"]} | options)
    assert outcome.measured("top1") > base.measured("top1") - 6
    assert agreement(outcome, "numpy") >= 99


def test_a_pruned_network_is_quantised_and_exported_like_any_other(
    base: Outcome, data: InputItem, tmp_path: Path
) -> None:
    pruned = perform("torch.prune", tmp_path / "pruned", {"model": base.item, "data": data}, ratio=0.5, **SMALL)
    outcome = quantize(tmp_path / "quantised", pruned.item, data, **LOW)
    architecture = read_safetensors(outcome.model, "test").architecture
    assert architecture.widths
    assert architecture.quantization
    assert outcome.measured("effective_size_bytes") < 20_000
    assert agreement(outcome, "numpy") == 100
    exported = perform("torch.export_onnx", tmp_path / "exported", {"model": outcome.item, "data": data})
    assert exported.measured("agreement_top1") >= 99


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_train_one_network_and_the_first_exports_it(
    base: Outcome, data: InputItem, tmp_path: Path
) -> None:
    spec = find_operation("torch.quantize_aware")
    outcome = Outcome(LocalContext(spec, Workplace.under(tmp_path), devices=("cpu", "cpu"), threads=2))
    outcome.context.emit = outcome.events.append
    run_operation(spec, QUICK | LOW, Inputs(ports={"model": (base.item,), "data": (data,)}), outcome.context)
    assert [item.name for item in outcome.context.artifacts["model"]] == ["model", "integers", "torchscript"]
    assert outcome.measured("top1") > base.measured("top1") - 6
    assert agreement(outcome, "numpy") >= 99


@pytest.mark.parametrize(
    ("params", "fault"),
    [
        ({"weight_bits": 1}, "weight_bits: Input should be greater than or equal to 2"),
        ({"weight_bits": 9}, "weight_bits: Input should be less than or equal to 8"),
        ({"activation_bits": 0}, "activation_bits"),
        ({"first_last_bits": 16}, "first_last_bits"),
        ({"overrides": {"classifier": {"weight_bits": 12}}}, "overrides.classifier"),
        ({"overrides": {"classifier": "int4"}}, "overrides.classifier"),
        ({"overrides": {"class; import os": "float"}}, "overrides"),
        ({"overrides": {"head": "float"}}, "no convolution or linear layer called head"),
        ({"weight_bits": 4, "exports": ["qdq_onnx"]}, "qdq_onnx holds 8 bits, not 4"),
        ({"exports": ["packed", "packed"]}, "names one twice"),
        ({"exports": ["tensorrt"]}, "exports"),
        ({"overrides": {"classifier": {"weight_bits": 4}}, "exports": ["qdq_onnx"]}, "the layer classifier has 4"),
    ],
)
def test_wrong_parameters_are_refused_before_training(
    params: dict[str, Any], fault: str, base: Outcome, data: InputItem, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=fault):
        quantize(tmp_path, base.item, data, **params)


def test_an_export_that_the_network_does_not_allow_is_refused_before_training_where_it_was_asked_for(
    data: InputItem, tmp_path: Path
) -> None:
    transformer = fresh_model(
        tmp_path / "vit",
        name="zoo:vit_small",
        preprocessing=PREPROCESSING.model_copy(update={"resize": 28, "crop": (28, 28)}),
    )
    with pytest.raises(InvalidInput, match="cannot be exported as packed integers"):
        quantize(tmp_path / "asked", transformer, data, exports=["packed"])
    outcome = quantize(tmp_path / "default", transformer, data, epochs=1, limit_samples=64, limit_test_samples=20)
    assert [item.name for item in outcome.context.artifacts["model"]] == ["model", "torchscript"]
    assert "No packed: The network cannot be exported as packed integers" in outcome.lines


def test_an_export_that_answers_otherwise_is_left_out_or_fails_where_it_was_asked_for(
    base: Outcome, data: InputItem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(exports.Simulator):
        def __call__(self, inputs: Any) -> Any:
            return -super().__call__(inputs)

    monkeypatch.setattr(exports, "Simulator", Wrong)
    outcome = quantize(tmp_path / "default", base.item, data, epochs=1)
    assert "No packed: The new model does not compute what its source computes" in outcome.lines
    assert not (outcome.context.output() / "model.integers").exists()
    assert "integers" not in [item.name for item in outcome.context.artifacts["model"]]
    with pytest.raises(ParityFailed):
        quantize(tmp_path / "asked", base.item, data, epochs=1, exports=["packed"])


def test_a_base_for_other_classes_or_channels_is_refused(data: InputItem, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has 7 outputs, but the data set has 10 classes"):
        quantize(tmp_path, fresh_model(tmp_path / "seven", classes=7), data)


def test_a_teacher_for_other_classes_is_refused(base: Outcome, data: InputItem, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="knows 7 classes"):
        quantize(tmp_path, base.item, data, (fresh_model(tmp_path / "seven", classes=7),))


def test_a_base_whose_weights_are_not_numbers_is_refused(data: InputItem, tmp_path: Path) -> None:
    item = fresh_model(tmp_path / "damaged")
    architecture = Architecture(name="zoo:conv_tiny", num_classes=10, in_chans=1)
    network = architecture.build()
    with torch.no_grad():
        network.get_parameter("features.0.0.weight").fill_(float("nan"))
    save_weights(network, architecture, item.main_file)
    with pytest.raises(InvalidInput, match="not finite before the layer"):
        quantize(tmp_path, item, data)


def test_a_training_that_explodes_says_at_which_step_and_learning_rate(
    base: Outcome, data: InputItem, tmp_path: Path
) -> None:
    with pytest.raises(OperationError, match=r"step \d+ \(learning rate"):
        quantize(tmp_path, base.item, data, **LOW, learning_rate=100.0, momentum=0.99, epochs=4, weight_decay=5)


def test_packed_integers_for_other_data_or_of_another_kind_are_refused(
    base: Outcome, data: InputItem, tmp_path: Path
) -> None:
    item = packed_model(tmp_path / "packed")
    item.main_file.write_bytes(item.main_file.read_bytes()[:-10])
    with pytest.raises(InvalidInput, match="is damaged"):
        perform("torch.evaluate_integers", tmp_path / "a", {"model": item, "data": data})
    artifact = base.item.artifact
    assert artifact is not None
    plain = artifact.model_copy(update={"format": "zoo-integer"})
    with pytest.raises(InvalidInput, match="has no graph"):
        perform(
            "torch.evaluate_integers", tmp_path / "b",
            {"model": base.item.model_copy(update={"artifact": plain}), "data": data},
        )  # fmt: skip


def test_the_description_of_each_artifact_tells_how_to_use_it(eight_bits: Outcome) -> None:
    for artifact in eight_bits.context.artifacts["model"]:
        assert artifact.preprocessing is not None
        assert artifact.signature is not None
        assert artifact.details["classes"] == list("0123456789")
        assert json.dumps(artifact.details)
    details = artifact_item(eight_bits, "integers").artifact
    assert details is not None
    assert details.details["effective_bits"] == 8
