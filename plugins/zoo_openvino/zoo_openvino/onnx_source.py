"""The ONNX file that an IR is made from, in its own runtime: ONNX Runtime on the CPU."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray

from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, OperationError
from zoo_sdk.formats import Runtime
from zoo_vision.bisection import Layer
from zoo_vision.onnx_graphs import check_external_data, expose, layers_of
from zoo_vision.parity_inputs import flat

RUNTIME = str(Runtime.ONNXRUNTIME)
_ERRORS_ONLY = 3


def check_files(item: InputItem) -> None:
    """Check, before any runtime opens it, that an ONNX input reads its weights from its own files only.

    A file that is no ONNX model passes: whoever opens it says so.

    Raises:
        InvalidInput: the graph names a file outside the artifact.

    """
    if item.artifact is None or item.artifact.format != "onnx":
        return
    try:
        model = onnx.load(str(item.main_file), load_external_data=False)
    except (DecodeError, ValueError):
        return
    check_external_data(model, item)


@dataclass(frozen=True)
class OnnxModel:
    """Runs an ONNX file, and answers values inside it."""

    item: InputItem
    threads: int
    runtime: str = RUNTIME

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return self._opened(str(self.item.main_file))

    @property
    def fixed_batch(self) -> int | None:
        """The batch that the file insists on."""
        size = self._session.get_inputs()[0].shape[0]
        return size if isinstance(size, int) else None

    @property
    def output_names(self) -> list[str]:
        """In their order."""
        return [value.name for value in self._session.get_outputs()]

    def outputs(self, inputs: NDArray[np.float32]) -> list[NDArray[Any]]:
        """All outputs of a batch."""
        return self._run(self._session, inputs)

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[Any]:
        return flat(self.outputs(inputs))

    @cached_property
    def _graph(self) -> onnx.ModelProto:
        return onnx.shape_inference.infer_shapes(onnx.load(str(self.item.main_file)))

    @property
    def layers(self) -> list[Layer]:
        """The values inside, in the order in which they are computed."""
        return layers_of(self._graph)

    def values(self, inputs: NDArray[np.float32], names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """The values of those names for one input, and the outputs."""
        graph = onnx.ModelProto()
        graph.CopyFrom(self._graph)
        expose(graph, names)
        session = self._opened(graph.SerializeToString())
        read = [value.name for value in session.get_outputs()]
        repeated = np.repeat(inputs, self.fixed_batch or 1, axis=0)
        return dict(zip(read, self._run(session, repeated), strict=True))

    def _opened(self, model: str | bytes) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        try:
            return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise InvalidInput(
                f"ONNX Runtime {onnxruntime.__version__} cannot open {self.item.reference}, so there is nothing to "
                f"compare with: {error}",
                hint="Check that the file is a complete ONNX model.",
            ) from error

    def _run(self, session: onnxruntime.InferenceSession, inputs: NDArray[np.float32]) -> list[NDArray[Any]]:
        try:
            outputs = session.run(None, {session.get_inputs()[0].name: inputs})
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise OperationError(f"ONNX Runtime could not run {self.item.reference}: {error}") from error
        return [np.asarray(output) for output in outputs]
