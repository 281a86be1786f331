"""Splits of IDX, npz and image-folder data sets, and what is refused."""

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.zoo_vision.samples import DIGITS, PREPROCESSING, digits, idx_digits, npz_digits
from zoo_sdk.artifacts import DatasetDescription, Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_vision import folders
from zoo_vision.datasets import ArrayPictures, ImageSplit, open_split
from zoo_vision.preprocessing import native_preprocessing


def folder_item(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), prefix: str = "train") -> InputItem:
    description = DatasetDescription(format="image-folder", classes=classes, splits={"train": {"folder": prefix}})
    return InputItem(reference="data/pets@1", folder=folder, dataset=description)


def write_picture(path: Path, size: tuple[int, int] = (6, 4), colour: tuple[int, int, int] = (10, 20, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_plain_or_gzipped_give_the_same_digits(tmp_path: Path, suffix: str) -> None:
    split = open_split(idx_digits(tmp_path, suffix), "all")
    images, labels = digits()
    assert len(split) == 1797
    assert split.sample_shape == (8, 8, 1)
    assert split.labels.dtype == np.int64
    np.testing.assert_array_equal(split.images, images)
    np.testing.assert_array_equal(split.labels, labels)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_truncated_idx_file_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    item = idx_digits(tmp_path, suffix)
    file = tmp_path / f"images-idx3-ubyte{suffix}"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(InvalidInput, match=r"images-idx3-ubyte.*(holds at most|truncated|ends after)"):
        open_split(item, "all")


def test_bytes_after_the_end_of_an_idx_file_are_refused(tmp_path: Path) -> None:
    item = idx_digits(tmp_path)
    file = tmp_path / "labels-idx1-ubyte"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(InvalidInput, match="goes on after the 1,797 bytes"):
        open_split(item, "all")


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        (b"PK\x03\x04", "begins with 504b0304"),
        (b"", "begins with nothing"),
        (struct.pack(">BBBB", 0, 0, 0x0D, 3), "not an IDX header of integers"),
        (struct.pack(">BBBBI", 0, 0, 8, 1, 5), "has 1 dimensions where 3 or 4"),
        (struct.pack(">BBBBI", 0, 0, 8, 3, 5), "ends inside its header"),
    ],
)
def test_a_wrong_idx_header_is_refused_with_what_it_holds(tmp_path: Path, header: bytes, fault: str) -> None:
    item = idx_digits(tmp_path)
    (tmp_path / "images-idx3-ubyte").write_bytes(header)
    with pytest.raises(InvalidInput, match=fault):
        open_split(item, "all")


@pytest.mark.parametrize("packed", [False, True])
def test_an_idx_header_that_claims_a_huge_array_is_refused_without_reading_it(tmp_path: Path, packed: bool) -> None:
    item = idx_digits(tmp_path)
    content = struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1)
    (tmp_path / "images-idx3-ubyte").write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(InvalidInput, match="claims 4294967295 x 4294967295 x 4294967295 values"):
        open_split(item, "all")


def test_gzip_data_with_a_damaged_body_is_refused(tmp_path: Path) -> None:
    item = idx_digits(tmp_path, ".gz")
    file = tmp_path / "images-idx3-ubyte.gz"
    content = bytearray(file.read_bytes())
    content[2000:2040] = bytes(40)
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match="damaged or truncated gzip data"):
        open_split(item, "all")
    assert zlib.crc32(content)  # the file is still there: nothing was repaired or removed


def test_an_npz_data_set_gives_batches_in_the_models_layout(tmp_path: Path) -> None:
    split = open_split(npz_digits(tmp_path), "test")
    batches = list(split.batches(PREPROCESSING, 128))
    assert [len(labels) for _, labels in batches] == [128, 128, 128, 116]
    assert batches[0][0].shape == (128, 1, 8, 8)
    assert batches[0][0].dtype == np.float32
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), split.labels)


def test_batches_obey_limit_indices_and_label_offset(tmp_path: Path) -> None:
    split = open_split(npz_digits(tmp_path), "test")
    shifted = PREPROCESSING.model_copy(update={"label_offset": 1})
    ((inputs, labels),) = split.batches(shifted, 10, limit=2, indices=[7, 3, 1])
    np.testing.assert_array_equal(labels, split.labels[[7, 3]] + 1)
    assert inputs.shape == (2, 1, 8, 8)


