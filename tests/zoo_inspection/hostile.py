"""Files that are made to cost as much as they can: each must stay below 256 MiB and 10 s.

``python -m tests.zoo_inspection.hostile write FOLDER`` makes them; ``... inspect FOLDER`` inspects each in a process
that may grow by 256 MiB only and do nothing else (see ``fuzzing``), and prints one line of JSON: seconds by name, and
the peak of memory.
"""

import json
import struct
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.zoo_inspection import samples
from tests.zoo_inspection.fuzzing import confined, originals, peak_mib, warm_up
from zoo_inspection import inspect
from zoo_inspection.inspection import OUR_FAULT

MIB = 2**20


def files() -> Iterator[tuple[str, bytes]]:
    """Name and content."""
    yield "json-lists.safetensors", _safetensors(b'{"w":[' + b"[]," * 190_000 + b"[[]]]}")
    yield "json-objects.safetensors", _safetensors(b'{"w":[' + b'{"a":1},' * 290_000 + b"0]}")
    yield (
        "json-entries.safetensors",
        _safetensors(
            b"{"
            + b",".join(b'"%06d":{"dtype":"F32","shape":[],"data_offsets":[0,0]}' % n for n in range(120_000))
            + b"}"
        ),
    )
    yield "pickle-dicts.pkl", b"\x80\x04" + b"}\x94" * 400_000 + b"N."
    yield "pickle-items.pkl", b"\x80\x04ccollections\nOrderedDict\n\x94" + b"h\x00)RK\x01K\x02s" * 80_000 + b"N."
    yield "pickle-texts.pkl", b"\x80\x04" + (b"X\xa0\x0f\x00\x00" + "🐍".encode() * 1000) * 5000 + b"."
    yield "pickle-imports.pkl", b"\x80\x04" + b"".join(b"cmodule%d\nname\n" % n for n in range(300_000)) + b"."
    yield "pickle-shared.pkl", b"\x80\x04}\x94(" + b"".join(b"K\x01h\x00" for _ in range(100_000)) + b"u."
    yield "pickle-tensors.pth", _tensors(40_000)
    yield "pickle-wide.pkl", b"\x80\x04](" + b"}" * 490_000 + b"e."
    yield "onnx-nodes.onnx", _onnx(samples.field(1, samples.field(3, "n" * 100) + samples.field(4, "A")) * 600_000)
    yield (
        "onnx-initialisers.onnx",
        _onnx(b"".join(samples.field(5, samples.field(1, 1) + samples.field(8, f"{n:0200}")) for n in range(220_000))),
    )
    yield "onnx-inputs.onnx", _onnx(samples.field(11, samples.field(1, "x" * 50)) * 1_000_000)
    yield "xml-attributes.xml", b'<net version="11"><a ' + b" ".join(b'b%d=">"' % n for n in range(3_000_000)) + b"/>"
    yield "xml-elements.xml", b'<net version="11">' + b"<layer/>" * 3_000_000
    yield "xml-ports.xml", b'<net version="11"><layer><output>' + b"<port/>" * 2_000_000
    yield "xml-comments.xml", b"<!---->" * 9000 + b"<nett"
    yield "tflite-tables.tflite", _tflite()
    yield "torchscript-entries.pt", _torchscript("def forward(self, " * 100_000)
    yield "torchscript-calls.pt", _torchscript("torch." * 300_000)
    yield "zip-entries.zip", samples.zip_of({f"{n:060}": b"" for n in range(55_000)})
    yield "zip-bomb.pt", samples.zip_of({"a/data.pkl": b"\x80\x02\x8e" + struct.pack("<Q", 2**40)})
    yield "zip-inflating.pt", samples.zip_of({"a/data.pkl": _long_pickle()}, method=zipfile.ZIP_DEFLATED)
    yield "darknet-layers.cfg", b"[net]\nwidth=8\nheight=8\n" + b"[route]\nlayers=-1\n" * 50_000
    yield "text.txt", b"[" * (4 * MIB)


def _safetensors(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


def _onnx(graph: bytes) -> bytes:
    return samples.field(1, 9) + samples.field(7, graph) + samples.field(8, samples.field(2, 18))


def _tensors(count: int) -> bytes:
    """A dictionary of tensors that share everything but their names."""
    start = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00ctorch\nFloatStorage\nq\x01"
        b"(X\x07\x00\x00\x00storageh\x01X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQq\x02K\x04\x85q\x03K\x01\x85q\x04"
        b"h\x00(h\x02K\x00h\x03h\x04\x89Ntq\x05Rq\x06}("
    )
    return start + b"".join(b"X\x06\x00\x00\x00%06dh\x00h\x05R" % n for n in range(count)) + b"u."


def _tflite() -> bytes:
    """A list of 190,000 tables, all of which are the same one."""
    count = 190_000
    lists = struct.pack("<I", count) + b"".join(struct.pack("<I", 4 * (count - n)) for n in range(count))
    head = struct.pack("<I4s", 24, b"TFL3") + struct.pack("<8H", 8, 8, 0, 4, 0, 0, 0, 0)
    return head + struct.pack("<iI", 16, 4) + lists + struct.pack("<iI", 8, 0) + bytes(64)


def _torchscript(text: str) -> bytes:
    state = b"\x80\x02c__torch__\nNet\n)\x81}b."
    return samples.zip_of({"a/data.pkl": state, "a/constants.pkl": b"\x80\x02).", "a/code/__torch__.py": text.encode()})


def _long_pickle() -> bytes:
    return b"\x80\x04\x8e" + struct.pack("<Q", 600 * MIB) + bytes(600 * MIB) + b"."


def write(folder: Path) -> None:
    for name, data in files():
        (folder / name).write_bytes(data)


def inspect_all(folder: Path) -> dict[str, object]:
    warm_up(originals([]))
    streams = [(path.name, path.open("rb", buffering=0)) for path in sorted(folder.iterdir())]
    confined()
    seconds, faults = {}, []
    for name, stream in streams:
        begin = time.thread_time()
        found = inspect(stream, name=name)  # type: ignore[arg-type]
        seconds[name] = round(time.thread_time() - begin, 3)
        faults += [f"{name}: {item['reason']}" for item in found.findings if OUR_FAULT in item["reason"]]
    return {"seconds": seconds, "faults": faults, "peak_mib": peak_mib()}


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]))
    else:
        sys.stdout.write(json.dumps(inspect_all(Path(sys.argv[2]))) + "\n")
