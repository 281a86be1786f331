"""TensorFlow's SavedModel: signatures and operators of saved_model.pb; variables lie beside it and are not read."""

from collections import Counter
from typing import Any

from zoo_inspection import wire
from zoo_inspection.findings import Report
from zoo_inspection.limits import Malformed
from zoo_inspection.reading import Section
from zoo_inspection.tables import Table, port

DTYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 8: "complex64", 9: "int64",
    10: "bool", 11: "qint8", 12: "quint8", 13: "qint32", 14: "bfloat16", 17: "uint16", 19: "float16", 20: "resource",
    21: "variant", 22: "uint32", 23: "uint64",
}  # fmt: skip
DANGEROUS_OPERATORS = frozenset(
    {
        "PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles", "ImmutableConst",
        "LoadDataset", "SaveDataset", "SaveDatasetV2", "PrintV2", "DebugIdentity", "GeneratorDataset",
        "WholeFileReader", "WholeFileReaderV2", "TextLineDataset", "TFRecordDataset",
        "FixedLengthRecordDataset", "XlaLaunch", "RpcCall", "RpcClient", "RpcServer",
    }
)  # fmt: skip
"""Operators that read or write files, open connections or call Python when the model runs."""
MAX_TAGS = 16
MAX_SIGNATURES = 32
MAX_PORTS = 64


def looks_like(section: Section) -> bool:
    """Schema version 1, then one meta graph whose first field is a message (its ``meta_info_def``)."""
    head = section.head(16)
    return len(head) >= 4 and head[0] == 0x08 and head[1] == 1 and head[2] == 0x12 and _is_meta_graph(section)


def _is_meta_graph(section: Section) -> bool:
    """A producer's name of an ONNX model of IR version 1 stands at the same place, and is text."""
    try:
        size, start = wire.varint(section, 3)
        return section.u8(start) == 0x0A and start + size >= min(section.size, 1000) and section.u8(start + 1) != 0
    except Malformed:
        return False


def inspect_saved_model(section: Section, report: Report) -> None:
    """SavedModel: 1 saved_model_schema_version, 2 meta_graphs."""
    report.format = "savedmodel"
    operators: Counter[str] = Counter()
    layers = Table(("name", "type"), section.budget.limits.rows)
    graphs = 0
    for item in wire.fields(section):
        if item.number == 2 and item.kind == wire.BYTES:
            graphs += 1
            _meta_graph(section, item, report, operators, layers)
        elif item.number != 1:
            raise Malformed(f"its message has the field {item.number}, which no SavedModel has")
    report.facts |= {"meta_graphs": graphs, "layers": layers.told(), "operators": dict(sorted(operators.items())[:300])}
    for name in sorted(operators.keys() & DANGEROUS_OPERATORS):
        report.dangerous(f"The graph holds the operator {name!r}, which reaches files, the network or Python.")
    for name in [name for name in sorted(operators) if ">" in name][:16]:
        report.suspicious(f"The graph needs the custom operator {name[:80]!r}.")
    if not report.findings:
        report.clean(f"None of the {len(operators)} kinds of operators reaches files, the network or Python.")


def _meta_graph(section: Section, item: wire.Field, report: Report, operators: Counter[str], layers: Table) -> None:
    """MetaGraphDef: 1 meta_info_def, 2 graph_def, 5 signature_def (map)."""
    signatures: dict[str, Any] = {}
    for part in wire.fields(section, item.start, item.size):
        if part.kind != wire.BYTES:
            continue
        if part.number == 1:
            _meta_info(section, part, report)
        elif part.number == 2:
            _graph(section, part, operators, layers)
        elif part.number == 5 and len(signatures) < MAX_SIGNATURES:
            key, value = _map_entry(section, part)
            if value is not None:
                signatures[key] = _signature(section, value)
    chosen = signatures.get("serving_default") or next(
        (value for key, value in signatures.items() if value["inputs"] and not key.startswith("__")), None
    )
    if chosen and "inputs" not in report.facts:
        report.facts |= chosen
    if signatures:
        report.facts["signatures"] = sorted(signatures)


def _meta_info(section: Section, item: wire.Field, report: Report) -> None:
    """MetaInfoDef: 4 tags, 5 tensorflow_version."""
    tags: list[str] = []
    for part in wire.fields(section, item.start, item.size):
        if part.number == 4 and len(tags) < MAX_TAGS:
            tags.append(wire.text_of(section, part, 40))
        elif part.number == 5:
            report.facts["tensorflow_version"] = wire.text_of(section, part, 40)
            report.facts["producer"] = f"tensorflow {report.facts['tensorflow_version']}"
    report.facts["tags"] = tags


def _graph(section: Section, item: wire.Field, operators: Counter[str], layers: Table) -> None:
    """GraphDef: 1 node, 2 library {1 function {3 node_def}}."""
    for part in wire.fields(section, item.start, item.size):
        if part.kind != wire.BYTES:
            continue
        if part.number == 1:
            _node(section, part, operators, layers)
        elif part.number == 2:
            for function in wire.fields(section, part.start, part.size):
                if function.number == 1 and function.kind == wire.BYTES:
                    for node in wire.fields(section, function.start, function.size):
                        if node.number == 3 and node.kind == wire.BYTES:
                            _node(section, node, operators, layers)


def _node(section: Section, item: wire.Field, operators: Counter[str], layers: Table) -> None:
    """NodeDef: 1 name, 2 op."""
    name, kind = "", ""
    for part in wire.fields(section, item.start, item.size):
        if part.number == 1:
            name = wire.text_of(section, part)
        elif part.number == 2:
            kind = wire.text_of(section, part, 100)
    layers.add(name, kind)
    if kind in operators or len(operators) < 5000:
        operators[kind] += 1


def _map_entry(section: Section, item: wire.Field) -> tuple[str, wire.Field | None]:
    key, value = "", None
    for part in wire.fields(section, item.start, item.size):
        if part.number == 1:
            key = wire.text_of(section, part, 100)
        elif part.number == 2 and part.kind == wire.BYTES:
            value = part
    return key, value


def _signature(section: Section, item: wire.Field) -> dict[str, Any]:
    """SignatureDef: 1 inputs, 2 outputs (maps of TensorInfo)."""
    found: dict[str, list[dict[str, Any]]] = {"inputs": [], "outputs": []}
    for part in wire.fields(section, item.start, item.size):
        side = {1: "inputs", 2: "outputs"}.get(part.number)
        if side and part.kind == wire.BYTES and len(found[side]) < MAX_PORTS:
            key, value = _map_entry(section, part)
            if value is not None:
                found[side].append(_tensor_info(section, key, value))
    return found


def _tensor_info(section: Section, name: str, item: wire.Field) -> dict[str, Any]:
    """TensorInfo: 2 dtype, 3 tensor_shape {2 dim {1 size}, 3 unknown_rank}."""
    dtype, shape = "", None
    for part in wire.fields(section, item.start, item.size):
        if part.number == 2:
            dtype = DTYPES.get(part.value, "unknown")
        elif part.number == 3 and part.kind == wire.BYTES:
            shape = _shape(section, part)
    return port(name, dtype, shape)


def _shape(section: Section, item: wire.Field) -> list[int | None] | None:
    lengths: list[int | None] = []
    for part in wire.fields(section, item.start, item.size):
        if part.number == 3 and part.value:
            return None
        if part.number == 2 and part.kind == wire.BYTES and len(lengths) < 64:
            values = [inner.value for inner in wire.fields(section, part.start, part.size) if inner.number == 1]
            length = wire.signed(values[0]) if values else 0
            lengths.append(length if length >= 0 else None)
    return lengths
