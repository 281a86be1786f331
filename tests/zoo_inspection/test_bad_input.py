"""Bad input: a clear finding for each kind, in bounded memory and time."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from tests.zoo_inspection import samples
from tests.zoo_inspection.conftest import Look
from zoo_inspection import Inspection, Limits, inspect

WHOLE = {
    "safetensors": samples.safetensors({"w": ("F32", [4, 4], 64)}),
    "onnx": samples.onnx_bytes(),
    "openvino-ir": samples.openvino_xml(),
    "savedmodel": samples.saved_model("Relu", "Conv2D"),
    "tflite": samples.tflite(),
    "oneflow": samples.oneflow_zip("A"),
    "npz": samples.zip_of({"a.npy": b"\x93NUMPY\x01\x00" + bytes(60)}),
    "pickle": samples.oneflow_single(),
}


def told(found: Inspection) -> str:
    return "\n".join(finding["reason"] for finding in found.findings)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("share", [0.5, 0.8, 0.98])
def test_a_truncated_file_says_so(look: Look, name: str, share: float):
    data = WHOLE[name]
    found = look(data[: int(len(data) * share)])
    assert found.severity in {"suspicious", "dangerous"}
    assert "It looks like" in told(found) or "cannot be scanned whole" in told(found)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_truncated_hdf5_says_so(tmp_path: Path, look: Look, share: float):
    data = samples.keras_h5(tmp_path / "m.h5").read_bytes()
    assert look(data[: int(len(data) * share)]).severity == "suspicious"


@pytest.mark.parametrize("name", ["state.pth", "legacy.pth", "traced.pt", "program.pt2"])
@pytest.mark.parametrize("share", [0.3, 0.99])
def test_truncated_files_of_torch_say_so(torch_files: dict[str, Path], look: Look, name: str, share: float):
    data = torch_files[name].read_bytes()
    found = look(data[: int(len(data) * share)])
    if name == "legacy.pth" and share > 0.9:
        return  # only the bodies of tensors are cut, which places_of finds
    assert found.severity in {"suspicious", "dangerous"}


@pytest.mark.parametrize("name", ["m.onnx", "m.h5", "m.safetensors", "m.pt", "m.tflite", "m.plan"])
def test_an_empty_file_is_told_by_its_name(look: Look, name: str):
    found = look(b"", name)
    assert (found.format, told(found)) == ("text", f"It is called {name!r} and is empty.")


@pytest.mark.parametrize(("name", "kind"), [("m.onnx", "safetensors"), ("m.pth", "onnx"), ("m.h5", "tflite")])
def test_a_wrong_suffix_is_told_and_the_bytes_count(look: Look, name: str, kind: str):
    found = look(WHOLE[kind], name)
    assert found.format == kind
    assert f"its bytes are {kind}" in told(found)


def test_a_header_that_claims_ten_gigabytes_is_not_read(tmp_path: Path):
    path = tmp_path / "big.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 10 * 2**30) + b'{"w"')
        file.truncate(11 * 2**30)
    assert "its header of 10737418240 bytes is above" in told(inspect(path))
    assert "beyond" in told(inspect(io.BytesIO(b"\x89HDF\r\n\x1a\n" + bytes([2, 8, 8, 0]) + bytes(8) + b"\xff" * 28)))
    assert "longer than what holds it" in told(inspect(io.BytesIO(b"\x08\x09\x3a\x80\x80\x80\x80\x28")))
    code = b"\x80\x04\x8e" + struct.pack("<Q", 10 * 2**30)
    assert "ends too early" in told(inspect(io.BytesIO(code)))


def test_a_zip_bomb_is_told_and_not_unpacked(look: Look):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as member:
        for _ in range(100):
            member.write(bytes(2**20))
    assert "a bomb?" in told(look(buffer.getvalue()))


def test_a_zip_whose_members_share_bytes_is_a_bomb(look: Look):
    body = zlib.compress(bytes(1000))[2:-4]
    local = b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, 0, len(body), 1000, 1, 0) + b"a" + body
    entry = b"".join(
        b"PK\x01\x02" + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 8, 0, 0, 0, len(body), 1000, 1, 0, 0, 0, 0, 0, 0)
        + name for name in (b"a", b"b", b"c")
    )  # fmt: skip
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 3, 3, len(entry), len(local), 0)
    found = look(local + entry + end)
    assert found.severity == "dangerous"
    assert "share bytes" in told(found)


def test_functions_of_onnx_that_call_each_other_in_a_circle_are_told(look: Look):
    def function(name: str, calls: str) -> bytes:
        node = samples.field(4, calls) + samples.field(7, "local")
        return samples.field(25, samples.field(1, name) + samples.field(7, node) + samples.field(10, "local"))

    circle = samples.onnx_bytes() + function("a", "b") + function("b", "a")
    assert "in a circle" in told(look(circle))
    assert "circle" not in told(look(samples.onnx_bytes() + function("a", "b") + function("b", "Relu")))


def test_graphs_nested_without_end_are_told(look: Look):
    graph = b""
    for _ in range(100):
        graph = samples.field(1, samples.field(4, "If") + samples.field(5, samples.field(6, graph)))
    model = samples.field(1, 9) + samples.field(7, graph) + samples.field(8, samples.field(2, 18))
    assert "nested" in told(look(model))


def test_groups_of_hdf5_that_lead_back_to_themselves_end(tmp_path: Path):
    path = samples.keras_h5(tmp_path / "m.h5")
    with samples.h5py.File(path, "a") as file:
        file["model_weights/conv/again"] = file["model_weights"]
    assert inspect(path).severity == "clean"
    data = bytearray(path.read_bytes())
    tree = data.index(b"TREE")
    data[tree + 5] = 1
    struct.pack_into("<Q", data, tree + 32, tree)
    assert "leads back to itself" in told(inspect(io.BytesIO(bytes(data))))


def test_an_xml_entity_bomb_is_dangerous(look: Look):
    found = look(samples.ENTITY_BOMB)
    assert found.severity == "dangerous"
    assert "document type" in told(found)


@pytest.mark.parametrize(
    ("size", "expected"), [(400, "108 elements of float32 in 400 bytes"), ("-1", "has no place in the .bin")]
)
def test_constants_of_openvino_ir_with_wrong_places_are_told(look: Look, size: int, expected: str):
    assert expected in told(look(samples.openvino_xml(size=size)))


def test_shapes_with_an_axis_of_length_0_are_told(look: Look):
    xml = samples.openvino_xml().replace(b'shape="?,3,8,8"', b'shape="0,3,8,8"')
    assert "axis of length 0" in told(look(xml))
    assert "1 tensors have no elements" in told(look(samples.safetensors({"w": ("F32", [0, 4], 0)})))
    scalar = look(samples.safetensors({"w": ("F32", [], 4)}))
    assert (scalar.facts["parameters"], scalar.findings) == (1, ())


def test_unknown_versions_are_told(look: Look):
    model = samples.onnx_model(opset_imports=[samples.helper.make_opsetid("", 18)])
    model.opset_import[0].version = 999
    model.ir_version = 90
    assert "Its opset 999 is unknown." in told(look(model.SerializeToString()))
    assert "Its IR version 90 is unknown." in told(look(model.SerializeToString()))
    assert "Its IR version '7' is unknown" in told(look(samples.openvino_xml(version="7")))


def test_tensors_of_a_checkpoint_without_their_bytes_are_told(torch_files: dict[str, Path], look: Look):
    with zipfile.ZipFile(torch_files["state.pth"]) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/data/0")}
    assert "1 have no storage" in told(look(samples.zip_of(members)))


def test_what_takes_too_long_or_is_too_large_is_told(look: Look):
    tensors = {f"w{index}": ("F32", [1], 4) for index in range(2000)}
    found = look(samples.safetensors(tensors), limits=Limits(steps=1000))
    assert "more than 1000 steps" in told(found)
    assert "longer than 0 s" in told(look(samples.safetensors(tensors), limits=Limits(seconds=0)))
    deep = b'{"a":' * 300_000
    found = look(struct.pack("<Q", len(deep)) + deep)
    assert found.severity == "suspicious"


def test_a_million_empty_lists_in_a_header_are_counted_before_they_are_made(look: Look):
    text = b'{"w":[' + b"[]," * 1_000_000 + b"[]]}"
    assert "more than 600000 values" in told(look(struct.pack("<Q", len(text)) + text))


def test_a_pickle_of_a_million_nested_tuples_ends(look: Look):
    assert look(b"\x80\x02)" + b"\x85" * 400_000 + b".").severity == "clean"
    assert look(b"\x80\x02}(" + b")" + b"\x85" * 400_000 + b"Nu.").severity == "clean"
