"""Formats are found from the bytes, and pickles are read without being executed."""

import gzip
import io
import json
import os
import pickle
import pickletools
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo_inspection import Inspection, Limits
from zoo_inspection import inspect as inspect_file
from zoo_inspection.limits import Budget
from zoo_inspection.pickles.names import severity_of
from zoo_inspection.pickles.scanning import scan_pickles
from zoo_inspection.reading import Flow, Section


def inspect(data: bytes, folder: Path, *, filename: str = "") -> Inspection:
    path = folder / "file"
    path.write_bytes(data)
    return inspect_file(path, name=filename)


def worst(found: Inspection) -> str | None:
    return found.severity


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def field(number: int, value: bytes | int) -> bytes:
    """One protobuf field, lengths below 128."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


GRAPH = field(1, field(3, b"conv1") + field(4, b"Conv")) + field(2, b"main")
ONNX = field(1, 9) + field(2, b"pytorch") + field(3, b"2.14") + field(7, GRAPH) + field(8, field(2, 18))
IDX = bytes([0, 0, 8, 3]) + struct.pack(">III", 2, 3, 4) + bytes(24)


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # its keywords are the arrays
    return buffer.getvalue()


def zip_of(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), data)
    return buffer.getvalue()


EXAMPLES = {
    "safetensors": safetensors({"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}, bytes(16)),
    "onnx": ONNX,
    "openvino-ir": b'<?xml version="1.0"?>\n<net name="m" version="11">\n<layers/></net>',
    "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "jpeg": b"\xff\xd8\xff\xe0" + bytes(100),
    "idx": IDX,
    "npz": npz(images=np.zeros((2, 3)), labels=np.arange(2)),
    "pickle": pickle.dumps({"a": 1}),
    "json": b'{"a": [1, 2]}',
    "text": "Ein Prüfstück\n".encode(),
    "opaque": bytes(range(256)),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_format_is_found_from_the_bytes_whatever_the_name(tmp_path, name):
    for filename in ("", "model.onnx", "weights.safetensors", "notes.txt"):
        assert inspect(EXAMPLES[name], tmp_path, filename=filename).format == name


def test_an_empty_file_is_text_and_not_an_error(tmp_path):
    assert inspect(b"", tmp_path, filename="a.pkl").format == "text"


def test_idx_inside_gzip_is_found(tmp_path):
    found = inspect(gzip.compress(IDX), tmp_path)
    assert (found.format, found.facts) == ("idx", {"shape": [2, 3, 4]})
    assert inspect(gzip.compress(b"other"), tmp_path).format == "opaque"


def test_a_cut_idx_file_is_opaque(tmp_path):
    assert inspect(IDX[:-1], tmp_path).format == "opaque"


def test_the_facts_of_safetensors_are_counted(tmp_path):
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "b": {"dtype": "I64", "shape": [], "data_offsets": [16, 24]},
    }
    assert inspect(safetensors(header, bytes(24)), tmp_path).facts == {
        "tensors": 2,
        "parameters": 5,
        "elements": 5,
        "dtypes": ["float32", "int64"],
        "precision": "fp32",
        "weights": {
            "count": 2,
            "columns": ["name", "dtype", "shape"],
            "rows": [["a", "float32", [2, 2]], ["b", "int64", []]],
        },
        "metadata_keys": ["format"],
        "producer": "pt",
    }


def test_a_real_safetensors_file_is_known(tmp_path):
    from safetensors.numpy import save

    found = inspect(save({"w": np.zeros((3, 4), np.float32)}), tmp_path)
    assert (found.format, found.facts["parameters"]) == ("safetensors", 12)


TENSOR = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


@pytest.mark.parametrize(
    "data",
    [
        safetensors({"w": TENSOR}, bytes(15)),
        safetensors({"w": TENSOR, "v": TENSOR}, bytes(16)),
        safetensors({"w": TENSOR | {"shape": ["2", 2]}}, bytes(16)),
        safetensors({"w": TENSOR | {"shape": [-2, 2]}}, bytes(16)),
        safetensors({"w": TENSOR | {"shape": [float("nan")]}}, bytes(16)),
        safetensors({"w": TENSOR | {"shape": [10**400]}}, bytes(16)),
        safetensors({"w": 3}),
        struct.pack("<Q", 6) + b"{not j" + bytes(16),
        struct.pack("<Q", 100_000) + b"{" + b"[" * 99_999,
    ],
)
def test_wrong_safetensors_are_opaque_and_say_why(tmp_path, data):
    found = inspect(data, tmp_path)
    assert (found.format, worst(found)) == ("opaque", "suspicious")
    assert "safetensors" in found.findings[0]["reason"]


def test_an_enormous_safetensors_header_is_not_read(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 2**33) + b"{")
        file.truncate(2**33 + 100)
    assert "above" in inspect_file(path).findings[0]["reason"]


def test_texts_that_postgresql_cannot_keep_are_replaced(tmp_path):
    found = inspect(safetensors({"w": TENSOR | {"dtype": "F\0\ud800"}}, bytes(16)), tmp_path)
    assert found.facts["dtypes"] == ["F??"]


def test_the_facts_of_onnx_are_told(tmp_path):
    facts = inspect(ONNX, tmp_path).facts
    assert (facts["ir_version"], facts["opsets"], facts["producer"]) == (9, {"ai.onnx": 18}, "pytorch 2.14")
    assert facts["layers"]["rows"] == [["conv1", "Conv"]]


@pytest.mark.parametrize("data", [ONNX[:-1], ONNX + b"x", field(1, 9) + field(7, GRAPH), field(1, 9) * 5000])
def test_what_is_not_quite_onnx_is_not_onnx(tmp_path, data):
    assert inspect(data, tmp_path).format != "onnx"


class Evil:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("where", ["bare", "in a zip", "in an npz", "behind a harmless one"])
def test_an_evil_pickle_is_flagged_and_never_run(tmp_path, protocol, where):
    target = tmp_path / "pwned"
    data = pickle.dumps({"weights": [1.0], "x": Evil(target)}, protocol)
    filename = "model.pth"
    if where == "in a zip":
        data = zip_of(archive__data_pkl=data, archive__version=b"3")
    elif where == "in an npz":
        data = npz(a=np.array([Evil(target)], dtype=object))
    elif where == "behind a harmless one":
        data = pickle.dumps(1, 2) + pickle.dumps({"x": Evil(target)}, max(protocol, 2))
    found = inspect(data, tmp_path, filename=filename)
    assert found.format == ("npz" if where == "in an npz" else "pickle")
    assert worst(found) == "dangerous"
    assert not target.exists()
    if where != "in an npz":
        assert any("system" in finding["reason"] for finding in found.findings)


def test_a_harmless_pickle_is_clean_and_says_that_it_was_scanned(tmp_path):
    found = inspect(pickle.dumps(OrderedDict(a=np.zeros(3), b={1, 2})), tmp_path)
    assert (found.format, worst(found)) == ("pickle", "clean")
    assert "none executed" in found.findings[0]["reason"]


def test_what_torch_saves_is_clean(tmp_path):
    """Its structure, written by hand: torch itself is not a dependency of the server's tests."""
    storage = b"".join(
        [
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00((X\x07\x00\x00\x00storageq\x01ctorch\nFloatStorage\nq\x02",
            b"X\x01\x00\x00\x000q\x03X\x03\x00\x00\x00cpuq\x04K\x04tq\x05QK\x00K\x04\x85q\x06K\x01\x85q\x07\x89",
            b"ccollections\nOrderedDict\nq\x08)Rq\x09tq\x0aRq\x0b.",
        ]
    )
    pickletools.dis(storage, io.StringIO())
    found = inspect(zip_of(archive__data_pkl=storage, archive__data__0=bytes(16)), tmp_path, filename="m.pth")
    assert (found.format, worst(found)) == ("pickle", "clean")


DECOY = (
    b"\x80\x04\x8c\x02os\x8c\x06system\x8c\x0bcollections\x8c\x0bOrderedDict00\x93\x8c\x04true\x85R."
    # pushes os, system, then an allowed name, drops that again: STACK_GLOBAL takes os.system
)
THROUGH_MEMO = b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x930."
BY_INST = b"(S'true'\nios\nsystem\n."
COMPUTED = b"\x80\x04N\x8c\x06system\x93."


@pytest.mark.parametrize("data", [DECOY, THROUGH_MEMO, BY_INST, COMPUTED], ids=["decoy", "memo", "inst", "computed"])
def test_a_hidden_import_is_found(tmp_path, data):
    found = inspect(data, tmp_path, filename="x.pkl")
    assert (found.format, worst(found)) == ("pickle", "dangerous")


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("collections.OrderedDict", "clean"),
        ("torch._utils._rebuild_tensor_v2", "clean"),
        ("torch.FloatStorage", "clean"),
        ("numpy.core.multiarray._reconstruct", "clean"),
        ("builtins.set", "clean"),
        ("builtins.eval", "dangerous"),
        ("os.path.join", "dangerous"),
        ("torch.storage._load_from_bytes", "dangerous"),
        ("osmosis.flow", "suspicious"),
        ("mymodel.Net", "suspicious"),
        ("ultralytics.nn.tasks.DetectionModel", "suspicious"),
    ],
)
def test_names_are_judged(name, severity):
    assert severity_of(name) == severity


