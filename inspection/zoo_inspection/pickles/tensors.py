"""The tensors that a pickle's values stand for: torch's, numpy's and OneFlow's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from zoo_inspection.limits import Budget
from zoo_inspection.pickles.values import Made, Named, Skipped, Stored, entries
from zoo_inspection.tables import ITEM_SIZES, MAX_AXES

MAX_DEPTH = 64
MAX_PATH = 200
MAX_TENSORS = 50_000
STORAGE_DTYPES: Mapping[str, str] = MappingProxyType(
    {
        "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
        "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
        "ByteStorage": "uint8", "BoolStorage": "bool", "QInt8Storage": "qint8", "QUInt8Storage": "quint8",
        "QInt32Storage": "qint32", "ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128",
    }
)  # fmt: skip
NUMPY_DTYPES: Mapping[str, str] = MappingProxyType(
    {
        "f2": "float16", "f4": "float32", "f8": "float64", "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64",
        "u1": "uint8", "u2": "uint16", "u4": "uint32", "u8": "uint64", "b1": "bool", "c8": "complex64",
        "c16": "complex128",
    }
)  # fmt: skip
CONTAINER_TYPES = (list, tuple, dict, Made)
REBUILD = "torch._utils._rebuild_"
CONTAINERS = ("state_dict", "model_state_dict", "model", "ema", "net", "network", "params", "weights", "data")
"""Under which key a checkpoint keeps its model, likeliest first."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor of a checkpoint and where its elements lie.

    ``offset`` and ``stride`` count elements of the storage ``key``; an empty key: they are in the pickle itself (short
    ones are ``content``, longer ones are told by their place), or, for OneFlow, in the folder ``folder``.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...] = ()
    offset: int = 0
    key: str = ""
    storage_elements: int = 0
    folder: str = ""
    content: bytes | Skipped | None = None

    def out_of_range(self) -> bool:
        """Whether its elements are not all inside its storage, as far as the pickle says how long that is."""
        if not self.key or 0 in self.shape:
            return False
        last = self.offset + sum((length - 1) * step for length, step in zip(self.shape, self.stride, strict=False))
        lowest = min((step for step in self.stride), default=0)
        return len(self.stride) != len(self.shape) or self.offset < 0 or lowest < 0 or last >= self.storage_elements


def tensors_of(root: Any, budget: Budget) -> Iterator[StoredTensor]:
    """Every tensor once, with the path of its keys and attributes.

    Of pickled ``nn.Module`` objects the parameters, buffers and submodules are followed as ``state_dict()`` does.
    """
    waiting = [iter([("", root)])]
    seen: set[int] = set()
    found = 0
    while waiting and found < MAX_TENSORS:
        path, value = next(waiting[-1], ("", waiting))
        budget.step()
        if value is waiting:
            waiting.pop()
            continue
        tensor = _tensor(path, value)
        if tensor is not None:
            found += 1
            yield tensor
        elif isinstance(value, CONTAINER_TYPES) and id(value) not in seen:
            seen.add(id(value))
            if len(waiting) <= MAX_DEPTH and len(path) <= MAX_PATH:
                waiting.append(_children(path, value))


def _children(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    for name, inner in _named_children(value):
        full = f"{path}.{name}" if path and name else path or name
        yield (full if isinstance(inner, CONTAINER_TYPES) else ""), inner


def _named_children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list | tuple):
        yield from ((str(number), item) for number, item in enumerate(value))
        return
    parts = [entries(value) or {}]
    if isinstance(value, Made) and isinstance(value.state, dict):
        state = value.state
        is_module = "_parameters" in state or "_modules" in state
        parts = list(_module_parts(state)) if is_module else [*parts, state]
    elif isinstance(value, Made) and value.name.endswith("_rebuild_from_type_v2") and _is_call(value, 3):
        yield "", Made(value.arguments[0], value.arguments[2])
    for part in parts:
        yield from ((str(key), item) for key, item in part.items() if isinstance(key, str | int))


