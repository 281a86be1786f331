"""OpenVINO IR: the XML is read as a stream, without entities or document types; weights lie in the .bin beside it."""

import re
from collections import Counter
from typing import Any
from xml.parsers import expat

from zoo_inspection.findings import Report
from zoo_inspection.limits import LimitReached, Malformed
from zoo_inspection.reading import Section
from zoo_inspection.tables import ITEM_SIZES, Table, Weights, port

PROLOGUE = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]{0,200}\?>)?\s*")
SPACE = re.compile(rb"\s*")
ROOT = re.compile(rb"<net\s")
DOCTYPE = re.compile(rb"<!DOCTYPE\s", re.IGNORECASE)
MAX_XML = 64 * 2**20
MAX_DEPTH = 64
MAX_ELEMENTS = 1_000_000
PIECE = 64 * 2**10
MAX_TOKEN = 2**20
"""A start tag with all its attributes, at most."""
MAX_PORTS = 64
MAX_PORTS_OF_LAYER = 256
VERSIONS = frozenset({"10", "11"})
OPSET = re.compile(r"opset\d{1,2}|experimental|ie_internal_opset|ov_internal_opset|util|org\.openvinotoolkit")
DTYPES = {
    "f32": "float32", "f16": "float16", "bf16": "bfloat16", "f64": "float64", "i8": "int8", "u8": "uint8",
    "i16": "int16", "u16": "uint16", "i32": "int32", "u32": "uint32", "i64": "int64", "u64": "uint64", "i4": "int4",
    "u4": "uint4", "boolean": "bool", "f8e4m3": "float8_e4m3fn", "f8e5m2": "float8_e5m2", "nf4": "nf4", "u1": "uint1",
    "string": "string",
}  # fmt: skip
PORT_DTYPES = {"FP32": "float32", "FP16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32", "U8": "uint8",
               "I8": "int8", "BOOL": "bool"}  # fmt: skip


def looks_like(section: Section) -> bool:
    """The root element ``net``, or a document type in front of it, which no IR has."""
    head = section.head(PIECE)
    found = PROLOGUE.match(head)
    at = found.end() if found else 0
    while head.startswith(b"<!--", at):
        end = head.find(b"-->", at + 4)
        space = SPACE.match(head, end + 3) if end >= 0 else None
        if space is None:
            return False
        at = space.end()
    return bool(ROOT.match(head, at)) or bool(DOCTYPE.match(head, at) and b"<net" in head)


def inspect_openvino(section: Section, report: Report) -> None:
    """Inputs, outputs, layers, constants and how many bytes of the .bin they need."""
    if section.size > MAX_XML:
        raise LimitReached(f"its XML of {section.size} bytes is above {MAX_XML}")
    reader = _Reader(section, report)
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.EntityDeclHandler = reader.doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.buffer_text = False
    try:
        for position in range(0, section.size, PIECE):
            size = min(PIECE, section.size - position)
            parser.Parse(section.at(position, size), False)  # noqa: FBT003
            if position + size - max(parser.CurrentByteIndex, 0) > MAX_TOKEN:
                raise LimitReached(f"a piece of its XML is longer than {MAX_TOKEN} bytes")
        parser.Parse(b"", True)  # noqa: FBT003
    except expat.ExpatError as error:
        raise Malformed(f"its XML is wrong: {str(error)[:150]}") from error
    reader.conclude()