def test_a_damaged_pickle_is_dangerous(tmp_path):
    found = inspect(pickle.dumps(list(range(1000)))[:-20], tmp_path)
    assert (found.format, worst(found)) == ("pickle", "dangerous")


def test_long_bytes_in_a_pickle_are_passed_over(tmp_path):
    found = inspect(pickle.dumps({"a": bytes(9 * 2**20), "b": 1}), tmp_path)
    assert (found.format, worst(found), found.facts["keys"]) == ("pickle", "clean", ["a", "b"])


def test_a_pickle_too_long_to_scan_is_suspicious(tmp_path):
    found = inspect(b"\x80\x02" + b"N0" * 400_000 + b"N.", tmp_path)
    assert (found.format, worst(found)) == ("pickle", "suspicious")
    assert "only the first 500000 opcodes" in found.findings[0]["reason"]


def test_a_zip_bomb_costs_little(tmp_path):
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("archive/data.pkl", "w") as member:
        member.write(b"\x80\x02")
        for _ in range(300):
            member.write(b"N0" * 2**19)
    found = inspect(bomb.getvalue(), tmp_path)
    assert (found.format, worst(found)) == ("pickle", "suspicious")
    reasons = [finding["reason"] for finding in found.findings]
    assert "a bomb?" in reasons[0]
    assert "only the first 500000 opcodes" in reasons[1]


