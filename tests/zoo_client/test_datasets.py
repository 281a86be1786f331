"""Recognising data sets, with files as numpy and the usual tools write them."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo_client.datasets import describe_dataset
from zoo_client.describing import collect_files, describe_artifacts, descriptions_of_pull
from zoo_sdk.errors import InvalidInput, NotFound


def describe(folder: Path, **options: Any) -> Any:
    return describe_dataset(collect_files([folder]), **options)


def write_idx(folder: Path, split: str, labels: list[int]) -> None:
    images = struct.pack(">IIII", 0x803, len(labels), 2, 2) + bytes(4 * len(labels))
    (folder / f"{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    text = struct.pack(">II", 0x801, len(labels)) + bytes(labels)
    (folder / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(text))


def test_idx_pairs_are_recognised_by_their_names(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", [0, 1, 2])
    write_idx(tmp_path, "t10k", [3, 0])
    found = describe(tmp_path)
    assert found.format == "idx"
    assert found.classes == ("0", "1", "2", "3")
    assert found.splits["test"] == {"images": "t10k-images-idx3-ubyte.gz", "labels": "t10k-labels-idx1-ubyte.gz"}
    assert set(found.splits) == {"train", "test"}


def test_class_names_are_checked_against_the_labels(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", [0, 1, 2])
    assert describe(tmp_path, classes=["a", "b", "c"]).classes == ("a", "b", "c")
    with pytest.raises(InvalidInput, match="go up to 2"):
        describe(tmp_path, classes=["a", "b"])


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("x_train", "y_train", "x_test", "y_test"), {"train", "test"}),
        (("train_images", "train_labels", "val_images", "val_labels"), {"train", "validation"}),
        (("images", "labels"), {"digits"}),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "int64", "int32"])
def test_npz_archives_are_recognised_by_their_arrays(
    tmp_path: Path, names: tuple[str, ...], splits: set[str], dtype: str
) -> None:
    arrays = {
        name: np.arange(10, dtype=dtype) if index % 2 else np.zeros((10, 8, 8), "uint8")
        for index, name in enumerate(names)
    }
    np.savez_compressed(tmp_path / "digits.npz", **arrays)
    found = describe(tmp_path)
    assert (found.format, set(found.splits), len(found.classes)) == ("npz", splits, 10)
    first = next(iter(found.splits.values()))
    assert first["archive"] == "digits.npz"
    assert {first["images"], first["labels"]} <= set(names)


def test_labels_that_are_no_whole_numbers_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 2, 2)), labels=np.array([0.5, 1, 2]))
    with pytest.raises(InvalidInput, match="whole numbers"):
        describe(tmp_path)


def test_image_folders_give_splits_and_classes(tmp_path: Path) -> None:
    for path in ("train/cat/1.png", "train/dog/2.png", "test/cat/3.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2)).save(tmp_path / path)
    found = describe(tmp_path)
    assert found.format == "image-folder"
    assert found.classes == ("cat", "dog")
    assert found.splits == {"train": {"folder": "train"}, "test": {"folder": "test"}}


def test_what_is_no_data_set_is_refused_with_the_expected_names(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(InvalidInput, match="train-images-idx3-ubyte"):
        describe(tmp_path)
    with pytest.raises(InvalidInput, match="not named like an IDX file"):
        describe(tmp_path, format_name="idx")


def test_a_split_without_labels_is_refused(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", [0, 1])
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InvalidInput, match="has only images"):
        describe(tmp_path)


def test_files_are_collected_without_hidden_ones_and_artifacts_are_recognised(tmp_path: Path) -> None:
    for name in ("ir/model.xml", "ir/model.bin", "model.onnx", ".git/config", "notes.md", "old.pth"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    files = collect_files([tmp_path])
    assert [file.path for file in files] == ["ir/model.bin", "ir/model.xml", "model.onnx", "notes.md", "old.pth"]
    found = {artifact.format: artifact.files for artifact in describe_artifacts(files)}
    assert found == {"openvino-ir": ("ir/model.xml", "ir/model.bin"), "onnx": ("model.onnx",), "pickle": ("old.pth",)}
    assert descriptions_of_pull([tmp_path], files) == []


@pytest.mark.parametrize(("name", "kind"), [("model.jit", "torchscript"), ("model.integers", "zoo-integer")])
def test_what_quantization_exports_is_recognised(name: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("x")
    assert [artifact.format for artifact in describe_artifacts(collect_files([tmp_path]))] == [kind]


def test_missing_and_empty_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        collect_files([tmp_path / "nothing"])
    with pytest.raises(InvalidInput, match="No file in"):
        collect_files([tmp_path])
