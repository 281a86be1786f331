"""TensorFlow Lite: a flatbuffer, of which tables and vectors are followed within bounds; buffers are passed over."""

import struct
from typing import Any

from zoo_inspection.findings import Report
from zoo_inspection.limits import LimitReached, Malformed
from zoo_inspection.reading import Section
from zoo_inspection.tables import Table, Weights, port

MAGIC = b"TFL3"
DTYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "string", 6: "bool", 7: "int16", 8: "complex64",
    9: "int8", 10: "float64", 11: "complex128", 12: "uint64", 13: "resource", 14: "variant", 15: "uint32", 16: "uint16",
    17: "int4", 18: "bfloat16",
}  # fmt: skip
CUSTOM = 32
"""``BuiltinOperator.CUSTOM``."""
NAMES = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE",
    9: "FULLY_CONNECTED", 14: "LOGISTIC", 17: "MAX_POOL_2D", 18: "MUL", 19: "RELU", 21: "RELU6", 22: "RESHAPE",
    23: "RESIZE_BILINEAR", 25: "SOFTMAX", 28: "TANH", 34: "PAD", 39: "TRANSPOSE", 40: "MEAN", 41: "SUB", 42: "DIV",
    43: "SQUEEZE", 45: "STRIDED_SLICE", 47: "EXP", 53: "CAST", 54: "PRELU", 67: "TRANSPOSE_CONV", 77: "SHAPE",
    83: "PACK", 97: "RESIZE_NEAREST_NEIGHBOR", 98: "LEAKY_RELU", 99: "SQUARED_DIFFERENCE", 114: "QUANTIZE",
    117: "HARD_SWISH", 118: "IF", 119: "WHILE", 129: "CALL_ONCE", 142: "VAR_HANDLE", 150: "GELU",
}  # fmt: skip
NEWEST_OPERATOR = 210
NEWEST_SCHEMA = 3
MAX_GRAPHS = 1000
MAX_AXES = 64
MAX_LIST = 200_000


class _Box:
    """A table of the flatbuffer."""

    __slots__ = ("fields", "layout", "position", "section")

    def __init__(self, section: Section, position: int) -> None:
        self.section = section
        self.position = position
        self.layout = position - section.i32(position)
        section.budget.step()
        self.fields = (section.u16(self.layout) - 4) // 2

    def _at(self, index: int) -> int | None:
        offset = self.section.u16(self.layout + 4 + 2 * index) if index < self.fields else 0
        return self.position + offset if offset else None

    def number(self, index: int, default: int = 0, form: str = "<i") -> int:
        at = self._at(index)
        return default if at is None else int(struct.unpack(form, self.section.at(at, struct.calcsize(form)))[0])

    def _follow(self, index: int) -> int | None:
        at = self._at(index)
        return None if at is None else at + self.section.u32(at)

    def text(self, index: int) -> str:
        at = self._follow(index)
        if at is None:
            return ""
        return self.section.at(at + 4, min(self.section.u32(at), 200)).decode("utf-8", "replace")

    def length(self, index: int) -> int:
        at = self._follow(index)
        return 0 if at is None else self.section.u32(at)

    def numbers(self, index: int, most: int) -> list[int]:
        at = self._follow(index)
        if at is None:
            return []
        count = self.section.u32(at)
        if count > most:
            raise Malformed(f"a list has {count} entries")
        return list(struct.unpack(f"<{count}i", self.section.at(at + 4, 4 * count)))

    def boxes(self, index: int) -> list["_Box"]:
        at = self._follow(index)
        if at is None:
            return []
        count = self.section.u32(at)
        if at + 4 + 4 * count > self.section.size:
            raise Malformed(f"a list of {count} entries is beyond the end; it may be cut")
        if count > MAX_LIST:
            raise LimitReached(f"a list has {count} entries")
        found = []
        for number in range(count):
            place = at + 4 + 4 * number
            found.append(_Box(self.section, place + self.section.u32(place)))
        return found


def looks_like(section: Section) -> bool:
    """The file identifier of the flatbuffer."""
    return section.head(8)[4:8] == MAGIC


