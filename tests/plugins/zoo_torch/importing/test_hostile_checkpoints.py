"""Checkpoints that would run code, lie about their sizes, or are damaged: refused, and nothing of them is run."""

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.plugins.zoo_torch.importing.checkpoints import item_of, oneflow_files, saved
from tests.plugins.zoo_torch.samples import build, perform
from zoo_sdk.errors import InvalidInput

NET = "zoo:conv_tiny"


class Trap:
    """Makes a file as soon as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


def refused(item: Any, folder: Path, match: str, **params: Any) -> None:
    with pytest.raises(InvalidInput, match=match):
        perform("torch.import_weights", folder / "made", {"model": item}, **params)
    assert not list((folder / "made" / "outputs").rglob("*.safetensors"))


def test_code_in_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    """The weights are read all the same: what is not a tensor is not looked at."""
    sign = tmp_path / "it-was-run"
    content = {"state_dict": build(NET).state_dict(), "note": Trap(sign)}
    item = saved(tmp_path / "given", content)
    perform("torch.import_weights", tmp_path / "made", {"model": item}, architecture=NET)
    assert not sign.exists()
    refused(saved(tmp_path / "only", {"state_dict": Trap(sign)}), tmp_path / "second", "holds no tensors")
    assert not sign.exists()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
def test_a_cut_checkpoint_is_refused(tmp_path: Path, legacy: bool, share: float) -> None:
    item = saved(tmp_path / "given", build(NET).state_dict(), _use_new_zipfile_serialization=not legacy)
    content = item.main_file.read_bytes()
    item.main_file.write_bytes(content[: int(len(content) * share)])
    refused(item, tmp_path, "cannot be read as a checkpoint", architecture=NET)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02.", b"nonsense", pickle.dumps([1, 2], 2)])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pth").write_bytes(content)
    refused(item_of(tmp_path, "model.pth"), tmp_path, "cannot be read as a checkpoint|holds no tensors")


def test_a_small_file_cannot_claim_a_large_tensor(tmp_path: Path) -> None:
    item = saved(tmp_path / "given", {"weight": torch.zeros(1).expand(2**30, 2**10)})
    refused(item, tmp_path, "stores 1 of them")


def test_numbers_that_are_no_plain_numbers_are_refused(tmp_path: Path) -> None:
    item = saved(tmp_path / "given", {"weight": torch.zeros(3, dtype=torch.complex64)})
    refused(item, tmp_path, "of the dtype complex64")


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    array = np.array([Trap(tmp_path / "it-was-run")], dtype=object)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"weight": array}, protocol=4))
    refused(item_of(tmp_path, "model.pkl"), tmp_path, "not in it as plain bytes")
    assert not (tmp_path / "it-was-run").exists()


def oneflow(folder: Path, **changes: bytes | None) -> Any:
    files = oneflow_files({"fc.weight": torch.ones(2, 3)}, "B")
    files = {path: content for path, content in (files | changes).items() if content is not None}
    with zipfile.ZipFile(folder / "model.zip", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return item_of(folder, "model.zip", format_name="oneflow")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"tensor_0/out": b"short"}, "has 5 bytes, not as many as its shape says"),
        ({"tensor_0/meta": b"shape { dim: 99999999999 dim: 99999999999 } data_type: kFloat"}, "not as many"),
        ({"tensor_0/meta": b"shape { dim: -2 dim: -3 } data_type: kFloat"}, "has the shape"),
        ({"tensor_0/meta": b"shape { dim: 2 dim: 3 } data_type: kString"}, "unknown dtype"),
        ({"tensor_0/meta": b"nothing"}, "no readable description"),
        ({"tensor_0/out": None, "other/out": b""}, "no readable description, or no bytes"),
        ({"pickled_data": b"\x80\x04nonsense"}, "cannot be read whole"),
    ],
)
def test_a_oneflow_checkpoint_that_lies_is_refused(
    tmp_path: Path, changes: dict[str, bytes | None], match: str
) -> None:
    refused(oneflow(tmp_path, **changes), tmp_path, match)


def test_a_oneflow_checkpoint_cannot_read_beside_its_folder(tmp_path: Path) -> None:
    files = oneflow_files({"fc.weight": torch.ones(2, 3)}, "B")
    hostile = files["pickled_data"].replace(b"\x8c\x08tensor_0", b"\x8c\x08../../et")
    assert hostile != files["pickled_data"]
    refused(oneflow(tmp_path, pickled_data=hostile), tmp_path, "its pickle is a trap")


def test_a_damaged_safetensors_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    refused(item_of(tmp_path, "model.safetensors", format_name="safetensors"), tmp_path, "not a readable safetensors")
