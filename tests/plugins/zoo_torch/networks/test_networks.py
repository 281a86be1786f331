"""Our small networks, their cost, their optimiser's schedule, and their batches."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.plugins.zoo_torch.samples import build, npz_digits
from zoo_sdk.artifacts import Preprocessing
from zoo_torch.measuring.scoring import count_macs, count_parameters
from zoo_torch.networks.small import SMALL_NETWORKS
from zoo_torch.training.batches import TrainingBatches, augmented
from zoo_torch.training.params import TrainParams
from zoo_torch.training.schedule import make_optimizer, make_scheduler
from zoo_vision.datasets import open_split

SIZES = {
    "conv_tiny": 8_254,
    "conv_small": 24_058,
    "conv_medium": 53_362,
    "resnet_small": 173_842,
    "resnet_medium": 308_074,
}


@pytest.mark.parametrize("name", SMALL_NETWORKS)
@pytest.mark.parametrize("size", [8, 28, 33])
def test_a_small_network_takes_any_small_image(name: str, size: int) -> None:
    assert build(f"zoo:{name}", channels=3).eval()(torch.zeros(2, 3, size, size)).shape == (2, 10)


@pytest.mark.parametrize("name", SMALL_NETWORKS)
def test_the_number_of_parameters_is_as_documented(name: str) -> None:
    assert count_parameters(build(f"zoo:{name}")) == SIZES[name]


def test_multiply_accumulates_are_those_counted_by_hand() -> None:
    convolutions = 14 * 14 * 9 * 1 * 12 + 7 * 7 * 9 * 12 * 24 + 7 * 7 * 9 * 24 * 24
    preprocessing = Preprocessing(channels=1, crop=(28, 28))
    macs = count_macs(build("zoo:conv_tiny"), preprocessing, torch.device("cpu"))
    assert macs == convolutions + 24 * 10


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    params = TrainParams(epochs=2, warmup_epochs=0.5, learning_rate=1)
    optimizer = make_optimizer(build("zoo:conv_tiny"), params)
    scheduler = make_scheduler(optimizer, params, steps_per_epoch=10)
    rates = []
    for _ in range(20):
        rates.append(float(scheduler.get_last_lr()[0]))
        optimizer.step()
        scheduler.step()
    assert rates[:6] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[5:]))
    assert float(scheduler.get_last_lr()[0]) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_biases_and_normalisations_are_not_decayed(optimizer: str) -> None:
    params = TrainParams.model_validate({"optimizer": optimizer, "weight_decay": 0.3})
    decayed, exempt = make_optimizer(build("zoo:conv_tiny"), params).param_groups
    assert (decayed["weight_decay"], exempt["weight_decay"]) == (0.3, 0)
    assert {parameter.ndim for parameter in exempt["params"]} == {1}
    assert {parameter.ndim for parameter in decayed["params"]} == {2, 4}


def test_an_epoch_s_batches_depend_on_seed_and_number_only(tmp_path: Path) -> None:
    split = open_split(npz_digits(tmp_path), "train")

    def indices(seed: int, epoch: int) -> list[int]:
        batches = TrainingBatches(split, 100, "none", 0, seed)
        assert batches.steps == 12
        return torch.cat([batch.indices for batch in batches.epoch(epoch)]).tolist()

    assert indices(1, 0) == indices(1, 0)
    assert indices(1, 0) != indices(1, 1)
    assert indices(1, 0) != indices(2, 0)
    assert len(set(indices(1, 0))) == 1200


def test_labels_and_pictures_belong_together_and_the_offset_is_added(tmp_path: Path) -> None:
    split = open_split(npz_digits(tmp_path), "train")
    batches = TrainingBatches(split, 50, "none", 1, 0, limit=80)
    batch = next(batches.epoch(0))
    positions = batches.positions[batch.indices.numpy()]
    np.testing.assert_array_equal(batch.labels.numpy(), split.labels[positions] + 1)
    np.testing.assert_array_equal(batch.pictures, split.images[positions])


def test_a_limited_training_sees_samples_from_everywhere(tmp_path: Path) -> None:
    split = open_split(npz_digits(tmp_path), "train")
    positions = TrainingBatches(split, 50, "none", 0, 3, limit=80).positions
    assert len(set(positions.tolist())) == 80
    assert positions.max() > 1000
    np.testing.assert_array_equal(positions, TrainingBatches(split, 50, "none", 0, 3, limit=80).positions)


def test_a_batch_size_above_the_number_of_samples_is_cut(tmp_path: Path) -> None:
    batches = TrainingBatches(open_split(npz_digits(tmp_path), "train"), 1000, "none", 0, 0, limit=80)
    assert (batches.batch_size, batches.steps) == (80, 1)


@pytest.mark.parametrize("channels", [None, 3])
def test_flipping_mirrors_some_pictures_and_leaves_the_others(channels: int | None) -> None:
    shape = (64, 8, 8) if channels is None else (64, 8, 8, channels)
    pictures = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    result = augmented(pictures, "flip", np.random.default_rng(1))
    mirrored = [np.array_equal(new, old[:, ::-1]) for new, old in zip(result, pictures, strict=True)]
    kept = [np.array_equal(new, old) for new, old in zip(result, pictures, strict=True)]
    assert all(a or b for a, b in zip(mirrored, kept, strict=True))
    assert 15 < sum(mirrored) < 49


def test_flip_crop_shifts_pictures_by_up_to_an_eighth() -> None:
    picture = np.zeros((16, 16), dtype=np.uint8)
    picture[8, 8] = 255
    result = augmented(np.stack([picture] * 200), "flip_crop", np.random.default_rng(1))
    rows, columns = np.nonzero(np.asarray(result).max(axis=0))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 10, 5, 10)


def test_pictures_of_different_sizes_keep_them() -> None:
    pictures = [np.zeros((16, 24, 3), dtype=np.uint8), np.zeros((9, 8), dtype=np.uint8)]
    result = augmented(pictures, "flip_crop", np.random.default_rng(1))
    assert [picture.shape for picture in result] == [(16, 24, 3), (9, 8)]
