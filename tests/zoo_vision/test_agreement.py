"""A model and a data set that do not fit are refused before the work starts."""

from pathlib import Path

import numpy as np
import pytest

from tests.zoo_vision.samples import PREPROCESSING, npz_digits, onnx_item
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.errors import InvalidInput
from zoo_vision.agreement import check_classes_fit, check_input_fits, check_pictures_fit, preprocessing_of
from zoo_vision.datasets import open_split


def test_a_model_without_preprocessing_says_what_to_push(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="Push the version again with `preprocessing`"):
        preprocessing_of(onnx_item(tmp_path / "m.onnx", preprocessing=None))


@pytest.mark.parametrize("shape", [(None, 3, 8, 8), (1, 1, 8, 9), (None, 8, 8, 1), (None, 64)])
def test_an_input_of_another_shape_than_the_preprocessing_makes_is_refused(shape: tuple[int | None, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"its preprocessing makes \(\?, 1, 8, 8\)"):
        check_input_fits("demo/net@1", PREPROCESSING, shape)


@pytest.mark.parametrize("shape", [(None, 1, 8, 8), (4, 1, None, None), (None, None, None, None)])
def test_dynamic_dimensions_fit_anything(shape: tuple[int | None, ...]) -> None:
    check_input_fits("demo/net@1", PREPROCESSING, shape)


def test_another_number_of_classes_is_refused_with_both_numbers(tmp_path: Path) -> None:
    split = open_split(npz_digits(tmp_path), "test")
    check_classes_fit("demo/net@1", split, PREPROCESSING, 10)
    check_classes_fit("demo/net@1", split, PREPROCESSING, None)
    with pytest.raises(InvalidInput, match="has 7 outputs, but the data set has 10 classes"):
        check_classes_fit("demo/net@1", split, PREPROCESSING, 7)
    shifted = PREPROCESSING.model_copy(update={"label_offset": 1})
    check_classes_fit("demo/net@1", split, shifted, 11)
    with pytest.raises(InvalidInput, match="a label offset of 1"):
        check_classes_fit("demo/net@1", split, shifted, 10)


def test_colour_pictures_are_refused_by_a_grey_model_and_grey_ones_taken_by_a_colour_model(tmp_path: Path) -> None:
    coloured = open_split(npz_digits(tmp_path / "c", test_images=np.zeros((500, 8, 8, 3), np.uint8)), "test")
    with pytest.raises(InvalidInput, match="colour pictures, but the model takes one grey channel"):
        check_pictures_fit(coloured, PREPROCESSING)
    check_pictures_fit(open_split(npz_digits(tmp_path / "g"), "test"), Preprocessing(channels=3, crop=(8, 8)))


def test_pictures_smaller_than_the_crop_are_refused_unless_resized(tmp_path: Path) -> None:
    split = open_split(npz_digits(tmp_path), "test")
    with pytest.raises(InvalidInput, match="8 x 8 pixels, but the model takes 16 x 16"):
        check_pictures_fit(split, Preprocessing(channels=1, crop=(16, 16)))
    check_pictures_fit(split, Preprocessing(channels=1, crop=(16, 16), resize=16))
