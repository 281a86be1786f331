"""Recognises ONNX files by walking the top level of the protobuf message, without ONNX or protobuf installed."""

from typing import Any, BinaryIO

MAX_FIELDS = 4096
MAX_TEXT = 200
MODEL_FIELDS = {1: "varint", 2: "bytes", 3: "bytes", 4: "bytes", 5: "varint", 6: "bytes", 7: "bytes", 8: "bytes"}
MODEL_FIELDS |= {14: "bytes", 20: "bytes", 25: "bytes", 26: "bytes"}
"""ModelProto of onnx.proto3: ir_version, producer_name, producer_version, domain, model_version, doc_string, graph,
opset_import, metadata_props, training_info, functions, configuration."""
IR_VERSION, PRODUCER_NAME, PRODUCER_VERSION, GRAPH, OPSET_IMPORT = 1, 2, 3, 7, 8
KINDS = {0: "varint", 2: "bytes"}


class _NotProtobuf(Exception):
    """The bytes are not fields of this message."""


def inspect_onnx(stream: BinaryIO, size: int) -> dict[str, Any] | None:
    """``{"ir_version", "opsets": {domain: version}, "producer"}`` of an ONNX model, or None for anything else."""
    stream.seek(0)
    facts: dict[str, Any] = {"opsets": {}, "producer": ""}
    seen: set[int] = set()
    try:
        for _ in range(MAX_FIELDS):
            if stream.tell() == size:
                break
            seen.add(_read_field(stream, size, facts))
        else:
            return None
    except _NotProtobuf:
        return None
    facts["producer"] = facts["producer"].strip()
    return facts if {IR_VERSION, GRAPH, OPSET_IMPORT} <= seen else None


def _read_field(stream: BinaryIO, size: int, facts: dict[str, Any]) -> int:
    key = _varint(stream)
    number, kind = key >> 3, KINDS.get(key & 7)
    if kind is None or MODEL_FIELDS.get(number) != kind:
        raise _NotProtobuf
    value = _varint(stream)
    if kind == "varint":
        if number == IR_VERSION:
            facts["ir_version"] = value
        return number
    end = stream.tell() + value
    if end > size:
        raise _NotProtobuf
    if number in {PRODUCER_NAME, PRODUCER_VERSION}:
        facts["producer"] += " " + stream.read(min(value, MAX_TEXT)).decode(errors="replace")
    elif number == OPSET_IMPORT:
        domain, version = _opset(stream, end)
        facts["opsets"][domain or "ai.onnx"] = version
    stream.seek(end)
    return number


def _opset(stream: BinaryIO, end: int) -> tuple[str, int]:
    """OperatorSetIdProto: 1 domain (text), 2 version (varint)."""
    domain, version = "", 0
    while stream.tell() < end:
        key = _varint(stream)
        value = _varint(stream)
        if key == 0x0A:
            domain = stream.read(min(value, MAX_TEXT)).decode(errors="replace")
        elif key == 0x10:
            version = value
        else:
            raise _NotProtobuf
    return domain, version


def _varint(stream: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = stream.read(1)
        if not byte:
            raise _NotProtobuf
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise _NotProtobuf
