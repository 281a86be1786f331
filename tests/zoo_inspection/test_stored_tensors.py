"""Tensors of checkpoints, one by one: the values are those that loading would give, and nothing is loaded."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.zoo_inspection import samples
from zoo_inspection.limits import Malformed
from zoo_inspection.stored_tensors import ReadableTensor, open_checkpoint


def values(tensor: ReadableTensor) -> np.ndarray:
    """As numpy sees its elements."""
    dtype = np.dtype(tensor.dtype).newbyteorder("<")
    span = 1 + sum((length - 1) * step for length, step in zip(tensor.shape, tensor.stride, strict=True))
    flat = np.frombuffer(tensor.read(tensor.offset * dtype.itemsize, span * dtype.itemsize), dtype)
    strides = [step * dtype.itemsize for step in tensor.stride]
    return np.lib.stride_tricks.as_strided(flat, tensor.shape, strides)


def written(folder: Path, content: bytes) -> dict[str, Path]:
    (folder / "model").write_bytes(content)
    return {"model": folder / "model"}


@pytest.mark.parametrize("size", [3, 200])
def test_arrays_in_a_pickle_are_read_whatever_their_order_in_memory(tmp_path: Path, size: int):
    given = np.arange(2 * size * 4, dtype=np.float32).reshape(2, size, 4)
    arrays = {"rows": given, "columns": np.asfortranarray(given), "counts": np.arange(5)}
    found = open_checkpoint(written(tmp_path, pickle.dumps(arrays, protocol=4)))
    assert found.layout == "pickle of arrays"
    for tensor in found.tensors:
        np.testing.assert_array_equal(values(tensor), arrays[tensor.name])


def test_big_endian_arrays_are_refused(tmp_path: Path):
    content = pickle.dumps({"weight": np.arange(4, dtype=">f4")}, protocol=4)
    with pytest.raises(Malformed, match="not in it as plain bytes"):
        open_checkpoint(written(tmp_path, content))


@pytest.mark.parametrize("name", ["state.pth", "legacy.pth", "best.pth.tar"])
def test_the_values_are_those_that_torch_loads(torch_files: dict[str, Path], name: str):
    import torch

    loaded = torch.load(torch_files[name], weights_only=True)
    state = loaded.get("state_dict", loaded)
    found = open_checkpoint({name: torch_files[name]}).tensors
    assert {tensor.name for tensor in found} == set(state)
    for tensor in found:
        np.testing.assert_array_equal(values(tensor), state[tensor.name].numpy())


def test_a_part_is_read_by_its_key(torch_files: dict[str, Path]):
    path = torch_files["yolov5.pt"]
    assert len(open_checkpoint({"yolov5.pt": path}, part="model").tensors) == 9
    assert not open_checkpoint({"yolov5.pt": path}, part="ema").tensors


@pytest.mark.parametrize(("layout", "name"), [("A", "fc.weight"), ("B", "fc.weight"), ("D", "m.fc.weight")])
def test_oneflow_is_read_from_its_zip(tmp_path: Path, layout: str, name: str):
    (tensor,) = open_checkpoint(written(tmp_path, samples.oneflow_zip(layout))).tensors
    assert (tensor.name, tensor.dtype, tensor.shape) == (name, "float32", (2, 3))
    assert tensor.read(0, 24) == bytes(24)


def test_a_single_pickle_of_oneflow_names_its_tensors_as_the_network_does(tmp_path: Path):
    (tensor,) = open_checkpoint(written(tmp_path, samples.oneflow_single())).tensors
    assert tensor.name == "fc.weight"
    np.testing.assert_array_equal(values(tensor), np.ones((2, 3)))


def test_an_archive_of_something_else_is_no_checkpoint(tmp_path: Path):
    with pytest.raises(Malformed, match="it is no checkpoint"):
        open_checkpoint(written(tmp_path, samples.zip_of({"readme.txt": b"hello"})))
