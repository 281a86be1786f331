"""Batches of an epoch, and the random changes to their pictures."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.plugins.zoo_torch.samples import PREPROCESSING, npz_digits
from zoo_sdk.artifacts import DatasetDescription, Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput
from zoo_torch.training.augmentation import Augmenter, random_part
from zoo_torch.training.batches import Batch, TrainingBatches, as_inputs
from zoo_torch.training.params import TrainParams
from zoo_vision.datasets import ImageSplit, Pictures, open_split

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> ImageSplit:
    return open_split(npz_digits(tmp_path_factory.mktemp("digits")), "train")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> ImageSplit:
    """Forty pictures of different sizes as files."""
    root = tmp_path_factory.mktemp("photographs")
    generator = np.random.default_rng(0)
    for number in range(40):
        folder = root / "train" / ("even", "odd")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        height, width = generator.integers(30, 60, 2)
        pixels = generator.integers(0, 256, (height, width, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    description = DatasetDescription(
        format="image-folder", classes=("even", "odd"), splits={"train": {"folder": "train"}}
    )
    return open_split(InputItem(reference="digits/photographs@1", folder=root, dataset=description), "train")


def batches_of(
    split: ImageSplit, *, seed: int = 0, preprocessing: Any = PREPROCESSING, **given: Any
) -> TrainingBatches:
    places = {name: given.pop(name) for name in ("device_index", "devices", "viewers") if name in given}
    params = TrainParams.model_validate({"batch_size": 50, **given})
    return TrainingBatches(split, params, preprocessing, seed, **places)


def everything(batches: TrainingBatches, epoch: int = 0) -> list[np.ndarray]:
    return [picture for batch in batches.epoch(epoch) for picture in batch.pictures]


def test_an_epoch_s_batches_depend_on_seed_and_number_only(split: ImageSplit) -> None:
    def indices(seed: int, epoch: int) -> list[int]:
        batches = batches_of(split, batch_size=100, seed=seed)
        assert batches.steps == 12
        return torch.cat([batch.indices for batch in batches.epoch(epoch)]).tolist()

    assert indices(1, 0) == indices(1, 0)
    assert indices(1, 0) != indices(1, 1)
    assert indices(1, 0) != indices(2, 0)
    assert len(set(indices(1, 0))) == 1200


def test_labels_and_pictures_belong_together_and_the_offset_is_added(split: ImageSplit) -> None:
    offset = PREPROCESSING.model_copy(update={"label_offset": 1})
    batches = batches_of(split, limit_samples=80, preprocessing=offset)
    batch = next(batches.epoch(0))
    positions = batches.positions[batch.indices.numpy()]
    np.testing.assert_array_equal(batch.labels.numpy(), split.labels[positions] + 1)
    np.testing.assert_array_equal(batch.pictures, split.images[positions])


def test_a_limited_training_sees_samples_from_everywhere(split: ImageSplit) -> None:
    positions = batches_of(split, seed=3, limit_samples=80).positions
    assert len(set(positions.tolist())) == 80
    assert positions.max() > 1000
    np.testing.assert_array_equal(positions, batches_of(split, seed=3, limit_samples=80).positions)


def test_a_batch_size_above_the_number_of_samples_is_cut(split: ImageSplit) -> None:
    batches = batches_of(split, batch_size=1000, limit_samples=80)
    assert (batches.batch_size, batches.steps) == (80, 1)


def test_parts_and_devices_see_what_one_device_sees_at_once(split: ImageSplit) -> None:
    given = {"augmentation": "flip_crop", "augmentation_policy": "randaugment", "limit_samples": 96, "batch_size": 48}
    whole = everything(batches_of(split, **given))
    parts = everything(batches_of(split, accumulation_steps=4, **given))
    np.testing.assert_array_equal(whole, parts)
    shared = [batches_of(split, accumulation_steps=2, device_index=index, devices=2, **given) for index in (0, 1)]
    halves = [[batch.pictures for batch in one.epoch(0)] for one in shared]
    np.testing.assert_array_equal(whole, np.concatenate([part for pair in zip(*halves, strict=True) for part in pair]))


def test_a_batch_that_cannot_be_divided_is_refused_with_a_size_that_can(split: ImageSplit) -> None:
    with pytest.raises(InvalidInput, match="multiple of 4") as caught:
        batches_of(split, batch_size=50, accumulation_steps=2, devices=2)
    assert caught.value.facts["field"] == "batch_size"


@pytest.mark.parametrize(
    "augmentation", [{"augmentation": "random_resized_crop"}, {"augmentation_policy": "trivial_augment"}]
)
def test_worker_processes_change_nothing(photographs: ImageSplit, augmentation: dict[str, str]) -> None:
    small = Preprocessing(channels=3, resize=20, crop=(16, 16))
    given: dict[str, Any] = {"preprocessing": small, "batch_size": 8, "mixup_alpha": 1, **augmentation}

    def inputs(workers: int) -> torch.Tensor:
        batches = batches_of(photographs, loader_workers=workers, **given)
        return torch.cat([as_inputs(batch, small, CPU) for batch in batches.epoch(3)])

    alone = inputs(0)
    assert alone.shape == (40, 3, 16, 16)
    assert torch.equal(alone, inputs(1))
    assert torch.equal(alone, inputs(2))


def test_an_epoch_leaves_torch_s_own_chance_alone(split: ImageSplit) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    everything(batches_of(split, limit_samples=100, augmentation_policy="randaugment"))
    assert torch.equal(torch.rand(3), expected)


def test_files_are_decoded_by_worker_processes_and_arrays_are_not(split: ImageSplit, photographs: ImageSplit) -> None:
    assert batches_of(split).workers == 0
    small = Preprocessing(channels=3, resize=20, crop=(16, 16))
    assert batches_of(photographs, preprocessing=small, batch_size=8).workers == 2


def test_photographs_wait_no_larger_than_the_largest_network_needs(photographs: ImageSplit) -> None:
    small = Preprocessing(channels=3, resize=20, crop=(16, 16))
    large = Preprocessing(channels=3, resize=28, crop=(24, 24))
    alone = batches_of(photographs, preprocessing=small, batch_size=8, loader_workers=0)
    assert {min(picture.shape[:2]) for picture in everything(alone)} == {20}
    watched = batches_of(photographs, preprocessing=small, batch_size=8, loader_workers=0, viewers=(large,))
    assert {min(picture.shape[:2]) for picture in everything(watched)} == {28}
    # Reducing first is the resize of the preprocessing, so the network sees the same.
    batch = next(alone.epoch(0))
    positions = alone.positions[batch.indices.numpy()]
    assert torch.equal(as_inputs(batch, small, CPU), as_inputs(photographs.source.take(positions), small, CPU))


def augmented(pictures: Pictures, **given: Any) -> Pictures:
    augmenter = Augmenter(TrainParams.model_validate(given), PREPROCESSING, (8, 8))
    return augmenter.apply(pictures, augmenter.draw(len(pictures), np.random.default_rng(1)))


@pytest.mark.parametrize("channels", [None, 3])
def test_flipping_mirrors_some_pictures_and_leaves_the_others(channels: int | None) -> None:
    shape = (64, 8, 8) if channels is None else (64, 8, 8, channels)
    pictures = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    result = augmented(pictures, augmentation="flip")
    mirrored = [np.array_equal(new, old[:, ::-1]) for new, old in zip(result, pictures, strict=True)]
    kept = [np.array_equal(new, old) for new, old in zip(result, pictures, strict=True)]
    assert all(a or b for a, b in zip(mirrored, kept, strict=True))
    assert 15 < sum(mirrored) < 49


@pytest.mark.parametrize("as_list", [False, True])
def test_flip_crop_shifts_pictures_by_up_to_an_eighth(as_list: bool) -> None:
    picture = np.zeros((16, 16), dtype=np.uint8)
    picture[8, 8] = 255
    pictures = [picture] * 200
    result = augmented(pictures if as_list else np.stack(pictures), augmentation="flip_crop")
    rows, columns = np.nonzero(np.asarray(result).max(axis=0))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 10, 5, 10)


def test_pictures_of_different_sizes_keep_them() -> None:
    pictures = [np.zeros((16, 24, 3), dtype=np.uint8), np.zeros((9, 8), dtype=np.uint8)]
    result = augmented(pictures, augmentation="flip_crop", augmentation_policy="autoaugment")
    assert [picture.shape for picture in result] == [(16, 24, 3), (9, 8)]


@pytest.mark.parametrize("policy", ["randaugment", "trivial_augment", "autoaugment"])
def test_a_policy_changes_pictures_by_their_own_seeds(policy: str) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 1)).astype(np.uint8)
    result = augmented(pictures, augmentation_policy=policy)
    np.testing.assert_array_equal(result, augmented(pictures, augmentation_policy=policy))
    assert np.asarray(result).shape == pictures.shape
    changed = [not np.array_equal(new, old) for new, old in zip(result, pictures, strict=True)]
    assert sum(changed) > 10


def test_randaugment_does_nothing_at_strength_zero_but_what_has_no_strength() -> None:
    pictures = np.full((60, 12, 12), 77, dtype=np.uint8)
    mild = augmented(pictures, augmentation_policy="randaugment", randaugment_magnitude=0)
    strong = augmented(pictures, augmentation_policy="randaugment", randaugment_magnitude=30)
    differing = [int((np.asarray(result) != pictures).any(axis=(1, 2)).sum()) for result in (mild, strong)]
    assert differing[0] < differing[1] - 20


def test_a_random_part_lies_inside_and_has_an_allowed_shape() -> None:
    generator = np.random.default_rng(0)
    parts = [random_part((40, 60), generator.random((10, 4)), 0.08) for _ in range(500)]
    for top, left, height, width in parts:
        assert top >= 0
        assert left >= 0
        assert top + height <= 40
        assert left + width <= 60
        assert 0.65 < width / height < 1.5
    areas = [height * width / 2400 for _, _, height, width in parts]
    assert min(areas) < 0.12
    assert max(areas) > 0.7


def test_a_part_that_never_fits_is_the_centre() -> None:
    top, left, height, width = random_part((10, 100), np.full((10, 4), 0.999), 0.9)
    assert (top, height, width) == (0, 10, 13)
    assert left == 43


def test_a_framed_picture_is_seen_whole_by_networks_of_every_size() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 16, 16)).astype(np.uint8)
    batch = Batch(pictures, torch.arange(2), torch.zeros(2, dtype=torch.int64), framed=True)
    same = Preprocessing(channels=1, resize=20, crop=(16, 16), scale=1)
    assert torch.equal(as_inputs(batch, same, CPU)[:, 0], torch.from_numpy(pictures).float())
    smaller = as_inputs(batch, Preprocessing(channels=1, resize=10, crop=(8, 8), scale=1), CPU)
    expected = [np.asarray(Image.fromarray(one).resize((8, 8), Image.Resampling.BILINEAR)) for one in pictures]
    np.testing.assert_array_equal(smaller[:, 0].numpy(), np.stack(expected).astype(np.float32))


@pytest.mark.parametrize(
    "changes", [{"augmentation": "flip_crop"}, {"augmentation": "flip", "augmentation_policy": "trivial_augment"}]
)
def test_views_come_in_turn_and_depend_on_the_picture_only(split: ImageSplit, changes: dict[str, Any]) -> None:
    def shown(epoch: int, **given: Any) -> dict[int, bytes]:
        batches = batches_of(split, augmentation_views=2, limit_samples=200, **changes, **given)
        drawn = [(batch.indices.tolist(), batch.pictures) for batch in batches.epoch(epoch)]
        places = [int(batches.positions[k]) for indices, _ in drawn for k in indices]
        return dict(zip(places, (one.tobytes() for _, pictures in drawn for one in pictures), strict=True))

    first = shown(0)
    assert first == shown(2)
    assert first != shown(1)
    others = shown(4, seed=5, batch_size=20)
    common = first.keys() & others.keys()
    assert common
    assert all(first[place] == others[place] for place in common)
    assert list(first) != list(shown(2))


@pytest.mark.parametrize("changes", [{}, {"augmentation": "random_resized_crop", "augmentation_views": 3}])
def test_in_order_shows_what_the_epochs_show(photographs: ImageSplit, changes: dict[str, Any]) -> None:
    small = Preprocessing(resize=16, crop=(16, 16))
    batches = batches_of(photographs, preprocessing=small, batch_size=10, **changes)
    ordered = [one for batch in batches.in_order(0, 7) for one in batch.pictures]
    assert len(ordered) == 40
    for batch in batches.epoch(0):
        for index, picture in zip(batch.indices.tolist(), batch.pictures, strict=True):
            np.testing.assert_array_equal(picture, ordered[index])


def test_views_and_mixtures_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="augmentation_views does not go with mixup"):
        TrainParams(augmentation="flip", augmentation_views=2, mixup_alpha=1)
