"""Reads, compiles and runs models in OpenVINO: one image input, mostly one output of class scores, on the CPU."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from zoo_openvino.onnx_source import check_files
from zoo_sdk.artifacts import Preprocessing, Signature, TensorSpec
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, OperationError
from zoo_sdk.formats import Runtime
from zoo_vision.agreement import check_input_fits

RUNTIME = str(Runtime.OPENVINO)
DEVICE = "cpu"
_OUTPUT_LAYOUTS = {2: "NC", 4: "NCHW"}
"""By the number of axes: class scores, and maps."""


@dataclass(frozen=True)
class Classifier:
    """A compiled model: calling it maps exactly ``batch`` inputs to (batch, C) outputs, those of its first output."""

    request: ov.InferRequest
    batch: int
    classes: int | None
    details: dict[str, Any]
    """What belongs beside every figure measured with it: versions, precision hint, threads."""

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[Any]:
        return self.outputs(inputs)[0]

    def outputs(self, inputs: NDArray[np.float32]) -> list[NDArray[Any]]:
        """All outputs for exactly ``batch`` inputs; the next run writes over them."""
        try:
            outputs = self.request.infer(inputs, share_inputs=True)
        except RuntimeError as error:
            raise OperationError(f"OpenVINO could not run the model: {error}") from error
        return [np.asarray(output) for output in outputs.values()]


@cache
def core() -> ov.Core:
    """The only one of this process: each one that compiles changes how the process handles signals (`signal_stack`)."""
    return ov.Core()


def read_model(item: InputItem, *, several_outputs: bool = False) -> ov.Model:
    """Read the model of an input (ONNX or IR) as it is.

    Raises:
        InvalidInput: another format, a file that OpenVINO refuses, several inputs, or several outputs where they are
            not asked for.

    """
    artifact = item.artifact
    if artifact is None or artifact.format not in {"onnx", "openvino-ir"}:
        raise InvalidInput(
            f"{item.reference} is {artifact.format if artifact else 'no model'}, not onnx or openvino-ir.",
            hint="Export or convert it first, for example with torch.export_onnx.",
        )
    check_files(item)
    weights = [item.folder / path for path in artifact.files if path.endswith(".bin")]
    if artifact.format == "openvino-ir" and len(weights) != 1:
        raise InvalidInput(
            f"The IR of {item.reference} has the files {', '.join(artifact.files)}; one .xml and one .bin are needed.",
            hint="Push both files as one artifact.",
        )
    model = read_file(item.main_file, weights[0] if artifact.format == "openvino-ir" else None, item.reference)
    check_ports(model, item.reference, several_outputs=several_outputs)
    return model


def read_file(path: Path, weights: Path | None, reference: str) -> ov.Model:
    """Read a file; ``weights`` is the IR's second one.

    Raises:
        InvalidInput: OpenVINO refuses it.

    """
    try:
        return core().read_model(path, weights) if weights else core().read_model(path)
    except RuntimeError as error:
        raise unreadable(path, reference, error) from error


def unreadable(path: Path, reference: str, error: Exception) -> InvalidInput:
    """The error for a file that OpenVINO refuses."""
    return InvalidInput(
        f"OpenVINO {ov.__version__} cannot read {path.name!r} of {reference}: {error}",
        hint="Check that the file is complete, and the model made of operations that OpenVINO knows.",
    )


def check_ports(model: ov.Model, reference: str, *, several_outputs: bool) -> None:
    """Raise :class:`InvalidInput` unless the model has one floating-point input and, if so wanted, one output."""
    if len(model.inputs) != 1:
        raise InvalidInput(
            f"{reference} has {len(model.inputs)} inputs, not one.", hint="Export the model again with one input."
        )
    if len(model.outputs) != 1 and not several_outputs:
        raise InvalidInput(
            f"{reference} has {len(model.outputs)} outputs; a classifier has one.",
            hint="Export the model again with one output; openvino.convert takes several.",
        )
    if model.input(0).element_type != ov.Type.f32:
        raise InvalidInput(
            f"The input of {reference} is {model.input(0).element_type.to_string()}; f32 is supported.",
            hint="Export the model again with a float32 input.",
        )


def dimensions(port: Any) -> list[int | None]:
    """The sizes of an input or output; None where dynamic."""
    rank = port.partial_shape.rank
    if rank.is_dynamic:
        return []
    return [size.get_length() if size.is_static else None for size in port.partial_shape]


def class_count(model: ov.Model) -> int | None:
    """The number of classes C of one output (N, C), or None if the file does not tell or gives something else."""
    shape = dimensions(model.output(0)) if len(model.outputs) == 1 else []
    return shape[1] if len(shape) == 2 else None


def with_batch(model: ov.Model, preprocessing: Preprocessing, batch: int) -> ov.Model:
    """A copy whose input has a static shape with that batch."""
    height, width = preprocessing.crop
    channels = preprocessing.channels
    sizes = [channels, height, width] if preprocessing.layout == "NCHW" else [height, width, channels]
    copy = model.clone()
    try:
        copy.reshape([batch, *sizes])
    except RuntimeError as error:
        raise OperationError(f"OpenVINO cannot give the model a batch of {batch}: {error}") from error
    return copy


def compile_classifier(
    model: ov.Model, preprocessing: Preprocessing, *, reference: str, precision_hint: str, threads: int, batch: int
) -> Classifier:
    """Compile for the CPU with a pinned inference precision (left alone, OpenVINO silently takes bf16 where it can).

    ``batch`` counts where the model's own is dynamic; a model with a fixed batch keeps it.

    Raises:
        InvalidInput: the model's input is not what the preprocessing makes.

    """
    shape = dimensions(model.input(0))
    check_input_fits(reference, preprocessing, shape)
    size = shape[0] or batch
    try:
        compiled = compile_pinned(model, preprocessing, precision_hint=precision_hint, threads=threads, batch=size)
    except RuntimeError as error:
        raise OperationError(f"OpenVINO {ov.__version__} cannot compile {reference}: {error}") from error
    details = {
        "versions": versions(),
        "threads": threads,
        "precision_hint": precision_hint,
        "precision_used": compiled.get_property("INFERENCE_PRECISION_HINT").to_string(),
    }
    return Classifier(compiled.create_infer_request(), size, class_count(model), details)


def compile_pinned(
    model: ov.Model, preprocessing: Preprocessing, *, precision_hint: str, threads: int, batch: int
) -> ov.CompiledModel:
    """Compile a copy with a static shape of that batch; raises RuntimeError as OpenVINO does."""
    config = {
        "INFERENCE_PRECISION_HINT": precision_hint,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # Several workers on one machine would otherwise all pin their threads to the first cores.
        "ENABLE_CPU_PINNING": False,
    }
    return core().compile_model(with_batch(model, preprocessing, batch), "CPU", config)


def versions() -> dict[str, str]:
    """The versions that belong beside every figure."""
    return {"openvino": ov.__version__, "numpy": np.__version__}


def signature_of(model: ov.Model, preprocessing: Preprocessing) -> Signature:
    """The model's input and outputs as the registry describes them."""

    def tensor(port: Any, layout: str) -> TensorSpec:
        dtype = port.element_type.to_dtype().name
        return TensorSpec(name=port.any_name, dtype=dtype, shape=tuple(dimensions(port)), layout=layout)

    outputs = tuple(tensor(port, _OUTPUT_LAYOUTS.get(len(dimensions(port)), "")) for port in model.outputs)
    return Signature(inputs=(tensor(model.input(0), preprocessing.layout),), outputs=outputs)
