"""Reads checkpoints as tensors: from the places that the inspection finds, so that no pickle is ever loaded."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from zoo_inspection.limits import LimitReached, Malformed
from zoo_inspection.stored_tensors import ReadableCheckpoint, ReadableTensor, open_checkpoint
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput
from zoo_torch.networks.weights import plain_names

DTYPES = MappingProxyType(
    {
        "float32": torch.float32, "float64": torch.float64, "float16": torch.float16, "bfloat16": torch.bfloat16,
        "int64": torch.int64, "int32": torch.int32, "int16": torch.int16, "int8": torch.int8, "uint8": torch.uint8,
        "bool": torch.bool,
    }
)  # fmt: skip
AVERAGED = ("state_dict_ema", "model_ema", "ema")
"""Where trainings keep the moving average of the weights, which is what they evaluate."""
MAX_REPETITION = 4
"""A tensor whose elements repeat those of its storage more often would take far more memory than its file has."""


@dataclass(frozen=True)
class ReadWeights:
    """Tensors by name on the CPU, without the prefixes of wrappers; where they were: ``layout`` in words, ``part``."""

    layout: str
    part: str | None
    state: dict[str, Tensor]


def read_checkpoint(item: InputItem, *, part: str | None = None) -> ReadWeights:
    """Read the weights of a checkpoint.

    Args:
        item: an artifact of the format ``pickle``, ``oneflow`` or ``safetensors``.
        part: the key of the checkpoint under which they are; None: their moving average if there is one of the same
            names, else the likeliest.

    Raises:
        InvalidInput: no checkpoint, damaged, without such a part, or with tensors that cannot be read as plain bytes.

    """
    artifact = item.artifact
    if artifact is None:
        raise InvalidInput(f"{item.reference} is a data set; this input takes weights.")
    if artifact.format == "safetensors":
        return ReadWeights("safetensors", None, _read_safetensors(item))
    with _damage_is_said(item, artifact):
        files = {path: item.folder / path for path in artifact.files}
        checkpoint = open_checkpoint(files, part=part)
        _check_found(checkpoint, item, part)
        if part is None and artifact.format == "pickle":
            part, checkpoint = _averaged(files, checkpoint)
        state = {tensor.name: _read(tensor) for tensor in checkpoint.tensors}
    return ReadWeights(checkpoint.layout, part, plain_names(state))


def _averaged(files: Mapping[str, Path], usual: ReadableCheckpoint) -> tuple[str | None, ReadableCheckpoint]:
    """The moving average of the same weights and its key, if the checkpoint has one."""
    names = plain_names({tensor.name: tensor for tensor in usual.tensors}).keys()
    for key in AVERAGED:
        found = open_checkpoint(files, part=key)
        if found.tensors and plain_names({tensor.name: tensor for tensor in found.tensors}).keys() == names:
            return key, found
    return None, usual


def _read_safetensors(item: InputItem) -> dict[str, Tensor]:
    try:
        return plain_names(load_file(item.main_file))
    except (SafetensorError, OSError) as error:
        raise InvalidInput(f"{item.reference} is not a readable safetensors file: {error}.") from error


@contextmanager
def _damage_is_said(item: InputItem, artifact: ArtifactDescription) -> Iterator[None]:
    try:
        yield
    except (Malformed, LimitReached, OSError) as error:
        raise InvalidInput(
            f"{item.reference}: {artifact.files[0]} cannot be read as a checkpoint: {error}.",
            hint="Look at it with `zoo inspect`. If it is whole, save its state_dict as safetensors and push that.",
        ) from error


def _check_found(checkpoint: ReadableCheckpoint, item: InputItem, part: str | None) -> None:
    if checkpoint.tensors:
        return
    where = f" under the key {part!r}" if part else ""
    raise InvalidInput(
        f"{item.reference} holds no tensors{where}.",
        hint="`zoo inspect` lists what it holds; the parameter `part` names the key of the weights.",
        facts={"field": "part"},
    )


def _read(tensor: ReadableTensor) -> Tensor:
    """One tensor, contiguous; raises :class:`Malformed`."""
    dtype = DTYPES.get(tensor.dtype)
    if dtype is None:
        raise Malformed(f"the tensor {tensor.name[:100]!r} is of the dtype {tensor.dtype}, which is no plain number")
    count = prod(tensor.shape)
    if count == 0:
        return torch.empty(tensor.shape, dtype=dtype)
    steps = zip(tensor.shape, tensor.stride, strict=True)
    span = 1 + sum((length - 1) * step for length, step in steps)
    if count > MAX_REPETITION * span:
        raise Malformed(f"the tensor {tensor.name[:100]!r} has {count} elements and stores {span} of them")
    content = tensor.read(tensor.offset * dtype.itemsize, span * dtype.itemsize)
    if len(content) != span * dtype.itemsize:
        raise Malformed(f"the tensor {tensor.name[:100]!r} is cut: {len(content)} bytes of {span * dtype.itemsize}")
    flat = torch.frombuffer(bytearray(content), dtype=dtype)
    return flat.as_strided(tensor.shape, tensor.stride).contiguous()
