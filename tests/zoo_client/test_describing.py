"""Which artifacts a folder holds: by suffix where it means one format, by the bytes where it may mean several."""

import struct
from pathlib import Path

import pytest

from tests.zoo_inspection.samples import (
    keras_archive,
    keras_h5,
    onnx_bytes,
    onnx_with_external,
    openvino_xml,
    saved_model,
    tflite,
)
from zoo_client.describing import collect_files, describe_artifacts

CFG = b"[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=2\nsize=1\nstride=1\nactivation=linear\n"


def described(folder: Path, files: dict[str, bytes]) -> list[tuple[str, tuple[str, ...]]]:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    found = describe_artifacts(collect_files([folder]))
    return [(item.format, item.files) for item in found]


def test_a_graph_takes_the_files_along_that_it_reads_its_weights_from(tmp_path: Path) -> None:
    files = {"a/net.onnx": onnx_with_external("w.bin"), "a/w.bin": bytes(432), "ir.xml": openvino_xml()}
    assert described(tmp_path, files | {"ir.bin": bytes(432)}) == [
        ("onnx", ("a/net.onnx", "a/w.bin")),
        ("openvino-ir", ("ir.xml", "ir.bin")),
    ]


def test_a_saved_model_and_a_darknet_network_come_with_all_their_parts(tmp_path: Path) -> None:
    files = {
        "saved_model.pb": saved_model("MatMul"),
        "variables/variables.index": b"\0",
        "variables/variables.data-00000-of-00001": bytes(8),
        "yolo.cfg": CFG,
        "yolo.weights": (0).to_bytes(4, "little")
        + (2).to_bytes(4, "little")
        + bytes(12)
        + struct.pack("<8f", *range(8)),
    }
    assert described(tmp_path, files) == [
        ("savedmodel", ("saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index")),
        ("darknet", ("yolo.weights", "yolo.cfg")),
    ]


@pytest.mark.parametrize(
    ("name", "kind"), [("net.tflite", "tflite"), ("net.onnx", "onnx"), ("net.engine", "tensorrt-plan")]
)
def test_a_suffix_that_means_one_format_needs_no_look(tmp_path: Path, name: str, kind: str) -> None:
    data = {"tflite": tflite(), "onnx": onnx_bytes()}.get(kind, b"plan")
    assert described(tmp_path, {name: data}) == [(kind, (name,))]


def test_the_keras_formats_are_told_apart_and_plain_hdf5_is_no_artifact(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "table.h5", "w") as file:
        file["rows"] = [1, 2, 3]
    keras_h5(tmp_path / "net.h5")
    apart = tmp_path.with_name(f"{tmp_path.name}-apart")
    apart.mkdir()
    assert described(tmp_path, {"net.keras": keras_archive(apart)}) == [
        ("keras-h5", ("net.h5",)),
        ("keras", ("net.keras",)),
    ]


def test_a_pt_file_is_what_its_bytes_are(tmp_path: Path) -> None:
    from tests.zoo_inspection.samples import zip_of

    script = {f"net/{name}": data for name, data in {
        "constants.pkl": b"\x80\x02).", "version": b"3\n", "code/__torch__.py": b"", "data.pkl": b"\x80\x02).",
    }.items()}  # fmt: skip
    assert described(tmp_path, {"a.pt": zip_of(script), "b.pt": b"\x80\x02}q\x00."}) == [
        ("torchscript", ("a.pt",)),
        ("pickle", ("b.pt",)),
    ]


def test_bytes_that_nobody_knows_go_by_their_suffix_or_are_no_artifact(tmp_path: Path) -> None:
    assert described(tmp_path, {"a.pth": b"\0\1\2", "b.bin": b"\0\1\2", "c.zip": b"\0\1\2"}) == [("pickle", ("a.pth",))]
