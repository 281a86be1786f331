"""Writes a TFLite file: tensors, constants and operators by the published schema of the format."""

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

BUILTIN = schema.BuiltinOperator
_TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int32): schema.TensorType.INT32,
}
_SMALL = 64
"""Constants of fewer values stay in float32 in a half-precision file: halving them saves nothing."""
_ALIGNMENT = 16
_VERSIONS = {BUILTIN.DEQUANTIZE: 3, BUILTIN.RESIZE_NEAREST_NEIGHBOR: 3, BUILTIN.RESIZE_BILINEAR: 3}
"""Of the operators, where what is written needs more than the first."""


class _Buffer(schema.BufferT):
    """Bytes aligned as the format asks; the generated class aligns them to one byte."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 (the generated name)
        place = None
        if self.data is not None:
            content = self.data.tobytes()
            builder.StartVector(1, len(content), _ALIGNMENT)
            builder.head = builder.head - len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            place = builder.EndVector()
        schema.BufferStart(builder)
        if place is not None:
            schema.BufferAddData(builder, place)
        return int(schema.BufferEnd(builder))


class FileWriter:
    """One graph; tensors are named by their numbers."""

    def __init__(self, *, half: bool) -> None:
        """With ``half``, weights are stored in half precision and made whole again when the file is opened."""
        self._half = half
        self._tensors: list[Any] = []
        self._buffers: list[_Buffer] = [_Buffer()]
        self._operators: list[Any] = []
        self._codes: dict[int, int] = {}
        self._constants: dict[str, int] = {}

    def tensor(self, name: str, shape: Sequence[int]) -> int:
        """A float32 value that an operator, or the caller of the model, fills."""
        return self._add(name, shape, schema.TensorType.FLOAT32, 0)

    def constant(self, name: str, array: NDArray[Any]) -> int:
        """A constant, float32 or int32; the same name gives the same tensor."""
        if name not in self._constants:
            halved = self._half and array.dtype == np.float32 and array.size >= _SMALL
            stored = np.ascontiguousarray(array.astype(np.float16) if halved else array)
            buffer = _Buffer()
            buffer.data = stored
            self._buffers.append(buffer)
            index = self._add(name, stored.shape, _TYPES[stored.dtype], len(self._buffers) - 1)
            if halved:
                whole = self.tensor(f"{name}:whole", stored.shape)
                self.operator(BUILTIN.DEQUANTIZE, [index], [whole])
                index = whole
            self._constants[name] = index
        return self._constants[name]

    def operator(self, code: int, inputs: Sequence[int], outputs: Sequence[int], options: Any = None) -> None:
        """An operator; ``options`` is its table of the schema."""
        made = schema.OperatorT()
        made.opcodeIndex = self._codes.setdefault(code, len(self._codes))
        made.inputs, made.outputs = list(inputs), list(outputs)
        if options is not None:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
            made.builtinOptions = options
        self._operators.append(made)

    def content(self, name: str, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The finished file."""
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = name, self._tensors, self._operators
        graph.inputs, graph.outputs = list(inputs), list(outputs)
        model = schema.ModelT()
        model.version, model.description = 3, "zoo-tflite"
        model.operatorCodes = [_code(code) for code in self._codes]
        model.subgraphs, model.buffers = [graph], self._buffers
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _add(self, name: str, shape: Sequence[int], kind: int, buffer: int) -> int:
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, [int(size) for size in shape], kind, buffer
        self._tensors.append(made)
        return len(self._tensors) - 1


def _code(builtin: int) -> Any:
    made = schema.OperatorCodeT()
    # Readers from before 2020 know one byte only.
    made.builtinCode, made.deprecatedBuiltinCode = builtin, min(builtin, 127)
    made.version = _VERSIONS.get(builtin, 1)
    return made
