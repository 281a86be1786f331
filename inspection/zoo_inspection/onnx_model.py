"""ONNX: the protobuf message is walked; values of initialisers are passed over."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from zoo_inspection import wire
from zoo_inspection.findings import Report
from zoo_inspection.limits import LimitReached, Malformed
from zoo_inspection.reading import Section
from zoo_inspection.tables import ITEM_SIZES, Table, Weights, port

MODEL_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
"""Wire types of ModelProto: ir_version, producer_name, producer_version, domain, model_version, doc_string, graph,
opset_import, metadata_props, training_info, functions, configuration."""
IR_VERSION, PRODUCER_NAME, PRODUCER_VERSION, GRAPH, OPSET, METADATA, FUNCTION = 1, 2, 3, 7, 8, 14, 25
NEEDED = {IR_VERSION: "IR version", GRAPH: "graph", OPSET: "opset"}
DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
    17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4",
    23: "float4_e2m1", 24: "float8_e8m0fnu",
}  # fmt: skip
OWN_DOMAINS = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training", "ai.onnx.preview"}
)
RUNTIME_DOMAINS = frozenset({"com.microsoft", "com.microsoft.nchwc", "org.pytorch.aten", "pkg.onnxscript.torch_lib"})
NEWEST_OPSET, NEWEST_IR = 27, 14
PLAIN_LOCATION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. +@,=-]*")
MAX_DEPTH = 32
MAX_LOCATIONS = 64
MAX_OPERATORS = 300
MAX_INITIALISERS = 200_000
MAX_VALUES = 10_000
MAX_CALLS = 100_000
MAX_OPSETS = 64
MAX_METADATA = 32


@dataclass
class _State:
    section: Section
    report: Report
    layers: Table
    weights: Weights
    operators: Counter[tuple[str, str]] = field(default_factory=Counter)
    external: dict[str, int] = field(default_factory=dict)
    calls: dict[tuple[str, str], set[tuple[str, str]]] = field(default_factory=dict)
    producer: list[str] = field(default_factory=lambda: ["", ""])
    metadata: list[str] = field(default_factory=list)
    function_nodes: int = 0


def looks_like(section: Section) -> bool:
    """Two fields of ModelProto in a row, the first of which is its IR version; and not a SavedModel."""
    head = section.head(16)
    if len(head) < 4 or head[0] != IR_VERSION << 3 or not 0 < head[1] < 100:
        return False
    return MODEL_FIELDS.get(head[2] >> 3, -1) == head[2] & 7


def inspect_onnx(section: Section, report: Report) -> None:
    """Versions, inputs, outputs, operators, initialisers and where external data would be read from."""
    rows = section.budget.limits.rows
    state = _State(section, report, Table(("name", "type"), rows), Weights(rows))
    opsets: dict[str, int] = {}
    seen: set[int] = set()
    for item in wire.fields(section):
        if MODEL_FIELDS.get(item.number) != item.kind:
            raise Malformed(f"its message has the field {item.number}, which no model has")
        seen.add(item.number)
        if item.number == GRAPH:
            _graph(state, item.start, item.size, 0, main=True)
        elif item.number == FUNCTION:
            _function(state, item)
        elif item.number == IR_VERSION:
            report.facts["ir_version"] = wire.signed(item.value)
        else:
            _about(state, item, opsets)
    missing = [name for number, name in NEEDED.items() if number not in seen]
    if missing:
        raise Malformed(f"it has no {' and no '.join(missing)}")
    report.format = "onnx"
    report.facts |= {"opsets": opsets, "producer": " ".join(state.producer).strip()}
    if state.metadata:
        report.facts["metadata_keys"] = sorted(state.metadata)
    _conclude(state, opsets)


def _about(state: _State, item: wire.Field, opsets: dict[str, int]) -> None:
    """Who made the model, and for which operators."""
    if item.number in {PRODUCER_NAME, PRODUCER_VERSION}:
        state.producer[item.number - PRODUCER_NAME] = wire.text_of(state.section, item)
    elif item.number == OPSET and len(opsets) < MAX_OPSETS:
        domain, version = _opset(state.section, item)
        opsets[domain or "ai.onnx"] = version
    elif item.number == METADATA and len(state.metadata) < MAX_METADATA:
        state.metadata.append(_entry(state.section, item)[0])


def _conclude(state: _State, opsets: dict[str, int]) -> None:
    report = state.report
    types: Counter[str] = Counter()
    for (domain, name), count in state.operators.items():
        types[f"{domain}::{name}" if domain not in OWN_DOMAINS else name] += count
    report.facts["operators"] = dict(sorted(types.items())[:MAX_OPERATORS])
    report.facts["layers"] = state.layers.told()
    report.facts |= state.weights.facts()
    if state.external:
        report.facts["external_data"] = state.external
    if report.facts["ir_version"] > NEWEST_IR or report.facts["ir_version"] < 1:
        report.suspicious(f"Its IR version {report.facts['ir_version']} is unknown.")
    version = opsets.get("ai.onnx")
    if version is not None and not 1 <= version <= NEWEST_OPSET:
        report.suspicious(f"Its opset {version} is unknown.")
    used = {domain for domain, _ in state.operators} | set(opsets)
    local = {domain for domain, _ in state.calls}
    for domain in sorted(used - OWN_DOMAINS - RUNTIME_DOMAINS - local)[:16]:
        report.suspicious(f"It needs custom operators of the domain {domain[:60]!r}, which come as a library.")
    if _has_cycle(state.calls):
        report.suspicious("Its functions call each other in a circle.")


def _graph(state: _State, start: int, size: int, depth: int, *, main: bool = False) -> None:
    """GraphProto: 1 node, 2 name, 5 initializer, 11 input, 12 output, 15 sparse_initializer."""
    if depth > MAX_DEPTH:
        raise LimitReached(f"its graphs are nested more than {MAX_DEPTH} deep")
    inputs: list[dict[str, Any]] = []
    outputs: list[dict[str, Any]] = []
    initialised: set[str] = set()
    for item in wire.fields(state.section, start, size):
        if item.kind != wire.BYTES:
            continue
        if item.number == 1:
            _node(state, item, depth, caller=None)
        elif item.number == 5:
            initialised.add(_tensor(state, item, count=True))
            if len(initialised) > MAX_INITIALISERS:
                raise LimitReached(f"it has more than {MAX_INITIALISERS} initialisers")
        elif item.number in {11, 12} and main and len(inputs) + len(outputs) < MAX_VALUES:
            (inputs if item.number == 11 else outputs).append(_value(state.section, item))
    if main:
        state.report.facts["inputs"] = [given for given in inputs if given["name"] not in initialised][:64]
        state.report.facts["outputs"] = outputs[:64]


def _function(state: _State, item: wire.Field) -> None:
    """FunctionProto: 1 name, 7 node, 10 domain."""
    name, domain, nodes = "", "", []
    for part in wire.fields(state.section, item.start, item.size):
        if part.number == 1:
            name = wire.text_of(state.section, part)
        elif part.number == 10:
            domain = wire.text_of(state.section, part)
        elif part.number == 7 and part.kind == wire.BYTES:
            nodes.append(part)
            state.function_nodes += 1
            if state.function_nodes > MAX_CALLS:
                raise LimitReached(f"its functions have more than {MAX_CALLS} nodes")
    caller = (domain, name)
    state.calls.setdefault(caller, set())
    for node in nodes:
        _node(state, node, 1, caller=caller)


def _node(state: _State, item: wire.Field, depth: int, *, caller: tuple[str, str] | None) -> None:
    """NodeProto: 3 name, 4 op_type, 5 attribute, 7 domain."""
    name, kind, domain = "", "", ""
    for part in wire.fields(state.section, item.start, item.size):
        if part.number == 3:
            name = wire.text_of(state.section, part)
        elif part.number == 4:
            kind = wire.text_of(state.section, part)
        elif part.number == 7:
            domain = wire.text_of(state.section, part)
        elif part.number == 5 and part.kind == wire.BYTES:
            _attribute(state, part, depth)
    state.layers.add(name, kind)
    if len(state.operators) < 5000:
        state.operators[(domain, kind)] += 1
    if caller is not None:
        state.calls[caller].add((domain, kind))


def _attribute(state: _State, item: wire.Field, depth: int) -> None:
    """AttributeProto: 5 tensor, 6 graph, 10 tensors, 11 graphs."""
    for part in wire.fields(state.section, item.start, item.size):
        if part.kind == wire.BYTES and part.number in {6, 11}:
            _graph(state, part.start, part.size, depth + 1)
        elif part.kind == wire.BYTES and part.number in {5, 10}:
            _tensor(state, part, count=False)


def _tensor(state: _State, item: wire.Field, *, count: bool) -> str:
    """TensorProto: 1 dims, 2 data_type, 8 name, 9 raw_data, 13 external_data, 14 data_location."""
    dims: list[int] = []
    name, dtype, raw, external, is_external = "", 0, None, {}, False
    for part in wire.fields(state.section, item.start, item.size):
        if part.number == 1:
            dims += wire.numbers_of(state.section, part)
        elif part.number == 2 and part.kind == wire.VARINT:
            dtype = part.value
        elif part.number == 8:
            name = wire.text_of(state.section, part)
        elif part.number == 9:
            raw = part.size
        elif part.number == 13 and part.kind == wire.BYTES:
            key, value = _entry(state.section, part)
            external[key] = value
        elif part.number == 14:
            is_external = part.value == 1
    known = DTYPES.get(dtype, f"data type {min(dtype, 999)}")
    elements = state.weights.add(name, known, dims) if count else 0
    if is_external or external:
        _external(state, name, external, elements * ITEM_SIZES.get(known, 0))
    elif count and raw is not None and known in ITEM_SIZES and raw != elements * ITEM_SIZES[known]:
        state.report.suspicious(f"The initialiser {name[:100]!r} has {elements} elements and {raw} bytes.")
    return name


def _external(state: _State, name: str, told: dict[str, str], size: int) -> None:
    location = told.get("location", "")
    if not PLAIN_LOCATION.fullmatch(location) or ".." in location:
        reason = f"The tensor {name[:80]!r} would be read from {location[:200]!r}, which is no plain name of a file."
        state.report.dangerous(reason)
        return
    numbers = [told.get(key, "0") for key in ("offset", "length")]
    if not all(number.isascii() and number.isdigit() and len(number) < 19 for number in numbers):
        state.report.suspicious(f"The tensor {name[:80]!r} has a wrong place in {location[:80]!r}.")
        return
    offset, length = map(int, numbers)
    if length and size and length != size:
        state.report.suspicious(f"The tensor {name[:80]!r} needs {size} bytes and names {length}.")
    if location in state.external or len(state.external) < MAX_LOCATIONS:
        state.external[location] = max(state.external.get(location, 0), offset + (length or size))


def _value(section: Section, item: wire.Field) -> dict[str, Any]:
    """ValueInfoProto: 1 name, 2 type {1 tensor_type {1 elem_type, 2 shape {1 dim {1 value, 2 param}}}}."""
    name, dtype, shape = "", "", None
    for part in wire.fields(section, item.start, item.size):
        if part.number == 1:
            name = wire.text_of(section, part)
        elif part.number == 2 and part.kind == wire.BYTES:
            for kind in wire.fields(section, part.start, part.size):
                if kind.number == 1 and kind.kind == wire.BYTES:
                    dtype, shape = _tensor_type(section, kind)
                else:
                    dtype = dtype or {4: "sequence", 5: "map", 8: "sparse", 9: "optional"}.get(kind.number, "")
    return port(name, dtype, shape)


def _tensor_type(section: Section, item: wire.Field) -> tuple[str, list[int | None] | None]:
    dtype = ""
    shape: list[int | None] | None = None
    for part in wire.fields(section, item.start, item.size):
        if part.number == 1:
            dtype = DTYPES.get(part.value, "unknown")
        elif part.number == 2 and part.kind == wire.BYTES:
            shape = []
            for dim in wire.fields(section, part.start, part.size):
                if dim.number == 1 and dim.kind == wire.BYTES and len(shape) < 64:
                    values = [inner.value for inner in wire.fields(section, dim.start, dim.size) if inner.number == 1]
                    shape.append(wire.signed(values[0]) if values else None)
    return dtype, shape


def _entry(section: Section, item: wire.Field) -> tuple[str, str]:
    """StringStringEntryProto: 1 key, 2 value."""
    parts = {part.number: wire.text_of(section, part, 1000) for part in wire.fields(section, item.start, item.size)}
    return parts.get(1, ""), parts.get(2, "")


def _opset(section: Section, item: wire.Field) -> tuple[str, int]:
    """OperatorSetIdProto: 1 domain, 2 version."""
    domain, version = "", 0
    for part in wire.fields(section, item.start, item.size):
        if part.number == 1:
            domain = wire.text_of(section, part)
        elif part.number == 2:
            version = wire.signed(part.value)
    return domain, version


def _has_cycle(calls: dict[tuple[str, str], set[tuple[str, str]]]) -> bool:
    """Whether following the calls leads back: functions whose callees are all settled are taken away until none is."""
    left = {name: {callee for callee in callees if callee in calls} for name, callees in calls.items()}
    callers: dict[tuple[str, str], list[tuple[str, str]]] = {name: [] for name in left}
    for name, callees in left.items():
        for callee in callees:
            callers[callee].append(name)
    settled = [name for name, callees in left.items() if not callees]
    count = 0
    while settled:
        name = settled.pop()
        count += 1
        for caller in callers[name]:
            left[caller].discard(name)
            if not left[caller]:
                settled.append(caller)
    return count < len(left)
