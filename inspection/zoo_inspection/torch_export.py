"""torch.export programs (.pt2): a zip with the graph as JSON, in the layouts of torch 2.1 to 2.14."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from zoo_inspection.bounded_json import items, mapping, parse, text
from zoo_inspection.findings import Report
from zoo_inspection.limits import Malformed
from zoo_inspection.tables import Table, Weights, port
from zoo_inspection.zips import Archive

MAX_JSON = 12 * 2**20
MAX_PORTS = 64
DTYPES: Mapping[int, str] = MappingProxyType(
    {
        1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
        9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16",
        29: "float8_e4m3fn", 30: "float8_e5m2",
    }
)  # fmt: skip
"""``ScalarType`` of torch/_export/serde/schema.py."""
OWN_NAMESPACES = frozenset(
    {"aten", "prim", "prims", "quantized", "quantized_decomposed", "torchvision", "higher_order"}
)


def program_name(archive: Archive) -> str | None:
    """The member that holds the graph."""
    for name in archive.members:
        folder, _, last = name.rpartition("/")
        if last == "serialized_exported_program.json" or (
            folder.split("/")[-1:] == ["models"] and last.endswith(".json")
        ):
            return name
    return None


def inspect_export(archive: Archive, name: str, report: Report) -> None:
    """The graph's inputs and outputs, its operators, and the weights."""
    report.format = "torch-export"
    report.facts["layout"] = "pt2 archive" if "/models/" in f"/{name}" else "torch before 2.8"
    program = mapping(parse(archive.read(name, MAX_JSON + 1), what="its program"), "the program")
    module = mapping(program.get("graph_module"), "graph_module")
    graph = mapping(module.get("graph"), "graph")
    values = mapping(graph.get("tensor_values") or {}, "tensor_values")
    signature = mapping(module.get("signature") or {}, "signature")
    report.facts["inputs"] = [_port(given, values) for given in _user(signature.get("input_specs"))]
    report.facts["outputs"] = [_port(given, values) for given in _user(signature.get("output_specs"))]
    version = program.get("opset_version")
    if isinstance(version, dict):
        report.facts["opsets"] = {
            key[:40]: value for key, value in list(version.items())[:16] if isinstance(value, int)
        }
    report.facts["producer"] = f"torch {text(program.get('torch_version'))}".strip()
    _tell_nodes(items(graph.get("nodes"), "nodes"), archive, report)
    _tell_weights(archive, signature, values, report)


def _user(specs: Any) -> list[str]:
    """Names of the tensors that the caller gives or gets."""
    names = []
    for spec in items(specs or [], "a signature"):
        user = spec.get("user_input", spec.get("user_output")) if isinstance(spec, dict) else None
        argument = user.get("arg") if isinstance(user, dict) else None
        tensor = argument.get("as_tensor") if isinstance(argument, dict) else None
        if isinstance(tensor, dict):
            names.append(text(tensor.get("name")))
    return names[:MAX_PORTS]


def _port(name: str, values: dict[str, Any]) -> dict[str, Any]:
    meta = values.get(name)
    if not isinstance(meta, dict):
        return port(name, "", None)
    return port(name, _dtype(meta), _shape(meta))


def _dtype(meta: dict[str, Any]) -> str:
    kind = meta.get("dtype")
    return DTYPES.get(kind, f"dtype {kind}") if type(kind) is int and 0 <= kind < 1000 else "unknown"


def _shape(meta: dict[str, Any]) -> list[int | None]:
    shape: list[int | None] = []
    for size in items(meta.get("sizes") or [], "sizes"):
        length = size.get("as_int") if isinstance(size, dict) else None
        shape.append(length if type(length) is int and length >= 0 else None)
    return shape


def _tell_nodes(nodes: list[Any], archive: Archive, report: Report) -> None:
    layers = Table(("name", "type"), archive.section.budget.limits.rows)
    spaces: set[str] = set()
    for node in nodes:
        archive.section.budget.step()
        if not isinstance(node, dict):
            raise Malformed("a node is no object")
        target = text(node.get("target"))
        layers.add(text(node.get("name")), target.removeprefix("torch.ops."))
        parts = target.removeprefix("#").split(".")
        if target.startswith("torch.ops.") and len(parts) > 2:
            spaces.add(parts[2])
        elif target and not target.startswith(("torch.", "_operator.", "operator.", "math.", "torch.sym")):
            report.suspicious(f"The program calls {target[:100]}.")
    report.facts["layers"] = layers.told()
    for space in sorted(spaces - OWN_NAMESPACES)[:16]:
        report.suspicious(f"The program needs the custom operators {space[:60]!r}.")


def _tell_weights(archive: Archive, signature: dict[str, Any], values: dict[str, Any], report: Report) -> None:
    """From the table of weights, else from the inputs of the graph that are parameters and buffers."""
    weights = Weights(archive.section.budget.limits.rows)
    table = next((name for name in archive.members if name.endswith("weights_config.json")), None)
    if table is not None:
        config = mapping(parse(archive.read(table, MAX_JSON + 1), what="its table of weights"), "the table of weights")
        for name, entry in mapping(config.get("config") or {}, "config").items():
            meta = entry.get("tensor_meta") if isinstance(entry, dict) else None
            if isinstance(meta, dict):
                weights.add(name, _dtype(meta), [length or 0 for length in _shape(meta)])
            if isinstance(entry, dict) and entry.get("use_pickle"):
                report.suspicious(f"The weight {name[:100]!r} is stored as a pickle.")
    else:
        for name, value in _held_tensors(signature):
            meta = values.get(value)
            if isinstance(meta, dict):
                weights.add(name, _dtype(meta), [length or 0 for length in _shape(meta)])
    if weights.table.count:
        report.facts |= weights.facts()


def _held_tensors(signature: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name of each parameter and buffer, and of the value that the graph gets for it."""
    for spec in items(signature.get("input_specs") or [], "a signature"):
        for kind in ("parameter", "buffer"):
            held = spec.get(kind) if isinstance(spec, dict) else None
            argument = held.get("arg") if isinstance(held, dict) else None
            if isinstance(held, dict) and isinstance(argument, dict):
                yield text(held.get(f"{kind}_name")), text(argument.get("name"))
