"""Of every format: it is identified, and what the file says about the model is told."""

from pathlib import Path

import numpy as np
import pytest

from tests.zoo_inspection import samples
from tests.zoo_inspection.conftest import Look
from zoo_inspection import inspect
from zoo_inspection.torch_files import places_of

PORT_X = {"name": "x", "dtype": "float32", "shape": [None, 3, 8, 8], "layout": ""}
TENSORS = [["conv.weight", "float32", [4, 3, 3, 3]], ["conv.bias", "float32", [4]]]


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("weights_only", [False, True])
def test_keras_h5_is_read_in_old_and_new_layouts_of_hdf5(tmp_path: Path, libver: str, weights_only: bool):
    found = inspect(samples.keras_h5(tmp_path / "m.h5", libver=libver, weights_only=weights_only), name="m.h5")
    assert (found.format, found.severity) == ("keras-h5", "clean")
    assert found.facts["layout"] == ("weights only" if weights_only else "whole model")
    assert (found.facts["keras_version"], found.facts["parameters"]) == ("2.4.0", 108 + 4 + 1440 + 10)
    assert ["conv/conv/kernel:0", "float32", [3, 3, 3, 4]] in found.facts["weights"]["rows"]
    if not weights_only:
        assert found.facts["layers"]["rows"] == [["x", "InputLayer"], ["conv", "Conv2D"], ["fc", "Dense"]]
        expected = {"name": "x", "dtype": "float32", "shape": [None, 8, 8, 3], "layout": "NHWC"}
        assert (found.facts["inputs"], found.facts["outputs"][0]["name"]) == ([expected], "fc")


def test_a_keras_archive_is_read_with_its_weights(tmp_path: Path, look: Look):
    found = look(samples.keras_archive(tmp_path), "m.keras")
    assert (found.format, found.severity, found.facts["keras_version"]) == ("keras", "clean", "3.15.1")
    assert (found.facts["parameters"], found.facts["precision"]) == (108, "fp16")


def test_a_saved_model_tells_its_signature_and_operators(look: Look):
    found = look(samples.saved_model("Conv2D", "BiasAdd"), "saved_model.pb")
    assert (found.format, found.severity) == ("savedmodel", "clean")
    assert found.facts["tensorflow_version"] == "2.21.0"
    assert found.facts["inputs"] == [{"name": "x", "dtype": "float32", "shape": [None, 3], "layout": ""}]
    assert found.facts["operators"] == {"BiasAdd": 1, "Conv2D": 1, "Relu": 1}


def test_tflite_tells_inputs_outputs_and_weights(look: Look):
    found = look(samples.tflite(), "m.tflite")
    assert (found.format, found.severity) == ("tflite", None)
    assert found.facts["inputs"] == [{"name": "x", "dtype": "float32", "shape": [1, 8], "layout": ""}]
    assert (found.facts["parameters"], found.facts["precision"]) == (32, "int8")
    assert (found.facts["operators"], found.facts["producer"]) == (["FULLY_CONNECTED"], "made here")


@pytest.mark.parametrize("name", ["state.pth", "legacy.pth", "best.pth.tar"])
def test_checkpoints_of_torch_tell_their_tensors(torch_files: dict[str, Path], name: str):
    found = inspect(torch_files[name], name=name)
    assert (found.format, found.severity) == ("pickle", "clean")
    assert found.facts["weights"]["rows"][:2] == TENSORS
    assert (found.facts["parameters"], found.facts["precision"]) == (108 + 4 + 8 + 10, "fp32")
    if name == "best.pth.tar":
        assert found.facts["container"] == "state_dict"
        assert found.facts["about"] == {"arch": "net", "epoch": 3, "best_acc1": 71.5}


def test_the_tensors_of_pickled_modules_are_found_without_their_classes(torch_files: dict[str, Path]):
    found = inspect(torch_files["yolov5.pt"], name="yolov5.pt")
    assert (found.format, found.severity) == ("pickle", "suspicious")
    assert (found.facts["class"], found.facts["container"], found.facts["precision"]) == (
        "models.yolo.Model", "model", "fp16",
    )  # fmt: skip
    assert found.facts["weights"]["rows"][0] == ["conv.weight", "float16", [4, 3, 3, 3]]
    assert any("models.yolo.Model" in finding["reason"] for finding in found.findings)