def test_many_long_pickles_share_one_limit(tmp_path):
    long = b"\x80\x02" + b"N0" * 200_000 + b"N."
    found = inspect(zip_of(a_pkl=long, b_pkl=long, c_pkl=long), tmp_path)
    assert [finding["severity"] for finding in found.findings] == ["clean", "suspicious", "suspicious"]


def test_an_enormous_table_of_contents_is_not_read(tmp_path):
    data = bytearray(zip_of(a_npy=b"x"))
    end = data.rfind(b"PK\x05\x06")
    struct.pack_into("<I", data, end + 12, 2**31)
    found = inspect(bytes(data), tmp_path)
    assert (found.format, worst(found)) == ("opaque", "suspicious")


def test_a_tar_archive_is_not_trusted(tmp_path):
    assert worst(inspect(bytes(257) + b"ustar\0" + bytes(300), tmp_path)) == "suspicious"


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=300), st.sampled_from([b"", b"\x80\x02", b"\x80\x04", b"PK\x03\x04", b"\x1f\x8b", b"\x08\x09"])
)
def test_no_bytes_break_the_inspection(tmp_path_factory, data, start):
    found = inspect(start + data, tmp_path_factory.getbasetemp(), filename="x.pkl")
    json.dumps([found.facts, found.findings], allow_nan=False)


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
        max_leaves=20,
    ),
    st.integers(0, pickle.HIGHEST_PROTOCOL),
)
def test_any_plain_object_is_clean(value, protocol):
    data = pickle.dumps(value, protocol)
    section = Section.whole(io.BytesIO(data), Budget(Limits()))
    (scan,) = scan_pickles(Flow(section), section.budget)
    assert (scan.fault, scan.complete) == (None, True)
    assert all(severity_of(name) == "clean" for name in scan.names)
