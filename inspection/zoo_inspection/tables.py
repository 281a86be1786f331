"""Counting tensors, and telling the first of them in a table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from zoo_inspection.limits import Malformed

MAX_NAME = 200
MAX_AXES = 64
LARGEST_DIMENSION = 2**53
"""Whole numbers above it are not exact in JSON."""
ITEM_SIZES: Mapping[str, int] = MappingProxyType(
    {
        "bool": 1, "int8": 1, "uint8": 1, "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e8m0fnu": 1,
        "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1, "qint8": 1, "quint8": 1,
        "int16": 2, "uint16": 2, "float16": 2, "bfloat16": 2,
        "int32": 4, "uint32": 4, "float32": 4, "qint32": 4,
        "int64": 8, "uint64": 8, "float64": 8, "complex64": 8, "complex128": 16,
    }
)  # fmt: skip
"""Bytes of an element by dtype.  Packed dtypes (int4 ...) are not among them."""
PRECISIONS: Mapping[str, str] = MappingProxyType(
    {
        "float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "int8": "int8", "uint8": "int8", "qint8": "int8",
        "quint8": "int8", "int4": "int4", "uint4": "int4",
    }
)  # fmt: skip
"""By dtype: the word of :class:`zoo_sdk.vocabulary.Precision` for weights of it."""
TORCH_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
"""Statistics that torch keeps beside the parameters of a normalisation."""


@dataclass
class Table:
    """Rows of which the first are told and all are counted."""

    columns: tuple[str, ...]
    most: int
    count: int = 0
    rows: list[list[Any]] = field(default_factory=list)

    def add(self, *row: Any) -> None:
        """Count a row, and keep it while there is room."""
        self.count += 1
        if len(self.rows) < self.most:
            self.rows.append([value[:MAX_NAME] if isinstance(value, str) else value for value in row])

    def told(self) -> dict[str, Any]:
        """For the facts."""
        return {"count": self.count, "columns": list(self.columns), "rows": self.rows}


class Weights:
    """The tensors of a file: how many elements of which dtype, and a table."""

    def __init__(self, most: int) -> None:
        self.table = Table(("name", "dtype", "shape"), most)
        self.by_dtype: Counter[str] = Counter()
        self.parameters = 0
        self.empty = 0

    def add(self, name: str, dtype: str, shape: Sequence[int]) -> int:
        """Count a tensor; returns how many elements it has.

        Raises:
            Malformed: the shape is not made of lengths, or has too many of them.

        """
        elements = elements_of(shape)
        self.table.add(name, dtype, list(shape))
        self.by_dtype[dtype] += elements
        self.empty += elements == 0
        if not name.endswith(TORCH_BUFFERS):
            self.parameters += elements
        return elements

    def facts(self) -> dict[str, Any]:
        """``tensors``, ``parameters`` (without torch's running statistics), ``elements``, dtypes and the table."""
        facts: dict[str, Any] = {
            "tensors": self.table.count,
            "parameters": min(self.parameters, LARGEST_DIMENSION),
            "elements": min(sum(self.by_dtype.values()), LARGEST_DIMENSION),
            "dtypes": sorted(self.by_dtype)[:32],
            "weights": self.table.told(),
        }
        precision = self.precision()
        facts |= {"precision": precision} if precision else {}
        return facts | ({"empty_tensors": self.empty} if self.empty else {})

    def precision(self) -> str | None:
        """Of the dtype that most elements have."""
        if not self.by_dtype:
            return None
        return PRECISIONS.get(max(sorted(self.by_dtype), key=lambda dtype: self.by_dtype[dtype]))


def elements_of(shape: Sequence[Any]) -> int:
    """The product of a shape's lengths; raises :class:`Malformed` for anything else than a shape."""
    if len(shape) > MAX_AXES:
        raise Malformed(f"a tensor has {len(shape)} axes")
    elements = 1
    for length in shape:
        if type(length) is not int or not 0 <= length <= LARGEST_DIMENSION:
            raise Malformed("a tensor's shape is not made of lengths")
        elements *= length
    return elements


def port(name: str, dtype: str, shape: Sequence[int | None] | None, layout: str = "") -> dict[str, Any]:
    """An input or output as :class:`zoo_sdk.artifacts.TensorSpec` has it; ``shape`` None: not even its rank is told."""
    if shape is not None:
        shape = [length if length is None or 0 <= length <= LARGEST_DIMENSION else None for length in shape[:MAX_AXES]]
    return {"name": name[:MAX_NAME], "dtype": dtype, "shape": shape, "layout": layout}
