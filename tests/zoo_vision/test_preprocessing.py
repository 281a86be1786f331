"""Input tensors, bit for bit against a plain transcription of what the contract says."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.zoo_vision.samples import npz_digits
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.errors import InvalidInput
from zoo_vision.datasets import open_split
from zoo_vision.preprocessing import for_images, native_preprocessing, prepare, random_inputs, reduced, resized_to

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def transcription(image: NDArray[np.uint8], how: Preprocessing) -> NDArray[np.float32]:
    """One picture by Pillow and whole-array float32 arithmetic, step by step as the contract's docstring lists them."""
    picture = Image.fromarray(image).convert("RGB" if how.channels == 3 else "L")
    if how.resize is not None and min(picture.size) != how.resize:
        width, height = picture.size
        scaled = int(how.resize * max(width, height) / min(width, height))
        size = (how.resize, scaled) if width <= height else (scaled, how.resize)
        picture = picture.resize(size, getattr(Image.Resampling, how.interpolation.upper()))
    top, left = round((picture.height - how.crop[0]) / 2), round((picture.width - how.crop[1]) / 2)
    picture = picture.crop((left, top, left + how.crop[1], top + how.crop[0]))
    pixels = np.asarray(picture).reshape(*how.crop, how.channels)
    if how.channel_order == "bgr":
        pixels = pixels[:, :, ::-1]
    values = pixels.astype(np.float32) * np.float32(how.scale)
    mean, std = np.array(how.mean, dtype=np.float32), np.array(how.std, dtype=np.float32)
    normal = np.asarray((values - mean) / std)
    assert normal.dtype == np.float32
    return normal.transpose(2, 0, 1) if how.layout == "NCHW" else normal


@pytest.mark.parametrize("shape", [(7, 20, 24), (7, 20, 24, 3), (7, 21, 17, 3)])
@pytest.mark.parametrize(
    "how",
    [
        Preprocessing(crop=(16, 15), **IMAGENET),
        Preprocessing(crop=(16, 16), channel_order="bgr", layout="NHWC", scale=1.0, mean=(103.9, 116.8, 123.7)),
        Preprocessing(channels=1, crop=(17, 16), mean=(0.5,), std=(0.25,)),
        Preprocessing(crop=(12, 12), resize=14, interpolation="bicubic", **IMAGENET),
        Preprocessing(crop=(30, 30), resize=32, interpolation="nearest", layout="NHWC"),
    ],
)
def test_prepare_equals_a_plain_transcription_bit_for_bit(shape: tuple[int, ...], how: Preprocessing) -> None:
    images = np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)
    if how.channels == 1 and how.resize and len(shape) == 4:
        pytest.skip("colour to grey and resizing do not commute in whole numbers")
    expected = np.stack([transcription(image, how) for image in images])
    found = prepare(images, how)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, expected)


def test_pictures_of_different_sizes_and_channels_become_one_batch() -> None:
    random = np.random.default_rng(6)
    images = [random.integers(0, 256, shape, dtype=np.uint8) for shape in ((30, 20, 3), (20, 30), (25, 25, 1))]
    how = Preprocessing(resize=18, crop=(16, 16), **IMAGENET)
    found = prepare(images, how)
    expected = [transcription(image[..., 0] if image.shape[-1] == 1 else image, how) for image in images]
    np.testing.assert_array_equal(found, np.stack(expected))


def test_no_picture_gives_an_empty_batch_of_the_right_shape() -> None:
    assert prepare([], Preprocessing(crop=(4, 5))).shape == (0, 3, 4, 5)


def test_a_picture_smaller_than_the_crop_is_refused_with_both_sizes() -> None:
    with pytest.raises(InvalidInput, match="20 x 20 pixels is smaller than the model's input of 24 x 24"):
        prepare(np.zeros((1, 20, 20), np.uint8), Preprocessing(crop=(24, 24)))


def test_a_picture_with_two_channels_is_refused() -> None:
    with pytest.raises(InvalidInput, match="2 channels"):
        prepare(np.zeros((1, 4, 4, 2), np.uint8), Preprocessing(crop=(4, 4)))


def test_native_preprocessing_makes_mean_zero_and_spread_one(tmp_path: Path) -> None:
    split = open_split(npz_digits(tmp_path), "train")
    how = native_preprocessing(split)
    assert how.channels == 1
    assert how.crop == (8, 8)
    ((inputs, _),) = split.batches(how, len(split))
    assert abs(float(inputs.mean())) < 1e-3
    assert abs(float(inputs.std()) - 1) < 1e-3
    assert native_preprocessing(split) == how


def test_statistics_are_per_channel_and_a_constant_channel_is_not_divided_by_zero() -> None:
    images = np.zeros((2, 3, 3, 3), np.uint8)
    images[0, ..., 0] = 255
    images[..., 1] = 51
    how = for_images(images)
    assert how.mean == (0.5, 0.2, 0.0)
    assert how.std == (0.5, 1.0, 1.0)


def test_given_statistics_and_scale_win_over_computed_ones() -> None:
    how = for_images(np.zeros((1, 3, 4), np.uint8), scale=1.0, mean=(127.5,), std=(127.5,), layout="NHWC")
    assert (how.scale, how.mean, how.std, how.layout, how.crop) == (1.0, (127.5,), (127.5,), "NHWC", (3, 4))


def test_random_inputs_stay_in_the_range_of_real_ones_and_repeat_with_their_seed() -> None:
    how = Preprocessing(resize=256, crop=(16, 12), mean=(0.5,), std=(0.5,))
    found = random_inputs(how, 4, seed=1)
    assert found.shape == (4, 3, 16, 12)
    assert found.min() >= -1
    assert found.max() <= 1
    np.testing.assert_array_equal(found, random_inputs(how, 4, seed=1))
    assert (found != random_inputs(how, 4, seed=2)).any()


@pytest.mark.parametrize("shape", [(30, 40), (40, 30, 3), (25, 25, 1)])
def test_a_reduced_picture_is_prepared_to_the_same_input(shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    channels: Literal[1, 3] = 3 if shape[-1] == 3 else 1
    preprocessing = Preprocessing(channels=channels, resize=20, crop=(16, 16), interpolation="bicubic")
    small = reduced(picture, 20, "bicubic")
    assert min(small.shape[:2]) == 20
    assert small.ndim == picture.ndim
    np.testing.assert_array_equal(prepare([small], preprocessing), prepare([picture], preprocessing))


def test_a_picture_that_is_small_already_is_not_enlarged() -> None:
    picture = np.zeros((10, 12), dtype=np.uint8)
    assert reduced(picture, 20, "bilinear") is picture


def test_a_picture_is_resized_to_a_size_whatever_its_shape() -> None:
    picture = np.zeros((10, 20, 1), dtype=np.uint8)
    assert resized_to(picture, (7, 5), "bilinear").shape == (7, 5, 1)
    assert resized_to(picture[:, :, 0], (10, 20), "bilinear").shape == (10, 20)