def inspect_tflite(section: Section, report: Report) -> None:
    """Model: 0 version, 1 operator_codes, 2 subgraphs, 3 description, 4 buffers, 6 metadata, 7 signature_defs."""
    model = _Box(section, section.u32(0))
    codes = [_operator(box) for box in model.boxes(1)]
    sizes = [_buffer_size(box, section) for box in model.boxes(4)]
    graphs = model.boxes(2)
    if not graphs or len(graphs) > MAX_GRAPHS:
        raise Malformed(f"it has {len(graphs)} graphs")
    rows = section.budget.limits.rows
    layers, weights = Table(("name", "type"), rows), Weights(rows)
    for index, graph in enumerate(graphs):
        tensors = graph.boxes(0)
        _tell_tensors(tensors, sizes, weights)
        for operator in graph.boxes(3):
            code = operator.number(0, form="<I")
            if code >= len(codes):
                raise Malformed("an operator is of no kind")
            layers.add("", codes[code])
        if index == 0:
            report.facts["inputs"] = [_port(tensors, number) for number in graph.numbers(1, 64)]
            report.facts["outputs"] = [_port(tensors, number) for number in graph.numbers(2, 64)]
    report.format = "tflite"
    schema = model.number(0, form="<I")
    report.facts |= {
        "schema_version": schema,
        "producer": model.text(3),
        "layers": layers.told(),
        "subgraphs": len(graphs),
    }
    report.facts["operators"] = sorted(set(codes))[:300]
    report.facts |= weights.facts()
    _judge(codes, schema, report)


def _judge(codes: list[str], schema: int, report: Report) -> None:
    for name in sorted({code for code in codes if code.startswith(("custom ", "unknown "))})[:32]:
        report.suspicious(f"It needs the {name[:80]} operator, which comes as a library.")
    if schema != NEWEST_SCHEMA:
        report.suspicious(f"Its schema version {schema} is unknown.")


def _operator(box: _Box) -> str:
    """OperatorCode: 0 deprecated_builtin_code, 1 custom_code, 3 builtin_code."""
    code = max(box.number(0, form="<b"), box.number(3))
    if code == CUSTOM:
        return f"custom {box.text(1)}"
    if not 0 <= code <= NEWEST_OPERATOR:
        return f"unknown {code}"
    return NAMES.get(code, f"builtin {code}")


def _buffer_size(box: _Box, section: Section) -> int:
    """Buffer: 0 data, 1 offset, 2 size (for files above 2 GiB the bytes lie behind the flatbuffer)."""
    inside = box.length(0)
    outside = box.number(2, form="<Q")
    if inside > section.size or outside > section.size:
        raise Malformed(f"a buffer of {max(inside, outside)} bytes is longer than the file; it may be cut")
    return max(inside, outside)


def _tell_tensors(tensors: list[_Box], sizes: list[int], weights: Weights) -> None:
    """Tensor: 0 shape, 1 type, 2 buffer, 3 name.  Those with a filled buffer are weights."""
    for tensor in tensors:
        buffer = tensor.number(2, form="<I")
        if buffer >= len(sizes):
            raise Malformed("a tensor has no buffer")
        if sizes[buffer]:
            weights.add(tensor.text(3), DTYPES.get(tensor.number(1, form="<b"), "unknown"), tensor.numbers(0, MAX_AXES))


def _port(tensors: list[_Box], number: int) -> dict[str, Any]:
    """A tensor's name, dtype and shape; its ``shape_signature`` (7) has -1 for what is free."""
    if not 0 <= number < len(tensors):
        raise Malformed("an input or output is no tensor")
    tensor = tensors[number]
    shape = tensor.numbers(7, MAX_AXES) or tensor.numbers(0, MAX_AXES)
    lengths = [length if length >= 0 else None for length in shape]
    layout = "NHWC" if len(lengths) == 4 and lengths[3] in {1, 3} else ""
    return port(tensor.text(3), DTYPES.get(tensor.number(1, form="<b"), "unknown"), lengths, layout)