def test_random_indices_are_the_same_for_the_same_seed_and_never_repeat(tmp_path: Path) -> None:
    split = open_split(npz_digits(tmp_path), "test")
    first = split.random_indices(50, seed=3)
    np.testing.assert_array_equal(first, split.random_indices(50, seed=3))
    assert len(set(first.tolist())) == 50
    assert first.tolist() != split.random_indices(50, seed=4).tolist()
    assert len(split.random_indices(10_000, seed=3)) == len(split)


def test_an_npz_with_a_pickled_object_array_is_refused_and_not_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    item = npz_digits(tmp_path, test_images=np.array([Bomb()], dtype=object))
    with pytest.raises(InvalidInput, match="pickled Python objects, which Zoo never loads"):
        open_split(item, "test")
    assert not (tmp_path / "exploded").exists()


def test_an_npz_header_that_claims_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    import zipfile

    item = npz_digits(tmp_path)
    claim = b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 8, 8), }"
    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(claim) + 1) + claim + b"\n"
    with zipfile.ZipFile(tmp_path / "digits.npz", "w") as archive:
        archive.writestr("test_images.npy", header + bytes(64))
    with pytest.raises(InvalidInput, match=r"claims the shape \(99999999999, 8, 8\)"):
        open_split(item, "test")


def test_a_file_that_is_no_npz_archive_is_refused(tmp_path: Path) -> None:
    item = npz_digits(tmp_path)
    (tmp_path / "digits.npz").write_bytes(b"not an archive")
    with pytest.raises(InvalidInput, match=r"digits.npz.*cannot be read"):
        open_split(item, "test")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"test_images": np.zeros((500, 8, 8), np.float32)}, "images are float32, not uint8"),
        ({"test_images": np.zeros((500, 8, 8, 4), np.uint8)}, r"shape \(500, 8, 8, 4\)"),
        ({"test_images": np.zeros((499, 8, 8), np.uint8)}, "499 images, but 500 labels"),
        ({"test_labels": np.zeros((500, 2), np.int64)}, r"of the shape \(500, 2\)"),
        ({"test_labels": np.full(500, 10)}, "labels run from 10 to 10, but there are 10 classes"),
        ({"test_labels": np.full(500, -1)}, "labels run from -1 to -1"),
        ({"test_labels": np.zeros(500, np.float64)}, "labels are float64"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    item = npz_digits(tmp_path, **changes)
    with pytest.raises(InvalidInput, match=fault):
        open_split(item, "test")


def test_an_unknown_split_or_array_names_those_that_exist(tmp_path: Path) -> None:
    item = npz_digits(tmp_path)
    with pytest.raises(UnknownName, match="Did you mean test"):
        open_split(item, "tests")
    assert item.dataset
    splits = {"test": {"archive": "digits.npz", "images": "test_imagse", "labels": "test_labels"}}
    wrong = item.model_copy(update={"dataset": item.dataset.model_copy(update={"splits": splits})})
    with pytest.raises(UnknownName, match="test_images"):
        open_split(wrong, "test")


def test_a_file_name_that_leaves_the_version_is_refused(tmp_path: Path) -> None:
    item = npz_digits(tmp_path / "inside")
    (tmp_path / "inside" / "digits.npz").rename(tmp_path / "digits.npz")
    assert item.dataset
    splits = {"test": {"archive": "../digits.npz", "images": "test_images", "labels": "test_labels"}}
    escaping = item.model_copy(update={"dataset": item.dataset.model_copy(update={"splits": splits})})
    with pytest.raises(InvalidInput, match=r"holds the segment '\.\.'"):
        open_split(escaping, "test")


def test_a_missing_file_and_a_missing_part_are_named(tmp_path: Path) -> None:
    item = idx_digits(tmp_path)
    (tmp_path / "labels-idx1-ubyte").unlink()
    with pytest.raises(InvalidInput, match="no file 'labels-idx1-ubyte'"):
        open_split(item, "all")
    description = DatasetDescription(format="idx", classes=DIGITS, splits={"all": {"images": "images-idx3-ubyte"}})
    with pytest.raises(InvalidInput, match=r"splits\.all\.labels"):
        open_split(item.model_copy(update={"dataset": description}), "all")


def test_an_image_folder_takes_its_labels_from_the_order_of_the_classes(tmp_path: Path) -> None:
    write_picture(tmp_path / "train/dog/b.png", colour=(1, 2, 3))
    write_picture(tmp_path / "train/cat/a.jpg", colour=(200, 100, 50))
    Image.new("L", (6, 4), 77).save(tmp_path / "train/dog/grey.png")
    split = open_split(folder_item(tmp_path, classes=("dog", "cat", "fish")), "train")
    assert split.labels.tolist() == [0, 0, 1]
    assert split[0].shape == (4, 6, 3)
    assert split[0][0, 0].tolist() == [1, 2, 3]
    assert split[1].shape == (4, 6)
    assert split.sample_shape == (4, 6, 3)


def test_images_of_one_size_are_one_array_and_those_of_mixed_sizes_say_how_to_read_them(tmp_path: Path) -> None:
    write_picture(tmp_path / "train/cat/a.png")
    write_picture(tmp_path / "train/dog/b.png")
    assert open_split(folder_item(tmp_path), "train").images.shape == (2, 4, 6, 3)
    write_picture(tmp_path / "train/dog/c.png", size=(9, 9))
    split = open_split(folder_item(tmp_path), "train")
    assert split.sample_shape == (None, None, 3)
    with pytest.raises(InvalidInput, match="2 different shapes"):
        _ = split.images
    ((inputs, _),) = split.batches(Preprocessing(resize=4, crop=(4, 4)), 8)
    assert inputs.shape == (3, 3, 4, 4)


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / "train/cat/a.png", size=(40, 40))
    split = open_split(folder_item(tmp_path), "train")
    monkeypatch.setattr(folders, "MAX_PIXELS", 1000)
    with pytest.raises(InvalidInput, match=r"cat/a.png claims 40 x 40 pixels, more than the limit of 1,000"):
        _ = split[0]


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (tmp_path / "train/cat").mkdir(parents=True)
    (tmp_path / "train/cat/bomb.png").write_bytes(bomb)
    split = open_split(folder_item(tmp_path), "train")
    with pytest.raises(InvalidInput, match=r"cat/bomb.png"):
        _ = split[0]


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_picture_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train/cat").mkdir(parents=True)
    (tmp_path / "train/cat/a.png").write_bytes(content)
    split = open_split(folder_item(tmp_path), "train")
    with pytest.raises(InvalidInput, match=r"cat/a.png cannot be opened"):
        _ = split[0]


