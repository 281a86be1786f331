"""What the training loop offers every method: accumulation, averages, precision, compilation, watchfulness."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from tests.plugins.zoo_torch.samples import Outcome, digest
from tests.plugins.zoo_torch.training.conftest import Train
from zoo_sdk.artifacts import DatasetDescription
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, OperationError
from zoo_torch.training import operation
from zoo_torch.training.batches import Batch
from zoo_torch.training.losses import label_loss


def differences(one: Outcome, other: Outcome) -> dict[str, float]:
    first, second = load_file(one.model), load_file(other.model)
    return {key: float((first[key].float() - second[key].float()).abs().max()) for key in first}


def test_a_batch_in_parts_gives_the_step_of_the_whole(train: Train) -> None:
    # Normalisation over a batch would see the parts; a transformer has none.
    given = {"architecture": "zoo:vit_tiny", "epochs": 1, "learning_rate": 0.01, "augmentation": "flip_crop"}
    whole, parts = train("whole", **given), train("parts", accumulation_steps=4, **given)
    assert max(differences(whole, parts).values()) < 1e-5
    assert digest(whole.model) != digest(train("other", seed=1, **given).model)
    assert [step for step, _ in parts.curve("train_loss")] == list(range(1, 11))
    assert parts.curve("train_loss")[-1][1] == pytest.approx(whole.curve("train_loss")[-1][1], rel=1e-4)


def test_the_average_is_what_results_and_what_is_tested(train: Train) -> None:
    plain = train("plain", epochs=4)
    instant, slow = train("instant", epochs=4, ema_decay=1e-6), train("slow", epochs=4, ema_decay=0.999)
    assert max(differences(plain, instant).values()) < 1e-4
    assert max(differences(plain, slow).values()) > 1e-2
    assert slow.curve("test_top1")[-1][1] == slow.measured("top1")
    # The training itself does not depend on the average of it.
    assert slow.curve("train_loss") == plain.curve("train_loss")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_used_on_a_processor_where_it_is_asked_for(train: Train, precision: str) -> None:
    plain, half = train("plain"), train("half", mixed_precision=precision)
    assert digest(plain.model) != digest(half.model)
    assert {value.dtype for value in load_file(half.model).values()} == {torch.float32, torch.int64}
    assert half.curve("train_loss")[-1][1] == pytest.approx(plain.curve("train_loss")[-1][1], rel=0.2)


def test_the_memory_layout_changes_the_result_in_the_last_digits_only(train: Train) -> None:
    found = differences(train("last", epochs=1), train("first", epochs=1, channels_last=False))
    assert max(found.values()) < 1e-3


@pytest.mark.slow
def test_a_compiled_network_trains_to_the_same_weights_under_the_same_names(train: Train) -> None:
    plain, compiled = train("plain", epochs=1), train("compiled", epochs=1, compile="on")
    assert max(differences(plain, compiled).values()) < 1e-3


@pytest.mark.parametrize("mixing", [{"mixup_alpha": 0.4}, {"cutmix_alpha": 1}, {"mixup_alpha": 1, "cutmix_alpha": 1}])
def test_a_training_on_mixtures_learns_and_repeats(train: Train, mixing: dict[str, float]) -> None:
    first, second = train("first", **mixing), train("second", **mixing)
    plain = train("plain")
    assert digest(first.model) == digest(second.model) != digest(plain.model)
    # The loss against soft targets has their entropy as its floor.
    assert first.curve("train_loss")[-1][1] > plain.curve("train_loss")[-1][1] + 0.2


def fail_once_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss is NaN at one step of the first training that gets there."""
    calls = iter(range(1, 10_000))

    def loss(logits: Tensor, batch: Batch, label_smoothing: float) -> Tensor:
        value = label_loss(logits, batch, label_smoothing)
        return value * float("nan") if next(calls) == step else value

    monkeypatch.setattr(operation, "label_loss", loss)