def _module_parts(state: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
    yield from (entries(state.get(name)) or {} for name in ("_parameters", "_buffers", "_modules"))


def _is_call(value: Made, least: int) -> bool:
    return isinstance(value.arguments, tuple) and len(value.arguments) >= least


def _tensor(path: str, value: Any) -> StoredTensor | None:
    for _ in range(4):  # a parameter wraps a tensor
        is_wrapper = isinstance(value, Made) and value.name.startswith(f"{REBUILD}parameter") and _is_call(value, 1)
        if not is_wrapper:
            break
        value = value.arguments[0]
    if not isinstance(value, Made):
        return None
    if value.name.startswith(REBUILD) and _is_call(value, 4):
        return _torch_tensor(path, value)
    if value.name.endswith("multiarray._reconstruct"):
        return _array(path, value.state)
    if value.name.startswith("oneflow.") and isinstance(value.state, dict) and isinstance(value.state.get("path"), str):
        return StoredTensor(path, "", (), folder=value.state["path"])
    return None


def _torch_tensor(path: str, value: Made) -> StoredTensor | None:
    storage, offset, shape, stride = value.arguments[:4]
    if isinstance(storage, Made) and isinstance(storage.state, dict | tuple):
        storage = storage.state
    identity = storage.identity if isinstance(storage, Stored) else None
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
        return None
    kind, key, elements = identity[1], identity[2], identity[4]
    dtype = STORAGE_DTYPES.get(kind.name.rpartition(".")[2], "") if isinstance(kind, Named) else ""
    if not dtype and len(value.arguments) >= 7 and isinstance(value.arguments[6], Named):
        dtype = value.arguments[6].name.removeprefix("torch.")
        elements = elements // ITEM_SIZES.get(dtype, 1) if isinstance(elements, int) else elements
    shape, stride = _lengths(shape), _lengths(stride)
    if shape is None or stride is None or not isinstance(key, str | int) or not _whole(offset, elements):
        return None
    return StoredTensor(path, dtype[:40] or "unknown", shape, stride, offset, str(key), elements)


def _array(path: str, state: Any) -> StoredTensor | None:
    if not isinstance(state, tuple) or len(state) < 3 or not isinstance(state[2], Made):
        return None
    shape, kind = _lengths(state[1]), state[2].arguments
    if shape is None or not (isinstance(kind, tuple) and kind and isinstance(kind[0], str)):
        return None
    dtype = NUMPY_DTYPES.get(kind[0].lstrip("<>|="), kind[0][:40])
    order = state[2].state[1] if isinstance(state[2].state, tuple) and len(state[2].state) > 1 else "<"
    plain = len(state) > 4 and order in {"<", "|"} and isinstance(state[4], bytes | Skipped)
    stride = _strides(shape, backwards=state[3] is True) if plain else ()
    return StoredTensor(path, dtype, shape, stride, content=state[4] if plain else None)


def _strides(shape: tuple[int, ...], *, backwards: bool) -> tuple[int, ...]:
    """In elements, of an array without gaps; ``backwards``: the first axis changes fastest, as in Fortran."""
    found, step = [], 1
    for length in shape if backwards else reversed(shape):
        found.append(step)
        step *= length
    return tuple(found) if backwards else tuple(reversed(found))


def _lengths(value: Any) -> tuple[int, ...] | None:
    if isinstance(value, Made) and value.name == "torch.Size" and _is_call(value, 1):
        value = value.arguments[0]
    if not isinstance(value, tuple | list) or len(value) > MAX_AXES:
        return None
    whole = all(type(length) is int and 0 <= length < 2**53 for length in value)
    return tuple(value) if whole else None


def _whole(*values: Any) -> bool:
    return all(type(value) is int and 0 <= value < 2**63 for value in values)


def main_group(root: Any, tensors: list[StoredTensor], part: str | None = None) -> tuple[str, list[StoredTensor]]:
    """The key under which the checkpoint keeps its model ("" if it is the model), and that model's tensors.

    Their names are without that key.  ``part``: another key that is wanted.
    """
    if part is not None:
        return part, [_inside(tensor, part) for tensor in tensors if tensor.name.startswith(f"{part}.")]
    top = entries(root)
    if top is None or any(_tensor("", value) is not None for value in top.values()):
        return "", tensors
    sizes: dict[str, int] = {}
    for tensor in tensors:
        group = tensor.name.partition(".")[0]
        sizes[group] = sizes.get(group, 0) + 1
    if not sizes or (not any(name in sizes for name in CONTAINERS) and "optimizer" not in sizes and len(sizes) > 1):
        return "", tensors
    named = next((name for name in CONTAINERS if name in sizes), None)
    chosen = named or max(sorted(set(sizes) - {"optimizer"}) or sorted(sizes), key=lambda name: sizes[name])
    return chosen, [_inside(tensor, chosen) for tensor in tensors if tensor.name.startswith(f"{chosen}.")]


def _inside(tensor: StoredTensor, group: str) -> StoredTensor:
    return replace(tensor, name=tensor.name[len(group) + 1 :])
