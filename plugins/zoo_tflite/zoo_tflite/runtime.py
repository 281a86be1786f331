"""Opens TFLite models in LiteRT's interpreter: one picture input, one output of class scores, on the CPU."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, OperationError
from zoo_sdk.formats import Runtime
from zoo_vision.agreement import check_input_fits, preprocessing_of

RUNTIME = str(Runtime.TFLITE)
DEVICE = "cpu"
MAX_BYTES = 2 * 2**30
"""Offsets in the format have 31 bits."""
_IDENTIFIER = b"TFL3"


def versions() -> dict[str, str]:
    """The versions that belong beside every figure."""
    return {"ai-edge-litert": version("ai-edge-litert"), "numpy": np.__version__}


class Model:
    """An open file: calling it maps one float32 batch of the file's own size to float32 outputs."""

    def __init__(self, path: Path, threads: int, *, keep_all: bool = False) -> None:
        """Open ``path``; ``keep_all``: values inside the graph stay readable.

        Raises:
            InvalidInput: no TFLite file, a damaged one, or one with operations that the interpreter lacks.

        """
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(8)
        if head[4:8] != _IDENTIFIER or size > MAX_BYTES:
            raise InvalidInput(
                f"{path.name!r} is no TFLite file: its identifier is {head[4:8]!r}, its size {size:,} bytes.",
                hint="Push the .tflite file as it was written.",
            )
        try:
            self._interpreter = _debugged(path) if keep_all else Interpreter(str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise InvalidInput(
                f"LiteRT {version('ai-edge-litert')} cannot open {path.name!r}: {str(error)[:1000]}",
                hint="Check that the file is whole and needs built-in operations only, none of TensorFlow.",
            ) from error
        self.inputs: list[dict[str, Any]] = self._interpreter.get_input_details()
        self.outputs: list[dict[str, Any]] = self._interpreter.get_output_details()

    def __call__(self, inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Run one batch; integers are made from floats and floats from integers by the file's own scales."""
        (port,) = self.inputs
        try:
            self._interpreter.set_tensor(port["index"], _quantised(inputs, port))
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise OperationError(f"LiteRT could not run the model: {str(error)[:1000]}") from error
        return [_floats(self._interpreter.get_tensor(one["index"]), one) for one in self.outputs]

    def value(self, index: int) -> NDArray[Any]:
        """A value inside the graph after a run."""
        return np.array(self._interpreter.get_tensor(index))


def _debugged(path: Path) -> Interpreter:
    """Keeps all values; without the delegate that fuses operators, whose values in between would stay empty."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that this takes memory
        return Interpreter(
            str(path),
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )


def _quantised(values: NDArray[np.float32], port: dict[str, Any]) -> NDArray[Any]:
    if port["dtype"] == np.float32:
        return values
    scale, zero = port["quantization"]
    limits = np.iinfo(port["dtype"])
    return np.clip(np.round(values / scale) + zero, limits.min, limits.max).astype(port["dtype"])


def _floats(values: NDArray[Any], port: dict[str, Any]) -> NDArray[np.float32]:
    if values.dtype == np.float32:
        return np.array(values)
    scale, zero = port["quantization"]
    return ((values.astype(np.float32) - zero) * scale).astype(np.float32)


@dataclass(frozen=True)
class Classifier:
    """An open model: calling it maps exactly ``batch`` inputs to (batch, C) outputs."""

    model: Model
    preprocessing: Preprocessing
    batch: int
    classes: int | None
    threads: int

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[Any]:
        return self.model(inputs)[0]

    @property
    def details(self) -> dict[str, Any]:
        """What belongs beside every figure measured with this model."""
        return {
            "versions": versions(),
            "threads": self.threads,
            "input_dtype": np.dtype(self.model.inputs[0]["dtype"]).name,
        }


def open_classifier(item: InputItem, threads: int) -> Classifier:
    """Open a model input.

    Raises:
        InvalidInput: no preprocessing, another format, a file that LiteRT refuses, several inputs or outputs, integers
            without a scale, or an input that is not what the preprocessing makes.

    """
    preprocessing = preprocessing_of(item)
    if item.artifact is None or item.artifact.format != "tflite":
        raise InvalidInput(f"{item.reference} is {item.artifact.format if item.artifact else 'no model'}, not tflite.")
    model = Model(item.main_file, threads)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InvalidInput(
            f"{item.reference} has {len(model.inputs)} inputs and {len(model.outputs)} outputs, not one of each."
        )
    for side, port in (("input", model.inputs[0]), ("output", model.outputs[0])):
        if port["dtype"] != np.float32 and not (
            np.issubdtype(port["dtype"], np.integer) and port["quantization"][0] > 0
        ):
            raise InvalidInput(
                f"The {side} of {item.reference} is {np.dtype(port['dtype']).name} without a scale.",
                hint="float32 and quantised integers are read.",
            )
    shape: Sequence[int] = [int(size) for size in model.inputs[0]["shape"]]
    check_input_fits(item.reference, preprocessing, [None, *shape[1:]])
    out = model.outputs[0]["shape"]
    return Classifier(model, preprocessing, shape[0], int(out[1]) if len(out) == 2 else None, threads)
