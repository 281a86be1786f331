"""A training that was interrupted ends with the very weights of one that was not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.plugins.zoo_torch.samples import PREPROCESSING, build, digest
from tests.plugins.zoo_torch.training.conftest import Train
from zoo_sdk.context import InputItem
from zoo_sdk.discovery import find_operation
from zoo_sdk.errors import Cancelled
from zoo_sdk.execution import LocalContext, Workplace
from zoo_torch.training.batches import Batch
from zoo_torch.training.losses import label_loss
from zoo_torch.training.method import Method
from zoo_torch.training.params import TrainParams
from zoo_torch.training.trainer import Trainer, TrainingData
from zoo_vision.datasets import open_split

SHORT = {"epochs": 3, "limit_samples": 192, "learning_rate": 0.05}
EVERYTHING = {
    "ema_decay": 0.9,
    "mixup_alpha": 0.5,
    "cutmix_alpha": 1.0,
    "augmentation": "flip_crop",
    "augmentation_policy": "randaugment",
    "mixed_precision": "fp16",
    "accumulation_steps": 2,
    "gradient_clip": 1.0,
    "layer_decay": 0.7,
}


@pytest.mark.parametrize(
    "given",
    [
        {"ema_decay": 0.9},
        {"mixup_alpha": 0.5, "cutmix_alpha": 1.0},
        {"augmentation_policy": "randaugment", "augmentation": "random_resized_crop"},
        {"mixed_precision": "fp16"},
        {"schedule": "step", "milestones": [1.5, 2.5]},
        {"architecture": "zoo:vit_tiny", "optimizer": "adamw", "learning_rate": 0.002},
        EVERYTHING,
    ],
    ids=lambda given: "+".join(given)[:40],
)
def test_a_resumed_training_gives_the_file_of_an_uninterrupted_one(
    train: Train, tmp_path: Path, given: dict[str, Any]
) -> None:
    whole = train("whole", **{**SHORT, **given})
    with pytest.raises(Cancelled):
        train("broken", cancelled=(tmp_path / "broken/checkpoints/checkpoint").exists, **{**SHORT, **given})
    torch.manual_seed(99)
    resumed = train("broken", **{**SHORT, **given})
    assert "Resumed after epoch 1" in resumed.lines
    assert digest(resumed.model) == digest(whole.model)


class _Shifting(Method):
    """Learns with a companion and a count of its own, draws chance, and makes the network narrower after an epoch."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self.adapter = nn.Linear(10, 10)
        self.seen = 0
        self.narrow = False

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        self.seen += len(batch.labels)
        noise = torch.rand_like(logits)
        return label_loss(self.adapter(logits + noise) * (1 + 1 / self.seen), batch)

    def before_epoch(self, epoch: int) -> bool:
        if epoch != 1:
            return False
        self._replace()
        return True

    def _replace(self) -> None:
        self.narrow = True
        self._network.classifier = nn.Sequential(nn.Linear(24, 5), nn.Linear(5, 10))

    def companions(self) -> Mapping[str, nn.Module]:
        return {"adapter": self.adapter}

    def state(self) -> dict[str, Any]:
        return {"seen": self.seen, "narrow": self.narrow}

    def resume(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]
        if state["narrow"]:
            self._replace()


def run_shifting(folder: Path, digits: InputItem, **context: Any) -> tuple[dict[str, Tensor], _Shifting]:
    network = build("zoo:conv_tiny", seed=1)
    data = TrainingData(open_split(digits, "train"), open_split(digits, "test"), PREPROCESSING)
    params = TrainParams(epochs=4, limit_samples=128, batch_size=32, ema_decay=0.9, limit_test_samples=50)
    place = LocalContext(find_operation("torch.train"), Workplace.under(folder), **context)
    method = _Shifting(network)
    Trainer(network, data, params, place, torch.device("cpu")).run(method)
    return network.state_dict(), method


@pytest.mark.parametrize("epochs_done", [1, 2, 3])
def test_companions_method_state_and_changed_networks_are_resumed(
    tmp_path: Path, digits: InputItem, epochs_done: int
) -> None:
    whole, method = run_shifting(tmp_path / "whole", digits)
    checkpoint = tmp_path / "broken/checkpoints/checkpoint"

    def done() -> bool:
        return checkpoint.exists() and torch.load(checkpoint, weights_only=True)["epoch"] == epochs_done

    with pytest.raises(Cancelled):
        run_shifting(tmp_path / "broken", digits, cancelled=done)
    torch.manual_seed(99)
    resumed, again = run_shifting(tmp_path / "broken", digits)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert again.seen == method.seen == 4 * 128
    assert torch.equal(again.adapter.weight, method.adapter.weight)


def test_a_checkpoint_of_another_release_is_left_aside(train: Train, tmp_path: Path) -> None:
    whole = train("whole")
    folder = tmp_path / "old/checkpoints"
    folder.mkdir(parents=True)
    torch.save({"epoch": 1, "network": {}}, folder / "checkpoint")
    again = train("old")
    assert "another release" in again.lines
    assert digest(again.model) == digest(whole.model)