class _Reader:
    """What expat calls while it reads."""

    def __init__(self, section: Section, report: Report) -> None:
        self.budget, self.report = section.budget, report
        rows = self.budget.limits.rows
        self.layers, self.weights = Table(("name", "type"), rows), Weights(rows)
        self.path: list[str] = []
        self.types: Counter[str] = Counter()
        self.extensions: set[str] = set()
        self.layer: dict[str, str] = {}
        self.data: dict[str, str] = {}
        self.ports: list[dict[str, Any]] = []
        self.text = ""
        self.elements, self.needed = 0, 0
        self.inputs: list[dict[str, Any]] = []
        self.outputs: list[dict[str, Any]] = []

    def doctype(self, *_: Any) -> None:
        """Entities could read other files or grow without end."""
        self.report.dangerous("The XML declares a document type or entities, which no OpenVINO IR needs (a bomb?).")
        raise Malformed("it declares a document type")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.budget.step()
        self.elements += 1
        self.path.append(name)
        if len(self.path) > MAX_DEPTH or self.elements > MAX_ELEMENTS:
            raise LimitReached("its XML has too many elements")
        if name == "net" and len(self.path) == 1:
            self._net(attributes)
        elif name == "layer":
            self.layer, self.data, self.ports = attributes, {}, []
        elif name == "data" and self.path[-2:-1] == ["layer"]:
            self.data = attributes
        elif name == "port" and len(self.ports) < MAX_PORTS_OF_LAYER:
            self.ports.append(
                {"precision": attributes.get("precision", ""), "names": attributes.get("names", ""), "dims": []}
            )
        elif name in {"conversion_parameters", "nncf", "quantization_parameters"} and "rt_info" in self.path:
            self.report.facts[name] = True
        elif self.path[:2] == ["net", "rt_info"] and name in {"Runtime_version", "MO_version"}:
            self.report.facts["producer"] = f"openvino {attributes.get('value', '')[:100]}"
        self.text = ""

    def _net(self, attributes: dict[str, str]) -> None:
        version = attributes.get("version", "")[:20]
        self.report.format = "openvino-ir"
        self.report.facts |= {"ir_version": version, "name": attributes.get("name", "")[:200]}
        if version not in VERSIONS:
            self.report.suspicious(f"Its IR version {version!r} is unknown; OpenVINO reads 10 and 11.")

    def characters(self, text: str) -> None:
        if len(self.text) < 64:
            self.text += text[:64]

    def end(self, name: str) -> None:
        self.path.pop()
        if name == "dim" and self.ports and len(self.ports[-1]["dims"]) < 64:
            text = self.text.strip()
            self.ports[-1]["dims"].append(int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None)
        elif name == "layer":
            self._layer()

    def _layer(self) -> None:
        kind, name = self.layer.get("type", "")[:100], self.layer.get("name", "")[:200]
        version = self.layer.get("version", "")
        self.layers.add(name, kind)
        if len(self.types) < 5000:
            self.types[kind] += 1
        if version and not OPSET.fullmatch(version):
            self.extensions |= {f"{version[:40]}::{kind}"} if len(self.extensions) < MAX_PORTS else set()
        if kind == "Const":
            self._constant(name)
        elif kind in {"Parameter", "Result"} and "body" not in self.path:
            side = self.inputs if kind == "Parameter" else self.outputs
            if len(side) < MAX_PORTS:
                side.append(self._port(name))
        self.layer = {}

    def _port(self, name: str) -> dict[str, Any]:
        dims = self.ports[0]["dims"] if self.ports else None
        names = self.ports[0]["names"] if self.ports else ""
        dtype = DTYPES.get(self.data.get("element_type", "").lower(), "")
        dtype = dtype or (PORT_DTYPES.get(self.ports[0]["precision"], "") if self.ports else "")
        shape = _shape(self.data["shape"]) if "shape" in self.data else dims
        layout = self.data.get("layout", "").strip("[]").replace(",", "").replace(".", "")
        return port(
            names.split(",")[0] or name.removesuffix("/sink_port_0"),
            dtype,
            shape,
            layout if layout.isalpha() and len(layout) <= 8 else "",
        )

    def _constant(self, name: str) -> None:
        shape, offset, size = _shape(self.data.get("shape", "")), self.data.get("offset", ""), self.data.get("size", "")
        dtype = DTYPES.get(self.data.get("element_type", "").lower(), "unknown")
        if not (_is_count(offset) and _is_count(size)):
            self.report.suspicious(f"The constant {name[:100]!r} has no place in the .bin.")
            return
        elements = self.weights.add(name, dtype, [length or 0 for length in shape])
        self.needed = max(self.needed, int(offset) + int(size))
        if dtype in ITEM_SIZES and elements * ITEM_SIZES[dtype] != int(size):
            self.report.suspicious(f"The constant {name[:100]!r} has {elements} elements of {dtype} in {size} bytes.")

    def conclude(self) -> None:
        """Put what was gathered into the report."""
        if self.report.format != "openvino-ir":
            raise Malformed("its root element is not net")
        quantised = self.types.get("FakeQuantize", 0)
        self.report.facts |= {
            "inputs": self.inputs, "outputs": self.outputs, "layers": self.layers.told(),
            "operators": dict(sorted(self.types.items())[:300]), "bin_size_needed": self.needed,
            "fake_quantize": quantised,
        }  # fmt: skip
        self.report.facts |= self.weights.facts()
        if quantised and {"int8", "uint8"} & set(self.weights.by_dtype):
            self.report.facts["precision"] = "int8"
        for name in sorted(self.extensions)[:32]:
            self.report.suspicious(f"It needs the extension operator {name[:100]!r}, which comes as a library.")


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def _shape(text: str) -> list[int | None]:
    """``1,3,224,224``; ``?``, ``-1`` and ``1..8`` are free."""
    parts = [part.strip() for part in text.split(",", 64)[:64] if part.strip()]
    return [int(part) if part.isascii() and part.isdigit() and len(part) < 16 else None for part in parts]
