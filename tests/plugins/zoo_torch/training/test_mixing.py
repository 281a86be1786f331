"""Mixup and cutmix."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from zoo_sdk.artifacts import Preprocessing
from zoo_torch.training.batches import Batch, as_inputs
from zoo_torch.training.losses import label_loss
from zoo_torch.training.mixing import Mixing, draw_mixing
from zoo_torch.training.params import TrainParams

CPU = torch.device("cpu")


def batch_of(pictures: np.ndarray, mixing: Mixing | None) -> Batch:
    count = len(pictures)
    return Batch(pictures, torch.arange(count), torch.arange(count) % 4, mixing)


def test_mixup_is_the_weighted_mean_of_two_pictures() -> None:
    inputs = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    permutation = torch.tensor([1, 2, 3, 0])
    mixed = Mixing(permutation, 0.3).apply(inputs)
    torch.testing.assert_close(mixed, 0.3 * inputs + 0.7 * inputs[permutation])
    assert mixed.is_contiguous(memory_format=torch.channels_last)


def test_cutmix_replaces_the_box_and_nothing_else() -> None:
    inputs = torch.randn(4, 1, 8, 8)
    permutation = torch.tensor([3, 2, 1, 0])
    mixed = Mixing(permutation, 1 - 6 / 64, (0.25, 0.5, 0.5, 0.875)).apply(inputs)
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[2:4, 4:7] = True
    assert torch.equal(mixed[..., inside], inputs[permutation][..., inside])
    assert torch.equal(mixed[..., ~inside], inputs[..., ~inside])


def test_networks_of_other_sizes_and_normalisation_see_the_same_mixture() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (4, 8, 8)).astype(np.uint8)
    batch = batch_of(pictures, Mixing(torch.tensor([1, 0, 3, 2]), 0.4))
    plain = Preprocessing(channels=1, crop=(8, 8), scale=1)
    normalised = Preprocessing(channels=3, crop=(8, 8), mean=(0.2, 0.3, 0.4), std=(0.5, 0.6, 0.7))
    raw, seen = as_inputs(batch, plain, CPU), as_inputs(batch, normalised, CPU)
    torch.testing.assert_close(seen[:, 1], (raw[:, 0] / 255 - 0.3) / 0.6)
    boxed = batch_of(pictures, Mixing(torch.tensor([1, 0, 3, 2]), 0.75, (0.5, 0.0, 1.0, 0.5)))
    large = Preprocessing(channels=1, resize=16, crop=(16, 16), interpolation="nearest", scale=1)
    torch.testing.assert_close(as_inputs(boxed, large, CPU)[:, :, ::2, ::2], as_inputs(boxed, plain, CPU))


def test_plain_pictures_are_not_mixed() -> None:
    pictures = np.zeros((2, 4, 4), dtype=np.uint8)
    assert as_inputs(pictures, Preprocessing(channels=1, crop=(4, 4)), CPU).shape == (2, 1, 4, 4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_cross_entropy_against_the_soft_labels(smoothing: float) -> None:
    batch = batch_of(np.zeros((6, 4, 4), dtype=np.uint8), Mixing(torch.tensor([5, 4, 3, 2, 1, 0]), 0.3))
    logits = torch.randn(6, 5)
    soft = batch.soft_labels(5, smoothing)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(6))
    assert soft[0, 1].item() == pytest.approx(0.7 * (1 - smoothing) + smoothing / 5)
    torch.testing.assert_close(label_loss(logits, batch, smoothing), F.cross_entropy(logits, soft))


def test_the_loss_of_an_unmixed_batch_is_the_ordinary_one() -> None:
    batch = batch_of(np.zeros((6, 4, 4), dtype=np.uint8), None)
    logits = torch.randn(6, 5)
    torch.testing.assert_close(label_loss(logits, batch), F.cross_entropy(logits, batch.labels))
    torch.testing.assert_close(F.cross_entropy(logits, batch.soft_labels(5)), F.cross_entropy(logits, batch.labels))


def test_the_share_of_cutmix_is_the_area_that_is_left() -> None:
    params = TrainParams(cutmix_alpha=1)
    generator = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        mixing = draw_mixing(params, 8, (28, 20), generator)
        assert mixing is not None
        assert mixing.box is not None
        kept = (Mixing(torch.arange(8).roll(1), mixing.share, mixing.box).apply(_numbered(28, 20)) == 0)[0].sum()
        assert mixing.share == pytest.approx(int(kept) / (28 * 20))
        shares.append(mixing.share)
    # Beta(1, 1) is uniform; what is cut off at the edges raises the share that is kept.
    assert 0.5 < np.mean(shares) < 0.75
    assert min(shares) < 0.2


def _numbered(height: int, width: int) -> torch.Tensor:
    return torch.arange(8.0)[:, None, None, None].expand(8, 1, height, width)


def test_both_kinds_take_turns_and_some_batches_stay_as_they_are() -> None:
    params = TrainParams(mixup_alpha=0.2, cutmix_alpha=1, mixing_probability=0.5)
    generator = np.random.default_rng(0)
    drawn = [draw_mixing(params, 8, (8, 8), generator) for _ in range(400)]
    assert 150 < sum(mixing is None for mixing in drawn) < 250
    boxed = sum(mixing is not None and mixing.box is not None for mixing in drawn)
    assert 60 < boxed < 140


def test_nothing_is_mixed_where_nothing_is_asked_for() -> None:
    assert draw_mixing(TrainParams(), 8, (8, 8), np.random.default_rng(0)) is None
