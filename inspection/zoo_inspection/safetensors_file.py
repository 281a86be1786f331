"""safetensors: the header says everything, and none of the body is read."""

from typing import Any

from zoo_inspection.bounded_json import items, mapping, parse
from zoo_inspection.findings import Report
from zoo_inspection.limits import Malformed
from zoo_inspection.reading import Section
from zoo_inspection.tables import ITEM_SIZES, Weights

MAX_HEADER = 8 * 2**20
DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64", "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu", "C64": "complex64",
}  # fmt: skip
MAX_METADATA = 32
LARGEST_CLAIM = 2**40
"""A longer header is no header: the bytes are some text."""


def looks_like(section: Section) -> bool:
    """A length, then the brace of the header.  The format has no magic bytes."""
    return section.size >= 10 and section.u8(8) == ord("{") and section.u64(0) < LARGEST_CLAIM


def inspect_safetensors(section: Section, report: Report) -> None:
    """Names, dtypes and shapes; every tensor lies inside the file, without gaps or overlaps."""
    length = section.u64(0)
    if length > MAX_HEADER:
        raise Malformed(f"its header of {length} bytes is above {MAX_HEADER}")
    if length > section.size - 8:
        raise Malformed(f"its header of {length} bytes is longer than the file; it may be cut")
    header = mapping(parse(section.at(8, length), what="its header"), "the header")
    metadata = header.pop("__metadata__", None)
    weights, spans = Weights(section.budget.limits.rows), []
    for name, entry in header.items():
        section.budget.step()
        spans.append(_span(name, mapping(entry, f"the entry of {name[:100]!r}"), weights))
    _check_spans(spans, section.size - 8 - length)
    report.format = "safetensors"
    report.facts |= weights.facts()
    if metadata is not None:
        texts = mapping(metadata, "__metadata__")
        if not all(isinstance(value, str) for value in texts.values()):
            raise Malformed("__metadata__ holds something else than texts")
        report.facts["metadata_keys"] = sorted(texts)[:MAX_METADATA]
        producer = texts.get("format")
        report.facts |= {"producer": producer[:100]} if producer else {}


def _span(name: str, entry: dict[str, Any], weights: Weights) -> tuple[int, int]:
    dtype, shape, offsets = entry.get("dtype"), items(entry.get("shape"), "a shape"), entry.get("data_offsets")
    if not isinstance(dtype, str):
        raise Malformed(f"the dtype of {name[:100]!r} is no text")
    if not isinstance(offsets, list) or [type(offset) for offset in offsets] != [int, int]:
        raise Malformed(f"data_offsets of {name[:100]!r} is no pair of numbers")
    known = DTYPES.get(dtype, dtype[:20])
    elements = weights.add(name, known, shape)
    start, end = offsets
    size = ITEM_SIZES.get(known)
    if size is not None and elements * size != end - start:
        raise Malformed(f"{name[:100]!r} has {elements} elements and {end - start} bytes")
    return start, end


def _check_spans(spans: list[tuple[int, int]], data_size: int) -> None:
    position = 0
    for start, end in sorted(spans):
        if start != position or end < start:
            raise Malformed("its tensors overlap or leave gaps")
        position = end
    if position != data_size:
        raise Malformed(f"its tensors need {position} bytes, and {data_size} follow; it may be cut")
