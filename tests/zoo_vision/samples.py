"""Real data and a real small model for the tests of the vision room and of the plugins.

The data are scikit-learn's digits (1797 pictures of 8 x 8, ten classes).  The model has fixed random convolutions and a
last layer fitted by least squares, so it needs no training loop and still reads about 95 % of unseen digits.
"""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

from zoo_sdk.artifacts import ArtifactDescription, DatasetDescription, Preprocessing
from zoo_sdk.context import InputItem, Inputs
from zoo_sdk.execution import LocalContext, Workplace
from zoo_sdk.operations import OperationSpec
from zoo_vision.preprocessing import prepare

DIGITS = tuple("0123456789")
TRAINING_SAMPLES = 1297
TEST_SAMPLES = 500
PREPROCESSING = Preprocessing(channels=1, crop=(8, 8), mean=(0.3053,), std=(0.3759,))
CHANNELS = 16
MACS = 64 * CHANNELS * 9 + 16 * CHANNELS * 9 + CHANNELS * 16 * 10
PARAMETERS = (CHANNELS * 9 + CHANNELS) * 2 + CHANNELS * 16 * 10 + 10


def digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All digits as (1797, 8, 8) in 0..255, and their labels."""
    data = load_digits()
    return np.round(data.images * 255 / 16).astype(np.uint8), data.target.astype(np.int64)


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def npz_digits(folder: Path, *, classes: tuple[str, ...] = DIGITS, **changes: Any) -> InputItem:
    """Digits as an npz data set with the splits ``train`` and ``test``; ``changes`` replace arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = digits()
    arrays = {
        "train_images": images[:TRAINING_SAMPLES],
        "train_labels": labels[:TRAINING_SAMPLES],
        "test_images": images[TRAINING_SAMPLES:],
        "test_labels": labels[TRAINING_SAMPLES:],
        **changes,
    }
    np.savez_compressed(folder / "digits.npz", **arrays)
    splits = {
        name: {"archive": "digits.npz", "images": f"{name}_images", "labels": f"{name}_labels"}
        for name in ("train", "test")
    }
    return InputItem(
        reference="data/digits@1",
        folder=folder,
        dataset=DatasetDescription(format="npz", classes=classes, splits=splits),
    )


def idx_digits(folder: Path, suffix: str = "") -> InputItem:
    """Digits as an IDX data set with one split, ``all``."""
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = digits()
    names = {"images": f"images-idx3-ubyte{suffix}", "labels": f"labels-idx1-ubyte{suffix}"}
    write_idx(folder / names["images"], images)
    write_idx(folder / names["labels"], labels.astype(np.uint8))
    description = DatasetDescription(format="idx", classes=DIGITS, splits={"all": names})
    return InputItem(reference="data/digits-idx@1", folder=folder, dataset=description)


def write_digits_model(path: Path, *, batch: int | str = "batch", seed: int = 0) -> Path:
    """A real ONNX classifier of the digits: Conv, Relu, MaxPool, depthwise Conv, Relu, Flatten, Gemm."""
    random = np.random.default_rng(seed)
    weights = {
        "first_weight": random.normal(0, 1 / 3, (CHANNELS, 1, 3, 3)),
        "first_bias": random.normal(0, 0.1, CHANNELS),
        "depth_weight": random.normal(0, 1 / 3, (CHANNELS, 1, 3, 3)),
        "depth_bias": random.normal(0, 0.1, CHANNELS),
    }
    images, labels = digits()
    inputs = prepare(images[:TRAINING_SAMPLES], PREPROCESSING)
    body = _model(weights, head=False, batch="batch")
    session = onnxruntime.InferenceSession(body.SerializeToString(), providers=["CPUExecutionProvider"])
    features = session.run(None, {"image": inputs})[0].astype(np.float64)
    extended = np.hstack([features, np.ones((len(features), 1))])
    targets = np.eye(10)[labels[:TRAINING_SAMPLES]] * 10
    solution = np.linalg.solve(extended.T @ extended + 5 * np.eye(extended.shape[1]), extended.T @ targets)
    weights |= {"head_weight": solution[:-1], "head_bias": solution[-1]}
    onnx.save(_model(weights, head=True, batch=batch), str(path))
    return path


def _model(weights: dict[str, NDArray[Any]], *, head: bool, batch: int | str) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["image", "first_weight", "first_bias"], ["a"], pads=[1, 1, 1, 1], name="first"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node(
            "Conv", ["c", "depth_weight", "depth_bias"], ["d"], pads=[1, 1, 1, 1], group=CHANNELS, name="depth"
        ),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["features"]),
    ]
    if head:
        nodes.append(helper.make_node("Gemm", ["features", "head_weight", "head_bias"], ["scores"], name="head"))
    result = helper.make_tensor_value_info(
        "scores" if head else "features", TensorProto.FLOAT, [batch, 10 if head else CHANNELS * 16]
    )
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 1, 8, 8])],
        [result],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def onnx_item(
    path: Path,
    *,
    preprocessing: Preprocessing | None = PREPROCESSING,
    format: str = "onnx",  # noqa: A002
) -> InputItem:
    """A model input for a file."""
    artifact = ArtifactDescription(
        format=format, files=(path.name,), preprocessing=preprocessing, details={"opset": 20, "architecture": "tiny"}
    )
    return InputItem(reference="demo/digits@1", folder=path.parent, artifact=artifact)


def made_item(context: LocalContext, reference: str = "demo/made@1") -> InputItem:
    """The output of a finished operation, as an input of the next."""
    return InputItem(reference=reference, folder=context.output(), artifact=context.artifacts["model"][0])


def inputs(**ports: InputItem) -> Inputs:
    return Inputs(ports={name: (item,) for name, item in ports.items()})


def context_for(spec: OperationSpec, folder: Path, **changes: Any) -> LocalContext:
    return LocalContext(spec, Workplace.under(folder / spec.name), **changes)


def measured(context: LocalContext) -> dict[str, float]:
    """The values measured, by name."""
    return {item.name: item.value for item in context.measurements}
