"""Opens ONNX models in ONNX Runtime: one image input, mostly one output of class scores, on the CPU."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from zoo_onnxruntime.graphs import read_structure
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, OperationError
from zoo_sdk.formats import Runtime
from zoo_vision.agreement import check_input_fits, preprocessing_of

PROVIDERS = ["CPUExecutionProvider"]
RUNTIME = str(Runtime.ONNXRUNTIME)
DEVICE = "cpu"
_ERRORS_ONLY = 3
_INPUT_TYPES: dict[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True)
class Classifier:
    """An open model: calling it maps (B, ...) inputs to (B, C) outputs, those of its first output."""

    session: onnxruntime.InferenceSession
    preprocessing: Preprocessing
    fixed_batch: int | None
    classes: int | None
    threads: int

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[Any]:
        return self.outputs(inputs)[0]

    def outputs(self, inputs: NDArray[np.float32]) -> list[NDArray[Any]]:
        """All outputs of a batch."""
        return run_session(self.session, inputs)

    @property
    def output_names(self) -> list[str]:
        """In their order."""
        return [value.name for value in self.session.get_outputs()]

    @property
    def details(self) -> dict[str, Any]:
        """What belongs beside every figure measured with this session."""
        return {
            "versions": {"onnxruntime": onnxruntime.__version__, "numpy": np.__version__},
            "providers": self.session.get_providers(),
            "graph_optimization": "all",
            "threads": self.threads,
        }


def open_classifier(item: InputItem, threads: int, *, several_outputs: bool = False) -> Classifier:
    """Open a model input.

    Raises:
        InvalidInput: no preprocessing, another format, a file that ONNX Runtime refuses, several inputs, several
            outputs where they are not asked for, or an input that is not what the preprocessing makes.

    """
    preprocessing = preprocessing_of(item)
    session = _open(item, threads)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or (len(outputs) != 1 and not several_outputs):
        raise InvalidInput(
            f"{item.reference} has {len(inputs)} inputs and {len(outputs)} outputs; a classifier has one of each.",
            hint="Export the model again with one input and one output.",
        )
    if inputs[0].type not in _INPUT_TYPES:
        raise InvalidInput(
            f"The input of {item.reference} is {inputs[0].type}; {' and '.join(_INPUT_TYPES)} are supported.",
            hint="Export the model again with a floating-point input.",
        )
    shape = [size if isinstance(size, int) else None for size in inputs[0].shape]
    check_input_fits(item.reference, preprocessing, shape)
    classes = outputs[0].shape[-1] if len(outputs) == 1 and len(outputs[0].shape) == 2 else None
    return Classifier(
        session=session,
        preprocessing=preprocessing,
        fixed_batch=shape[0],
        classes=classes if isinstance(classes, int) else None,
        threads=threads,
    )


def _open(item: InputItem, threads: int) -> onnxruntime.InferenceSession:
    # Checked first, because opening the session reads whatever files the graph names.
    read_structure(item)
    return open_session(str(item.main_file), threads, f"{item.main_file.name!r} of {item.reference}")


def open_session(model: str | bytes, threads: int, name: str, *, optimise: bool = True) -> onnxruntime.InferenceSession:
    """Open a file or a serialised graph on the CPU; raises :class:`InvalidInput` if ONNX Runtime refuses it."""
    options = session_options(threads)
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model, options, providers=PROVIDERS)
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise InvalidInput(
            f"ONNX Runtime {onnxruntime.__version__} cannot open {name}: {error}",
            hint="Check that the file is a complete ONNX model.",
        ) from error


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Options that every session here has in common."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ERRORS_ONLY
    return options


def run_session(session: onnxruntime.InferenceSession, inputs: NDArray[Any]) -> list[NDArray[Any]]:
    """All outputs of a session with one input, which gets ``inputs`` in the type that it wants.

    Raises:
        OperationError: ONNX Runtime could not run the model.

    """
    wanted = session.get_inputs()[0]
    try:
        outputs = session.run(None, {wanted.name: inputs.astype(_INPUT_TYPES[wanted.type], copy=False)})
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise OperationError(f"ONNX Runtime could not run the model: {error}") from error
    return [np.asarray(output) for output in outputs]
