"""The same picture is the same tensor, and the same answers are the same figures, in every runtime.

Each runtime gets a model that hands its input back as its class scores, so that what it was given can be compared bit
by bit.  torch has none among its architectures; there it is TorchScript, and for weights a network whose forward pass
is replaced.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image

from tests.plugins.zoo_torch.samples import fresh_model
from tests.zoo_vision.samples import DIGITS, context_for, inputs, npz_digits, onnx_item, write_digits_model
from zoo_sdk.artifacts import ArtifactDescription, DatasetDescription, Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.discovery import find_operation
from zoo_sdk.execution import LocalContext, run_operation
from zoo_torch.networks.small import SmallNetwork
from zoo_vision.classification import ClassificationMetrics
from zoo_vision.datasets import open_split
from zoo_vision.preprocessing import prepare

SIZES = ((9, 7), (12, 20), (6, 6), (31, 8))
COLOUR = Preprocessing(
    channels=3,
    channel_order="bgr",
    resize=6,
    crop=(5, 4),
    interpolation="bicubic",
    scale=1 / 255,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    label_offset=1,
)
RAW_GREY = Preprocessing(channels=1, resize=6, crop=(6, 5), interpolation="bilinear", scale=1.0)
CASES = [COLOUR, RAW_GREY]


def picture_folder(folder: Path, how: Preprocessing) -> InputItem:
    """Pictures of several sizes as PNG and JPEG, with as many classes as the input has numbers."""
    random = np.random.default_rng(3)
    count = how.channels * how.crop[0] * how.crop[1] - how.label_offset
    classes = tuple(f"c{index:02}" for index in range(count))
    for number, (height, width) in enumerate(SIZES):
        shape = (height, width, 3) if how.channels == 3 else (height, width)
        place = folder / "test" / classes[number]
        place.mkdir(parents=True)
        picture = Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8))
        picture.save(place / f"p.{'jpg' if number % 2 else 'png'}")
    description = DatasetDescription(format="image-folder", classes=classes, splits={"test": {"folder": "test"}})
    return InputItem(reference="data/pictures@1", folder=folder, dataset=description)


def flattening_onnx(folder: Path, how: Preprocessing) -> InputItem:
    shape = ["n", how.channels, *how.crop]
    node = helper.make_node("Flatten", ["x"], ["y"])
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    result = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", int(np.prod(shape[1:]))])]
    model = helper.make_model(
        helper.make_graph([node], "flat", ports, result), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )
    onnx.save(model, str(folder / "flat.onnx"))
    return onnx_item(folder / "flat.onnx", preprocessing=how)


def script_item(module: torch.nn.Module, folder: Path, how: Preprocessing) -> InputItem:
    """A module as a TorchScript file."""
    folder.mkdir(exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(module.eval(), torch.zeros(2, how.channels, *how.crop)), folder / "net.jit")
    artifact = ArtifactDescription(format="torchscript", files=("net.jit",), preprocessing=how)
    return InputItem(reference="demo/script@1", folder=folder, artifact=artifact)


def seen_inputs(
    operation: str, model: InputItem, data: InputItem, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[NDArray[Any], list[int]]:
    """What the runtime handed back, and the labels, in the order of the split."""
    outputs, labels = [], []
    original = ClassificationMetrics.update

    def spy(self: ClassificationMetrics, given: NDArray[Any], targets: NDArray[Any]) -> None:
        outputs.append(np.array(given))
        labels.extend(targets.tolist())
        original(self, given, targets)

    with monkeypatch.context() as patch:
        patch.setattr(ClassificationMetrics, "update", spy)
        spec = find_operation(operation)
        context = context_for(spec, folder)
        size = {"batch_size": 3} if operation.startswith("torch") else {"batch": 3}
        run_operation(spec, size, inputs(model=model, data=data), context)
    return np.concatenate(outputs), labels


@pytest.mark.parametrize("how", CASES, ids=["colour", "grey"])
def test_the_same_picture_is_the_same_tensor_in_every_runtime_bit_by_bit(
    how: Preprocessing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = picture_folder(tmp_path / "data", how)
    split = open_split(data, "test")
    wanted = prepare(split.source.take(range(len(split))), how).reshape(len(split), -1)
    flat = flattening_onnx(tmp_path, how)
    weights = fresh_model(tmp_path / "weights", classes=wanted.shape[1], preprocessing=how)
    monkeypatch.setattr(SmallNetwork, "forward", lambda self, x: x.flatten(1))
    runs = {
        "onnxruntime.evaluate": flat,
        "openvino.evaluate": flat,
        "torch.evaluate": weights,
        "torch.evaluate of TorchScript": script_item(torch.nn.Flatten(), tmp_path / "script", how),
    }
    for title, model in runs.items():
        found, labels = seen_inputs(title.split(" ")[0], model, data, tmp_path / title, monkeypatch)
        assert found.dtype == np.float32, title
        assert found.tobytes() == wanted.tobytes(), title
        assert labels == (split.labels + how.label_offset).tolist(), title


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, InputItem, InputItem]:
    folder = tmp_path_factory.mktemp("digits")
    return folder, onnx_item(write_digits_model(folder / "digits.onnx")), npz_digits(folder / "data")


def run(operation: str, folder: Path, **ports: InputItem) -> LocalContext:
    spec = find_operation(operation)
    context = context_for(spec, folder)
    run_operation(spec, {}, inputs(**ports), context)
    return context


def test_the_same_model_has_the_same_figures_and_predictions_in_every_runtime(digits_run: Any, tmp_path: Path) -> None:
    _, model, data = digits_run
    contexts = [run(name, tmp_path, model=model, data=data) for name in ("onnxruntime.evaluate", "openvino.evaluate")]
    first, second = ({item.name: item.value for item in context.measurements} for context in contexts)
    assert {"top1", "top5", "loss", "f1_macro", "calibration_error", "size_bytes", "macs"} <= set(first)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value == pytest.approx(second[name], rel=1e-4), name
    one, other = (context.reports[0] for context in contexts)
    assert one.content["predictions"] == other.content["predictions"]
    assert one.content["confusion"] == other.content["confusion"]
    assert (one.kind, one.dataset_port, one.split, one.runtime) == ("classification", "data", "test", "onnxruntime")
    names = [row["name"] for row in one.content["per_class"]]
    assert names == list(DIGITS)