@pytest.mark.parametrize("name", ["state.pth", "legacy.pth", "best.pth.tar", "yolov5.pt"])
def test_the_places_of_tensors_hold_their_values(torch_files: dict[str, Path], name: str):
    import torch

    path = torch_files[name]
    places = {place.tensor.name: place for place in places_of(path)}
    assert len(places) == 9
    place = places["conv.weight"]
    dtype = {"float16": "<f2", "float32": "<f4"}[place.tensor.dtype]
    with path.open("rb") as file:
        file.seek(place.position)
        values = np.frombuffer(file.read(place.size), dtype)
    assert values.size == 108
    if name != "yolov5.pt":
        loaded = torch.load(path, weights_only=True)
        state = loaded.get("state_dict", loaded)
        assert np.array_equal(values.reshape(4, 3, 3, 3), state["conv.weight"].numpy())


def test_torchscript_is_a_program_with_an_entry(torch_files: dict[str, Path]):
    found = inspect(torch_files["traced.pt"], name="traced.pt")
    assert (found.format, found.severity) == ("torchscript", "suspicious")
    assert ([given["name"] for given in found.facts["inputs"]], found.facts["parameters"]) == (["x"], 130)
    assert "torch._convolution" in found.facts["operators"]


def test_a_torch_export_program_tells_its_signature(torch_files: dict[str, Path]):
    found = inspect(torch_files["program.pt2"], name="program.pt2")
    assert (found.format, found.severity) == ("torch-export", "clean")
    assert found.facts["inputs"] == [PORT_X]
    assert found.facts["outputs"][0]["shape"] == [None, 2]
    assert found.facts["weights"]["rows"][0] == TENSORS[0]
    assert found.facts["producer"].startswith("torch 2.")


def test_onnx_tells_versions_signature_and_initialisers(look: Look):
    found = look(samples.onnx_bytes(), "m.onnx")
    assert (found.format, found.severity) == ("onnx", None)
    assert (found.facts["opsets"], found.facts["producer"]) == ({"ai.onnx": 18}, "zoo 1")
    assert (found.facts["inputs"], found.facts["parameters"]) == ([PORT_X], 108)
    assert found.facts["layers"]["rows"] == [["conv", "Conv"]]


def test_onnx_names_the_external_data_that_it_needs(look: Look):
    found = look(samples.onnx_with_external("weights.bin"))
    assert (found.format, found.severity, found.facts["external_data"]) == ("onnx", None, {"weights.bin": 496})


def test_openvino_ir_tells_its_signature_and_the_bytes_that_it_needs(look: Look):
    found = look(samples.openvino_xml(), "m.xml")
    assert (found.format, found.severity) == ("openvino-ir", None)
    assert (found.facts["inputs"], found.facts["bin_size_needed"]) == ([PORT_X], 432)
    assert (found.facts["outputs"][0]["name"], found.facts["outputs"][0]["shape"]) == ("y", [None, 4])
    assert (found.facts["precision"], found.facts["producer"]) == ("fp32", "openvino 2026.4")


@pytest.mark.parametrize("layout", ["A", "B", "D"])
def test_oneflow_checkpoints_are_read_in_all_layouts_of_folders(look: Look, layout: str):
    found = look(samples.oneflow_zip(layout), "m.zip")
    name = {"A": "fc.weight", "B": "fc.weight", "D": "m.fc.weight"}[layout]
    assert (found.format, found.facts["layout"][0]) == ("oneflow", layout)
    assert (found.facts["weights"]["rows"], found.facts["parameters"]) == ([[name, "float32", [2, 3]]], 6)
    assert found.severity == ("suspicious" if layout == "B" else "clean")


def test_oneflows_single_pickle_is_read(look: Look):
    found = look(samples.oneflow_single())
    assert (found.format, found.severity, found.facts["layout"][0]) == ("oneflow", "clean", "C")
    assert found.facts["parameters"] == 6


def test_darknet_cfg_and_weights_agree_on_their_parameters(look: Look):
    cfg, weights = look(samples.CFG, "m.cfg"), look(samples.darknet_weights(), "m.weights")
    assert (cfg.format, weights.format) == ("darknet", "darknet")
    assert cfg.facts["parameters"] == weights.facts["parameters"] == 4 * 3 * 9 + 4 * 4
    assert cfg.facts["layers"]["rows"][0] == ["0", "convolutional", [4, 16, 16], 124]
    assert cfg.facts["outputs"][0]["shape"] == [None, 8, 8, 8]


def test_a_tensorrt_plan_is_known_and_never_clean(look: Look):
    found = look(samples.plan(samples.elf(190)), "m.plan")
    assert (found.format, found.severity) == ("tensorrt-plan", "suspicious")
    assert look(samples.plan(samples.elf(62)), "m.plan").severity == "dangerous"


def test_tables_are_bounded(look: Look):
    tensors = {f"w{index}": ("F32", [1], 4) for index in range(2000)}
    found = look(samples.safetensors(tensors))
    assert (found.facts["weights"]["count"], len(found.facts["weights"]["rows"])) == (2000, 500)
