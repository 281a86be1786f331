"""``torch.train`` on real digits."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.plugins.zoo_torch.samples import SMALL, Outcome, build, digest, fresh_model, npz_digits, perform, pickle_item
from zoo_sdk.artifacts import DatasetDescription, Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import Cancelled, InvalidInput, OperationError, OutOfMemory, UnknownName
from zoo_torch.devices import out_of_memory_is_said
from zoo_torch.training import precision
from zoo_torch.training import trainer as training


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return npz_digits(tmp_path_factory.mktemp("digits"))


def train(folder: Path, data: InputItem, init: InputItem | None = None, **changes: Any) -> Outcome:
    params = {"architecture": None if init else "zoo:conv_tiny", **SMALL, **changes}
    context = {name: params.pop(name) for name in ("seed", "cancelled") if name in params}
    ports = {"data": data, **({"init": init} if init else {})}
    return perform("torch.train", folder, ports, **context, **params)


def test_a_network_learns_to_read_digits(tmp_path: Path, data: InputItem) -> None:
    outcome = train(tmp_path, data, epochs=8, limit_samples=None, batch_size=32, learning_rate=0.2)
    assert outcome.measured("top1") > 90
    assert outcome.measured("top5") >= outcome.measured("top1")
    assert outcome.measured("parameters") == 8254
    assert outcome.measured("size_bytes") == outcome.model.stat().st_size
    assert outcome.measured("macs") > 10_000
    assert outcome.measured("train_seconds") > 0


def test_the_result_says_how_to_use_it(tmp_path: Path, data: InputItem) -> None:
    artifact = train(tmp_path, data, epochs=1).context.artifacts["model"][0]
    assert artifact.signature is not None
    assert artifact.signature.inputs[0].shape == (None, 1, 8, 8)
    assert artifact.signature.outputs[0].shape == (None, 10)
    assert artifact.preprocessing is not None
    assert artifact.preprocessing.mean[0] == pytest.approx(0.305, abs=0.01)
    assert artifact.details["architecture"]["name"] == "zoo:conv_tiny"
    assert artifact.details["classes"][3] == "3"


def test_curves_and_lines_are_reported(tmp_path: Path, data: InputItem) -> None:
    outcome = train(tmp_path, data)
    assert [step for step, _ in outcome.curve("train_loss")] == list(range(1, 21))
    assert [step for step, _ in outcome.curve("test_top1")] == [10, 20]
    assert outcome.curve("learning_rate")[-1][1] < 0.01
    assert "Epoch 2 of 2" in outcome.lines


def test_the_last_epoch_s_score_is_not_computed_twice(
    tmp_path: Path, data: InputItem, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = []
    original = training.score_network
    monkeypatch.setattr(
        training, "score_network", lambda *given, **named: scored.append(1) or original(*given, **named)
    )
    train(tmp_path, data, epochs=3)
    assert len(scored) == 3


def test_counts_stand_behind_the_accuracy(tmp_path: Path, data: InputItem) -> None:
    outcome = train(tmp_path, data, epochs=1)
    found = next(item for item in outcome.context.measurements if item.name == "top1")
    assert (found.dataset_port, found.split, found.runtime, found.device) == ("data", "test", "torch", "cpu")
    assert found.details["samples"] == 200
    assert found.value == 100 * found.details["correct"] / 200


@pytest.mark.parametrize("augmentation", ["none", "flip_crop"])
def test_the_same_seed_gives_the_same_file_and_another_a_different_one(
    tmp_path: Path, data: InputItem, augmentation: str
) -> None:
    files = [
        digest(train(tmp_path / name, data, seed=seed, augmentation=augmentation).model)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("architecture", ["zoo:conv_tiny", "timm:mobilenetv3_small_050"])
def test_an_interrupted_training_ends_with_the_weights_of_an_undisturbed_one(
    tmp_path: Path, data: InputItem, optimizer: str, architecture: str
) -> None:
    # The timm network has dropout, so torch's random state must be restored as well.
    options = {"drop_rate": 0.2} if architecture.startswith("timm") else {}
    given: dict[str, Any] = {
        "architecture": architecture,
        "architecture_options": options,
        "optimizer": optimizer,
        "learning_rate": 0.01,
        "epochs": 3,
        "limit_samples": 192,
        "augmentation": "flip",
    }
    whole = train(tmp_path / "whole", data, **given)
    with pytest.raises(Cancelled):
        train(tmp_path / "broken", data, cancelled=(tmp_path / "broken/checkpoints/checkpoint").exists, **given)
    torch.manual_seed(99)
    resumed = train(tmp_path / "broken", data, **given)
    assert "Resumed after epoch 1" in resumed.lines
    assert [step for step, _ in resumed.curve("train_loss")] == list(range(4, 10))
    assert digest(resumed.model) == digest(whole.model)


@pytest.mark.parametrize("content", [b"", b"half a checkpoint", b"PK\x03\x04"])
def test_a_damaged_checkpoint_is_said_and_left_aside(tmp_path: Path, data: InputItem, content: bytes) -> None:
    whole = train(tmp_path / "whole", data)
    (tmp_path / "again/checkpoints").mkdir(parents=True)
    (tmp_path / "again/checkpoints/checkpoint").write_bytes(content)
    again = train(tmp_path / "again", data)
    assert "cannot be read" in again.lines
    assert digest(again.model) == digest(whole.model)


def test_cancelling_stops_within_a_step(tmp_path: Path, data: InputItem) -> None:
    calls: Iterator[int] = iter(range(1000))
    with pytest.raises(Cancelled):
        train(tmp_path, data, cancelled=lambda: next(calls) >= 3, epochs=1000)
    assert next(calls) == 4


def test_a_loss_that_explodes_stops_with_step_and_learning_rate(tmp_path: Path, data: InputItem) -> None:
    with pytest.raises(OperationError, match=r"loss became (nan|inf) at step \d+ \(learning rate") as caught:
        train(tmp_path, data, learning_rate=100, weight_decay=10, epochs=20, warmup_epochs=0, evaluate_each_epoch=False)
    assert caught.value.facts["step"] >= 1
    assert caught.value.facts["learning_rate"] > 0


def test_memory_that_runs_out_is_said_with_a_smaller_batch_size(
    tmp_path: Path, data: InputItem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(training, "as_inputs", run_out)
    with pytest.raises(OutOfMemory, match=r"with batch_size 64\. Try batch_size 32, or accumulation_steps 2"):
        train(tmp_path, data)


def test_the_host_s_memory_running_out_is_told_from_other_errors() -> None:
    with pytest.raises(OutOfMemory, match="host"), out_of_memory_is_said(1):
        torch.empty(2**60)
    with pytest.raises(OutOfMemory, match="host"), out_of_memory_is_said(1):
        np.empty(2**62, dtype=np.uint8)
    with pytest.raises(OutOfMemory, match="host"), out_of_memory_is_said(1):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")
    with pytest.raises(RuntimeError, match="shape"), out_of_memory_is_said(1):
        torch.zeros(2).reshape(3)


def test_given_weights_are_where_it_starts(tmp_path: Path, data: InputItem) -> None:
    init = fresh_model(tmp_path / "init", seed=5)
    outcome = train(tmp_path / "out", data, init, learning_rate=1e-12, weight_decay=0, epochs=1)
    start, end = load_file(init.main_file), load_file(outcome.model)
    torch.testing.assert_close(end["features.0.0.weight"], start["features.0.0.weight"])
    assert outcome.context.artifacts["model"][0].preprocessing == init.artifact.preprocessing  # type: ignore[union-attr]


def test_given_weights_for_other_classes_get_a_new_classifier(tmp_path: Path, data: InputItem) -> None:
    outcome = train(tmp_path / "out", data, fresh_model(tmp_path / "init", classes=4), epochs=1)
    assert "classifier is made anew" in outcome.lines
    assert load_file(outcome.model)["classifier.weight"].shape == (10, 24)


def test_pictures_are_resized_where_it_is_asked_for(tmp_path: Path, data: InputItem) -> None:
    artifact = train(tmp_path, data, epochs=1, image_size=12).context.artifacts["model"][0]
    assert artifact.preprocessing is not None
    assert (artifact.preprocessing.resize, artifact.preprocessing.crop) == (12, (12, 12))
    assert artifact.signature is not None
    assert artifact.signature.inputs[0].shape == (None, 1, 12, 12)


def test_an_architecture_or_weights_are_needed(tmp_path: Path, data: InputItem) -> None:
    with pytest.raises(InvalidInput, match="Neither an architecture nor weights"):
        train(tmp_path, data, architecture=None)


def test_weights_of_another_architecture_are_refused(tmp_path: Path, data: InputItem) -> None:
    with pytest.raises(InvalidInput, match="not a zoo:conv_small"):
        train(tmp_path / "out", data, fresh_model(tmp_path / "init"), architecture="zoo:conv_small")


def test_weights_with_other_channels_are_refused(tmp_path: Path, data: InputItem) -> None:
    colour = Preprocessing(channels=3, crop=(8, 8))
    init = fresh_model(tmp_path / "init", preprocessing=colour)
    plain = init.model_copy(update={"artifact": init.artifact.model_copy(update={"preprocessing": None})})  # type: ignore[union-attr]
    with pytest.raises(InvalidInput, match="takes 3 channels"):
        train(tmp_path / "out", data, plain)


def test_a_split_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path, data: InputItem) -> None:
    with pytest.raises(UnknownName, match="train"):
        train(tmp_path, data, train_split="trainn")


def test_testing_on_the_training_split_is_refused(tmp_path: Path, data: InputItem) -> None:
    with pytest.raises(InvalidInput, match="both 'train'"):
        train(tmp_path, data, test_split="train")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"epochs": 0}, "epochs"),
        ({"learning_rate": -1}, "learning_rate"),
        ({"momentum": 1}, "momentum"),
        ({"optimizer": "sdg"}, "optimizer"),
        ({"architecture": "resnet18"}, "architecture"),
        ({"architecture": "hf-hub:a/b"}, "architecture"),
        ({"epochs": 2, "warmup_epochs": 3}, "warmup_epochs"),
        ({"learing_rate": 0.1}, "learing_rate"),
        ({"architecture_options": {"drop_rate": [1]}}, "architecture_options"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(
    tmp_path: Path, data: InputItem, change: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput, match=field):
        train(tmp_path, data, **change)


def test_an_option_that_could_name_a_file_is_refused(tmp_path: Path, data: InputItem) -> None:
    with pytest.raises(InvalidInput, match="checkpoint_path"):
        train(tmp_path, data, architecture="timm:resnet10t", architecture_options={"checkpoint_path": "/etc/passwd"})


def test_a_device_that_is_not_there_is_refused(tmp_path: Path, data: InputItem) -> None:
    from zoo_torch.devices import prepare_device

    context = train(tmp_path, data, epochs=1).context
    context.devices = ("cuda:7",)
    with pytest.raises(InvalidInput, match="cuda:7"):
        prepare_device(context)


def test_pictures_of_different_sizes_are_trained_on_at_one_size(tmp_path: Path) -> None:
    classes = ("dark", "light")
    for split in ("train", "test"):
        for number in range(24):
            folder = tmp_path / "data" / split / classes[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            picture = Image.new("RGB", (20 + number, 30), (200, 220, 240) if number % 2 else (10, 30, 50))
            picture.save(folder / f"{number}.png")
    splits = {split: {"folder": split} for split in ("train", "test")}
    description = DatasetDescription(format="image-folder", classes=classes, splits=splits)
    data = InputItem(reference="digits/colours@1", folder=tmp_path / "data", dataset=description)
    with pytest.raises(InvalidInput, match="different sizes"):
        train(tmp_path / "refused", data)
    outcome = train(tmp_path / "out", data, image_size=16, batch_size=8, epochs=4, augmentation="flip_crop")
    assert outcome.measured("top1") == 100
    assert [item.name for item in outcome.context.measurements if item.name == "top5"] == []
    signature = outcome.context.artifacts["model"][0].signature
    assert signature is not None
    assert signature.inputs[0].shape == (None, 3, 16, 16)


def test_mixed_precision_computes_in_bfloat16_and_keeps_float32_weights(
    tmp_path: Path, data: InputItem, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = train(tmp_path / "plain", data)
    monkeypatch.setattr(precision, "computes_bfloat16", lambda _device: True)
    mixed = train(tmp_path / "mixed", data)
    off = train(tmp_path / "off", data, mixed_precision="off")
    assert digest(off.model) == digest(plain.model) != digest(mixed.model)
    assert {value.dtype for value in load_file(mixed.model).values()} == {torch.float32, torch.int64}
    assert mixed.curve("train_loss")[-1][1] == pytest.approx(plain.curve("train_loss")[-1][1], rel=0.2)


def test_gradients_are_clipped_where_it_is_asked_for(tmp_path: Path, data: InputItem) -> None:
    still = {"gradient_clip": 1e-9, "weight_decay": 0, "momentum": 0, "epochs": 1}
    init = fresh_model(tmp_path / "init", seed=5)
    outcome = train(tmp_path / "out", data, init, **still)
    name = "features.0.0.weight"
    torch.testing.assert_close(load_file(outcome.model)[name], load_file(init.main_file)[name])


def test_label_smoothing_raises_the_loss_of_a_sure_network(tmp_path: Path, data: InputItem) -> None:
    sure = train(tmp_path / "sure", data, epochs=5, limit_samples=None)
    smooth = train(tmp_path / "smooth", data, epochs=5, limit_samples=None, label_smoothing=0.3)
    assert smooth.curve("train_loss")[-1][1] > sure.curve("train_loss")[-1][1] + 0.3


def test_a_transformer_is_made_for_the_size_of_the_pictures(tmp_path: Path, data: InputItem) -> None:
    outcome = train(tmp_path, data, architecture="zoo:vit_tiny", optimizer="adamw", learning_rate=0.003)
    assert outcome.context.artifacts["model"][0].details["architecture"]["options"] == {"img_size": 8}
    losses = [loss for _, loss in outcome.curve("train_loss")]
    assert losses[-1] < losses[0]


def test_a_checkpoint_of_timm_is_finetuned_layer_by_layer(tmp_path: Path, data: InputItem) -> None:
    network = build("timm:resnet10t", channels=1, classes=5)
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    init = pickle_item(tmp_path / "init", {"state_dict_ema": state, "epoch": 3})
    given: dict[str, Any] = {"architecture": "timm:resnet10t", "layer_decay": 0.7, "freeze": ["conv1", "bn1"]}
    outcome = train(tmp_path / "out", data, init, limit_samples=128, stage="finetuning", **given)
    made = load_file(outcome.model)
    assert made["fc.weight"].shape == (10, 512)
    assert "classifier is made anew" in outcome.lines
    torch.testing.assert_close(made["conv1.0.weight"], network.state_dict()["conv1.0.weight"], rtol=0, atol=0)
    torch.testing.assert_close(made["bn1.running_mean"], network.state_dict()["bn1.running_mean"], rtol=0, atol=0)
    assert not torch.equal(made["layer4.0.conv1.weight"], network.state_dict()["layer4.0.conv1.weight"])