def test_a_picture_that_ends_early_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "train/cat/a.png"
    write_picture(file, size=(300, 300))
    file.write_bytes(file.read_bytes()[:-200])
    split = open_split(folder_item(tmp_path), "train")
    with pytest.raises(InvalidInput, match=r"cat/a.png cannot be decoded"):
        _ = split[0]


def test_a_folder_that_is_no_class_and_a_file_that_is_no_picture_are_refused(tmp_path: Path) -> None:
    write_picture(tmp_path / "train/cat/a.png")
    write_picture(tmp_path / "train/bird/a.png")
    with pytest.raises(InvalidInput, match="holds bird"):
        open_split(folder_item(tmp_path), "train")
    (tmp_path / "train/bird/a.png").unlink()
    (tmp_path / "train/bird").rmdir()
    (tmp_path / "train/cat/notes.txt").write_text("hello")
    with pytest.raises(InvalidInput, match=r"cat/notes.txt is not a picture"):
        open_split(folder_item(tmp_path), "train")


def test_an_empty_or_missing_image_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no folder 'train'"):
        open_split(folder_item(tmp_path), "train")
    (tmp_path / "train/cat").mkdir(parents=True)
    with pytest.raises(InvalidInput, match="holds no picture"):
        open_split(folder_item(tmp_path), "train")


def test_a_model_given_as_a_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="demo/net@1 is not a data set"):
        open_split(InputItem(reference="demo/net@1", folder=tmp_path), "train")


def test_a_limit_takes_samples_of_every_class_of_a_sorted_split(tmp_path: Path) -> None:
    split = open_split(npz_digits(tmp_path), "test")
    order = np.argsort(split.labels, kind="stable")
    by_class = ImageSplit(ArrayPictures(split.images[order]), split.labels[order], split.classes, "test")
    labels = np.concatenate([part for _, part in by_class.batches(native_preprocessing(split), 16, limit=40)])
    assert len(labels) == 40
    assert set(labels) == set(range(10))


def test_a_folder_is_looked_through_only_until_its_pictures_are_known_to_differ(tmp_path: Path) -> None:
    for number in range(10):
        folder = tmp_path / "cat"
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (10 + number, 20 + number)).save(folder / f"{number}.png")
    (tmp_path / "cat" / "5.png").write_bytes(b"damaged, but never looked at")
    source, _ = folders.list_pictures(tmp_path, ["cat"])
    assert source.shapes() == {(20, 10, 3), (21, 11, 3)}
    assert source.shapes() is source.shapes()
