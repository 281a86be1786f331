"""Checkpoints as other people write them, as inputs of the import."""

import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.plugins.zoo_torch.samples import PREPROCESSING
from zoo_sdk.artifacts import ArtifactDescription, Preprocessing
from zoo_sdk.context import InputItem

ONEFLOW_TYPES = {torch.float32: "kFloat", torch.int64: "kInt64"}


def item_of(
    folder: Path, *paths: str, format_name: str = "pickle", preprocessing: Preprocessing | None = PREPROCESSING
) -> InputItem:
    artifact = ArtifactDescription(format=format_name, files=paths, preprocessing=preprocessing)
    return InputItem(reference="others/checkpoint@1", folder=folder, artifact=artifact)


def saved(folder: Path, content: object, name: str = "model.pth", **options: Any) -> InputItem:
    """What ``torch.save`` writes."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(content, folder / name, **options)
    return item_of(folder, name)


@contextmanager
def yolo_classes(network: type[nn.Module]) -> Iterator[None]:
    """While it lasts, the class pickles as YOLOv5's does, whose modules are nowhere to be imported from later."""
    module = ModuleType("models.yolo")
    module.Model = network  # type: ignore[attr-defined]
    before = (network.__module__, network.__qualname__, network.__name__)
    sys.modules.update({"models": ModuleType("models"), "models.yolo": module})
    network.__module__, network.__qualname__, network.__name__ = "models.yolo", "Model", "Model"
    try:
        yield
    finally:
        network.__module__, network.__qualname__, network.__name__ = before
        del sys.modules["models"], sys.modules["models.yolo"]


class _OneFlowTensor:
    """Pickles as OneFlow's tensors do: a class that is not here, and the folder of the numbers."""

    def __init__(self, **state: Any) -> None:
        self.__dict__.update(state)


_OneFlowTensor.__module__, _OneFlowTensor.__qualname__, _OneFlowTensor.__name__ = "oneflow", "Tensor", "Tensor"


def _oneflow_pickle(content: object) -> bytes:
    module = ModuleType("oneflow")
    module.Tensor = _OneFlowTensor  # type: ignore[attr-defined]
    sys.modules["oneflow"] = module
    try:
        return pickle.dumps(content, protocol=4)
    finally:
        del sys.modules["oneflow"]


def oneflow_files(state: Mapping[str, Tensor], layout: str) -> dict[str, bytes]:
    """A checkpoint of OneFlow by its files: A (0.5), B (0.6 to 0.9) or C (1.0, one file)."""
    if layout == "C":
        values = {name: {"data": value.numpy(), "dtype": "float32", "device": "cpu"} for name, value in state.items()}
        return {"model": _oneflow_pickle({"protocol_version": 1, "__oneflow__": None, "data": values})}
    folders = {name: name if layout == "A" else f"tensor_{number}" for number, name in enumerate(state)}
    files = {"snapshot_done": b""} if layout == "A" else {}
    for name, value in state.items():
        shape = "".join(f"  dim: {length}\n" for length in value.shape)
        files[f"{folders[name]}/meta"] = f"shape {{\n{shape}}}\ndata_type: {ONEFLOW_TYPES[value.dtype]}\n".encode()
        files[f"{folders[name]}/out"] = np.ascontiguousarray(value.numpy()).tobytes()
    if layout == "B":
        tensors = OrderedDict((name, _OneFlowTensor(path=folder)) for name, folder in folders.items())
        files = {"pickled_data": _oneflow_pickle({"protocol_version": 1, "data": tensors})} | files
    return files


def oneflow_item(folder: Path, state: Mapping[str, Tensor], layout: str, *, packed: bool) -> InputItem:
    """The same as an input: a zip (compressed, as people make them) or the files themselves."""
    folder.mkdir(parents=True, exist_ok=True)
    files = oneflow_files(state, layout)
    if packed:
        with zipfile.ZipFile(folder / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in files.items():
                archive.writestr(f"model/{path}", content)
        return item_of(folder, "model.zip", format_name="oneflow")
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return item_of(folder, *files, format_name="oneflow")
