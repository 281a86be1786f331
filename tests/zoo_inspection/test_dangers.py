"""Whatever could harm when a file is loaded is found, and said with its reason."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.zoo_inspection import samples
from tests.zoo_inspection.conftest import Look
from zoo_inspection import Inspection, inspect
from zoo_inspection.pickles.names import severity_of


def reasons(found: Inspection, severity: str = "dangerous") -> str:
    return "\n".join(finding["reason"] for finding in found.findings if finding["severity"] == severity)


@pytest.mark.parametrize(
    ("layer", "severity"),
    [
        ({"class_name": "Lambda", "config": {"name": "l", "function": ["4wEAAAA", None, None]}}, "dangerous"),
        ({"class_name": "TorchModuleWrapper", "config": {"name": "l", "module": "gAJ"}}, "dangerous"),
        ({"class_name": "TFSMLayer", "config": {"name": "l", "filepath": "/etc"}}, "dangerous"),
        ({"class_name": "DistillLossLayer", "config": {"name": "l", "teacher_path": "t.h5"}}, "dangerous"),
        ({"class_name": "StringLookup", "config": {"name": "l", "vocabulary": "/etc/passwd"}}, "dangerous"),
        ({"module": "os", "class_name": "function", "config": {"name": "l"}}, "dangerous"),
        ({"module": "builtins", "class_name": "eval", "config": {"name": "l"}}, "dangerous"),
        ({"class_name": "TFOpLambda", "config": {"name": "l", "function": "math.add"}}, "suspicious"),
        ({"class_name": "MyAttention", "config": {"name": "l"}}, "suspicious"),
        ({"class_name": "Addons>GroupNorm", "config": {"name": "l"}}, "suspicious"),
        ({"module": "mine.layers", "class_name": "Swish", "config": {"name": "l"}}, "suspicious"),
        ({"class_name": "Activation", "config": {"name": "l", "activation": "relu6"}}, "clean"),
        (
            {
                "module": "keras.layers",
                "class_name": "Dense",
                "registered_name": None,
                "config": {"name": "l", "kernel_initializer": {"module": "keras.initializers", "class_name": "Zeros"}},
            },
            "clean",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["h5", "keras"])
def test_layers_of_keras_are_judged(tmp_path: Path, look: Look, layer: dict[str, Any], severity: str, kind: str):
    config = samples.keras_config(layer)
    if kind == "h5":
        found = inspect(samples.keras_h5(tmp_path / "m.h5", config=config))
    else:
        found = look(samples.keras_archive(tmp_path, config))
    assert found.severity == severity, found.findings


def test_a_danger_deep_inside_a_nested_model_is_found(tmp_path: Path):
    trap = {"class_name": "TimeDistributed", "config": {"name": "t", "layer": {"class_name": "Lambda", "config": {}}}}
    inner = samples.keras_config(trap)
    inner["config"]["name"] = "inner"
    found = inspect(samples.keras_h5(tmp_path / "m.h5", config=samples.keras_config(inner)))
    assert "Lambda" in reasons(found)


def test_keras_functions_that_fetch_files_are_dangerous(tmp_path: Path, look: Look):
    call = {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"}
    layer = {"class_name": "Dense", "config": {"name": "l", "activation": call}}
    assert "get_file" in reasons(look(samples.keras_archive(tmp_path, samples.keras_config(layer))))


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_links_and_outside_data_of_hdf5_are_found(tmp_path: Path, libver: str):
    outside = samples.keras_h5(tmp_path / "external.h5", libver=libver)
    with h5py.File(outside, "a", libver=libver) as file:
        file["model_weights/elsewhere"] = h5py.ExternalLink("/etc/secret.h5", "/x")
        file["model_weights/soft"] = h5py.SoftLink("/model_weights/fc")
    found = inspect(outside)
    assert "/etc/secret.h5" in reasons(found) or "external" in reasons(found)
    assert "soft link" in reasons(found, "suspicious")

    external = samples.keras_h5(tmp_path / "raw.h5", libver=libver)
    with h5py.File(external, "a", libver=libver) as file:
        file.create_dataset("model_weights/raw", (4,), np.float32, external=[("/etc/passwd", 0, 16)])
    assert "another file" in reasons(inspect(external))

    virtual = samples.keras_h5(tmp_path / "virtual.h5", libver=libver)
    with h5py.File(virtual, "a", libver="latest") as file:
        layout = h5py.VirtualLayout((4,), np.float32)
        layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
        file.create_virtual_dataset("model_weights/virtual", layout)
    assert "other files" in reasons(inspect(virtual))


def test_dense_groups_of_hdf5_are_not_passed_over_in_silence(tmp_path: Path):
    path = tmp_path / "dense.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["layer_names"] = [b"l"]
        for index in range(50):
            file.create_group(f"layer_{index}")
    assert "densely" in reasons(inspect(path), "suspicious")


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "a/b.bin", "..\\w.bin", "", "a\0b", "file://x"])
def test_external_data_of_onnx_outside_its_folder_is_dangerous(look: Look, location: str):
    found = look(samples.onnx_with_external(location))
    assert found.severity == "dangerous"
    assert "no plain name" in reasons(found)


@pytest.mark.parametrize("operator", ["ReadFile", "WriteFile", "PyFunc", "EagerPyFunc"])
def test_operators_of_a_saved_model_that_reach_files_are_dangerous(look: Look, operator: str):
    assert operator in reasons(look(samples.saved_model("Relu", operator)))


def test_custom_operators_are_suspicious(look: Look):
    custom = samples.helper.make_opsetid("mine", 1)
    model = samples.onnx_model(opset_imports=[samples.helper.make_opsetid("", 18), custom])
    model.graph.node[0].domain = "mine"
    assert "'mine'" in reasons(look(model.SerializeToString()), "suspicious")
    assert "Detect" in reasons(look(samples.tflite(custom="Detect")), "suspicious")
    extension = '<layer id="2" name="e" type="Mine" version="extension"/>'
    assert "Mine" in reasons(look(samples.openvino_xml(extra=extension)), "suspicious")


def test_a_program_that_opens_files_is_dangerous(torch_files: dict[str, Path]):
    found = inspect(torch_files["reads.pt"])
    assert found.format == "torchscript"
    assert "from_file" in reasons(found)


def test_tensors_of_oneflow_outside_their_folder_are_dangerous(look: Look):
    assert "../../etc" in reasons(look(samples.oneflow_zip("B", path="../../etc")))


@pytest.mark.parametrize("name", ["../../evil", "/etc/cron.d/x", "a/../../b", "..\\evil", "C:\\x"])
def test_archives_that_would_be_unpacked_elsewhere_are_dangerous(look: Look, name: str):
    assert "outside its folder" in reasons(look(samples.zip_of({"ok.txt": b"x", name: b"y"})))


def test_symbolic_links_in_archives_are_dangerous(look: Look):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("weights.npy")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert "symbolic link" in reasons(look(buffer.getvalue()))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_dangerous(look: Look):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02N.")
        archive.writestr("archive/data.pkl", b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00x\x85R.")
    assert "twice" in reasons(look(buffer.getvalue()))


def test_members_called_differently_in_the_table_of_contents_are_found(look: Look):
    data = samples.zip_of({"archive/data.pkl": b"\x80\x02N."})
    swapped = data.replace(b"archive/data.pkl", b"archive/dxta.pkl", 1)
    assert "is called" in reasons(look(swapped), "suspicious")


def test_a_pickle_inside_an_archive_inside_an_archive_is_scanned(look: Look):
    inner = samples.zip_of({"archive/data.pkl": b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00x\x85R."})
    assert "os.system" in reasons(look(samples.zip_of({"config.txt": b"", "weights.pt": inner})))


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("torch.os.system", "dangerous"),
        ("numpy.lib.npyio.load", "dangerous"),
        ("collections.OrderedDict.__init__.__globals__", "dangerous"),
        ("torch.utils.cpp_extension.load_inline", "dangerous"),
        ("pathlib.PosixPath", "suspicious"),
        ("torch.nn.modules.conv.Conv2d", "suspicious"),
        ("models.yolo.Model", "suspicious"),
        ("torch._utils._rebuild_qtensor", "clean"),
    ],
)
def test_names_that_walk_through_harmless_modules_are_judged(name: str, severity: str):
    assert severity_of(name) == severity


@pytest.mark.parametrize(
    "data",
    [
        b"V\\u006fs\nV\\u0073ystem\n\x93.",
        b"S'o\\x73'\nS'syst\\145m'\n\x93.",
        b"\x80\x02cos\nsystem\n(K\x01d.",
        b"\x80\x04(\x8c\x02os\x8c\x06systemo.",
    ],
    ids=["unicode escapes", "string escapes", "then damaged", "an object of texts"],
)
def test_names_hidden_by_escapes_are_found(look: Look, data: bytes):
    found = look(data, "x.pkl")
    assert found.severity == ("dangerous" if b"systemo" not in data else "clean")


def test_findings_are_kept_when_a_file_is_damaged_further_on(look: Look):
    layer = {"class_name": "Lambda", "config": {"name": "l"}}
    members = {"config.json": json.dumps(samples.keras_config(layer)).encode(), "model.weights.h5": b"broken"}
    found = look(samples.zip_of(members))
    assert "Lambda" in reasons(found)
    assert "weights cannot be looked at" in reasons(found, "suspicious")