def test_after_a_loss_that_is_no_number_a_retry_goes_on_from_the_last_good_checkpoint(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train("whole", epochs=3)
    fail_once_at(24, monkeypatch)
    with pytest.raises(OperationError, match=r"loss became nan at step 24 .*after epoch 2 is kept") as caught:
        train("lost", epochs=3)
    assert (caught.value.facts["step"], caught.value.facts["epochs_kept"]) == (24, 2)
    again = train("lost", epochs=3)
    assert "Resumed after epoch 2" in again.lines
    assert digest(again.model) == digest(whole.model)


def test_a_loss_that_is_no_number_stops_at_its_own_step(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_once_at(3, monkeypatch)
    # 640 steps in an epoch: curves have a point at every 12th, and the stop does not wait for it.
    calls: list[int] = []
    count: Callable[[], bool] = lambda: bool(calls.append(1))  # type: ignore[func-returns-value]  # noqa: E731
    with pytest.raises(OperationError, match="at step 3 "):
        train(batch_size=1, cancelled=count)
    assert len(calls) == 3


def test_weights_that_are_no_numbers_are_never_kept(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = torch.optim.SGD.step
    steps = iter(range(1, 10_000))

    def step(self: Any, *given: Any, **named: Any) -> Any:
        result = original(self, *given, **named)
        if next(steps) == 20:
            self.param_groups[0]["params"][0].data[0] = float("inf")
        return result

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    with pytest.raises(OperationError, match=r"weight features\.0\.0\.weight became nan at step 20"):
        train()
    kept = torch.load(tmp_path / "out/checkpoints/checkpoint", weights_only=True)
    assert kept["epoch"] == 1
    assert all(bool(torch.isfinite(value).all()) for value in kept["network"].values())


def test_frozen_modules_do_not_change(train: Train) -> None:
    start = train("start", epochs=1)
    end = train("end", init=start.item, freeze=["backbone"], epochs=1)
    before, after = load_file(start.model), load_file(end.model)
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"classifier.weight", "classifier.bias"}


def test_lower_layers_move_less_with_layer_wise_decay(train: Train) -> None:
    start = train("start", epochs=1)
    given: dict[str, Any] = {"init": start.item, "epochs": 1, "weight_decay": 0, "learning_rate": 0.01}
    even, decayed = train("even", **given), train("decayed", layer_decay=0.1, **given)
    moved = [differences(start, one)["features.0.0.weight"] for one in (even, decayed)]
    assert moved[1] < moved[0] / 50
    heads = [differences(start, one)["classifier.weight"] for one in (even, decayed)]
    assert heads[1] == pytest.approx(heads[0], rel=0.2)


def test_a_batch_that_no_part_divides_is_refused(train: Train) -> None:
    with pytest.raises(InvalidInput, match="multiple of accumulation_steps"):
        train(accumulation_steps=3)


def test_a_training_on_image_files_gives_the_same_file_whoever_decodes_them(train: Train, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(48):
        split, name = ("train", "test")[number >= 32], ("even", "odd")[number % 2]
        folder = tmp_path / "data" / split / name
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (*generator.integers(24, 40, 2), 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    splits = {name: {"folder": name} for name in ("train", "test")}
    description = DatasetDescription(format="image-folder", classes=("even", "odd"), splits=splits)
    data = InputItem(reference="digits/files@1", folder=tmp_path / "data", dataset=description)
    given: dict[str, Any] = {
        "data": data,
        "image_size": 16,
        "resize": 18,
        "batch_size": 8,
        "augmentation": "random_resized_crop",
        "augmentation_policy": "randaugment",
        "cutmix_alpha": 1,
    }
    alone, helped = train("alone", loader_workers=0, **given), train("helped", loader_workers=2, **given)
    assert digest(alone.model) == digest(helped.model)
    assert alone.curve("train_loss") == helped.curve("train_loss")
