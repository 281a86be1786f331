"""The formats of artifacts: their names, what their files look like, and which runtime reads them."""

from enum import StrEnum
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict

from zoo_sdk.errors import UnknownName


class Format(BaseModel):
    """One file format (or directory format: several files that are one artifact).

    ``suffixes`` are the usual ones, first file first; they are a hint for people, never proof of the content.
    ``executable``: loading such a file may run code.  It is stored and scanned, the registry never loads it, and a
    worker only in the process of an attempt, for an operation that names the format.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    suffixes: tuple[str, ...]
    runtime: str | None = None
    executable: bool = False


class Runtime(StrEnum):
    """What executes an artifact."""

    TORCH = "torch"
    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    NUMPY = "numpy"
    KERAS = "keras"
    TENSORFLOW = "tensorflow"
    TFLITE = "tflite"
    TENSORRT = "tensorrt"


_FORMATS = (
    Format(
        name="safetensors", title="PyTorch weights (safetensors)", suffixes=(".safetensors",), runtime=Runtime.TORCH
    ),
    Format(name="onnx", title="ONNX", suffixes=(".onnx",), runtime=Runtime.ONNXRUNTIME),
    Format(name="openvino-ir", title="OpenVINO IR", suffixes=(".xml", ".bin"), runtime=Runtime.OPENVINO),
    Format(
        name="pickle", title="Python pickle", suffixes=(".pth", ".pt", ".pkl", ".bin", ".ckpt", ".tar"), executable=True
    ),
    Format(name="torchscript", title="TorchScript", suffixes=(".jit", ".pt"), runtime=Runtime.TORCH, executable=True),
    Format(
        name="zoo-integer",
        title="Packed integer weights with their graph",
        suffixes=(".integers",),
        runtime=Runtime.NUMPY,
    ),
    Format(name="torch-export", title="torch.export program", suffixes=(".pt2",), runtime=Runtime.TORCH),
    Format(name="keras-h5", title="Keras HDF5", suffixes=(".h5", ".hdf5"), runtime=Runtime.KERAS),
    Format(name="keras", title="Keras 3 archive", suffixes=(".keras",), runtime=Runtime.KERAS),
    Format(name="savedmodel", title="TensorFlow SavedModel", suffixes=(".pb",), runtime=Runtime.TENSORFLOW),
    Format(name="tflite", title="TensorFlow Lite", suffixes=(".tflite",), runtime=Runtime.TFLITE),
    Format(
        name="tensorrt-plan",
        title="TensorRT plan",
        suffixes=(".plan", ".engine", ".trt"),
        runtime=Runtime.TENSORRT,
        executable=True,
    ),
    Format(name="oneflow", title="OneFlow checkpoint", suffixes=(".zip",), executable=True),
    Format(name="darknet", title="Darknet network", suffixes=(".weights", ".cfg")),
    Format(name="idx", title="IDX arrays", suffixes=("-ubyte", "-ubyte.gz", ".idx", ".idx.gz")),
    Format(name="npz", title="NumPy archive", suffixes=(".npz",)),
    Format(name="image-folder", title="Folder of images by split and class", suffixes=(".png", ".jpg", ".jpeg")),
    Format(name="json", title="JSON", suffixes=(".json",)),
    Format(name="text", title="Text", suffixes=(".txt", ".md", ".yaml", ".yml")),
    Format(name="opaque", title="Unknown bytes", suffixes=()),
)
FORMATS = MappingProxyType({item.name: item for item in _FORMATS})
DATASET_FORMATS = ("idx", "npz", "image-folder")


def find_format(name: str) -> Format:
    """The format of that name; raises :class:`UnknownName` with the nearest known ones."""
    if name not in FORMATS:
        raise UnknownName("format", name, FORMATS)
    return FORMATS[name]
