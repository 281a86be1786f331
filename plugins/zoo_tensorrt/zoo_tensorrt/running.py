"""Runs a plan on the GPU: one input, any number of outputs, memory and copies by CUDA's runtime."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zoo_sdk.errors import InvalidInput, OperationError
from zoo_tensorrt import machine


class PlanRunner:
    """An open plan: calling it maps a float32 batch to float32 outputs.  Close it, or use it in a ``with``."""

    def __init__(self, plan: bytes, device: str) -> None:
        """Open a plan that was built on this kind of machine.

        Raises:
            InvalidInput: TensorRT refuses it, or it has several inputs.

        """
        self._trt, self._cuda = machine.tensorrt(), machine.cuda_runtime()
        self._ok(self._cuda.cudaSetDevice(int(device.partition(":")[2])))
        self._logger = self._trt.Logger(self._trt.Logger.ERROR)
        self._engine = self._trt.Runtime(self._logger).deserialize_cuda_engine(plan)
        if self._engine is None:
            raise InvalidInput(
                f"TensorRT {self._trt.__version__} refuses the plan.", hint="Build it again on this machine."
            )
        self._context = self._engine.create_execution_context()
        names = [self._engine.get_tensor_name(number) for number in range(self._engine.num_io_tensors)]
        modes = {name: self._engine.get_tensor_mode(name) for name in names}
        inputs = [name for name in names if modes[name] == self._trt.TensorIOMode.INPUT]
        self.outputs = [name for name in names if modes[name] == self._trt.TensorIOMode.OUTPUT]
        if len(inputs) != 1:
            raise InvalidInput(f"The plan has {len(inputs)} inputs; one is run.")
        self.input = inputs[0]
        self._memory: dict[str, tuple[int, int]] = {}
        self._stream = self._ok(self._cuda.cudaStreamCreate())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for address, _size in self._memory.values():
            self._cuda.cudaFree(address)
        self._cuda.cudaStreamDestroy(self._stream)
        self._memory = {}

    def __call__(self, inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Run one batch and wait for it."""
        given = np.ascontiguousarray(inputs.astype(self._dtype(self.input), copy=False))
        if not self._context.set_input_shape(self.input, given.shape):
            raise OperationError(f"The plan does not take the shape {given.shape}; it was built for other batches.")
        kinds = self._cuda.cudaMemcpyKind
        self._copy(self._room(self.input, given.nbytes), given.ctypes.data, given.nbytes, kinds.cudaMemcpyHostToDevice)
        results = [np.empty(tuple(self._context.get_tensor_shape(name)), self._dtype(name)) for name in self.outputs]
        for name, result in zip(self.outputs, results, strict=True):
            self._room(name, result.nbytes)
        if not self._context.execute_async_v3(self._stream):
            raise OperationError("TensorRT could not run the plan.")
        for name, result in zip(self.outputs, results, strict=True):
            self._copy(result.ctypes.data, self._memory[name][0], result.nbytes, kinds.cudaMemcpyDeviceToHost)
        self._ok(self._cuda.cudaStreamSynchronize(self._stream))
        return [result.astype(np.float32, copy=False) for result in results]

    def _dtype(self, name: str) -> Any:
        return self._trt.nptype(self._engine.get_tensor_dtype(name))

    def _room(self, name: str, size: int) -> int:
        """Device memory for a tensor, kept until a larger one is needed."""
        address, known = self._memory.get(name, (0, 0))
        if known < size:
            if known:
                self._ok(self._cuda.cudaFree(address))
            address = self._ok(self._cuda.cudaMalloc(size))
            self._memory[name] = (address, size)
            self._context.set_tensor_address(name, address)
        return address

    def _copy(self, target: int, source: int, size: int, kind: Any) -> None:
        self._ok(self._cuda.cudaMemcpyAsync(target, source, size, kind, self._stream))

    def _ok(self, answer: Any) -> Any:
        """The result of a call of CUDA, which answers ``(error, result)``; raises :class:`OperationError`."""
        error, *result = answer
        if int(error) != 0:
            raise OperationError(f"CUDA answered {error}.")
        return result[0] if result else None
