"""Stands in for TensorRT, CUDA's runtime and nvidia-smi: the same calls, on the CPU, with ONNX Runtime inside.

Only what :mod:`zoo_tensorrt` calls is here.  Its plan is the ONNX file behind a header; "device memory" is host memory.
"""

import ctypes
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime

from zoo_tensorrt.machine import Machine

MACHINE = Machine("11.4.0", "13.0", "580.95", "NVIDIA H100 80GB HBM3", "9.0")
HEADER = b"stand-in plan\n"


class Severity:
    INTERNAL_ERROR, ERROR, WARNING = range(3)


class ILogger:
    Severity = Severity

    def log(self, severity: int, message: str) -> None: ...


class Logger(ILogger):
    ERROR = Severity.ERROR

    def __init__(self, severity: int) -> None:
        self.severity = severity


class Network:
    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.model: onnx.ModelProto | None = None

    @property
    def num_inputs(self) -> int:
        return len(self.model.graph.input) if self.model else 0

    def get_input(self, number: int) -> Any:
        assert self.model
        value = self.model.graph.input[number]
        return SimpleNamespace(name=value.name, shape=[dim.dim_value or -1 for dim in value.type.tensor_type.shape.dim])


class OnnxParser:
    def __init__(self, network: Network, logger: ILogger) -> None:
        self._network, self._errors = network, list[str]()

    def parse_from_file(self, path: str) -> bool:
        model = onnx.load(path)
        self._errors = [f"no importer for {node.op_type}" for node in model.graph.node if node.op_type == "Erf"]
        self._network.model = model
        return not self._errors

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, number: int) -> Any:
        return SimpleNamespace(desc=lambda: self._errors[number])


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, Any] = {}

    def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
        self.shapes[name] = shapes


class Cache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return self.content + b"+1"


class Config:
    def __init__(self) -> None:
        self.limits: dict[str, int] = {}
        self.cleared: list[str] = []
        self.profiles: list[Profile] = []
        self.builder_optimization_level = -1
        self.cache: Cache | None = None

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.limits[pool] = size

    def clear_flag(self, flag: str) -> None:
        self.cleared.append(flag)

    def add_optimization_profile(self, profile: Profile) -> None:
        self.profiles.append(profile)

    def create_timing_cache(self, content: bytes) -> Cache:
        return Cache(content)

    def set_timing_cache(self, cache: Cache, *, ignore_mismatch: bool) -> None:
        assert not ignore_mismatch
        self.cache = cache

    def get_timing_cache(self) -> Cache:
        assert self.cache
        return self.cache


class Builder:
    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    def create_network(self, flags: int) -> Network:
        return Network(flags)

    def create_builder_config(self) -> Config:
        return Config()

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
        CALLS.append((network.flags, config))
        if config.limits["workspace"] < 2**20:
            self._logger.log(Severity.ERROR, "insufficient memory")
            return None
        assert network.model
        shapes = {name: shape for profile in config.profiles for name, shape in profile.shapes.items()}
        return HEADER + json.dumps(shapes).encode() + b"\n" + network.model.SerializeToString()


CALLS: list[tuple[int, Config]] = []
"""Every build: the flags of the network, and the configuration."""


class Engine:
    def __init__(self, content: bytes) -> None:
        shapes, _, model = content.partition(b"\n")
        self.shapes = json.loads(shapes)
        self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self.names = [
            *(port.name for port in self.session.get_inputs()),
            *(port.name for port in self.session.get_outputs()),
        ]

    @property
    def num_io_tensors(self) -> int:
        return len(self.names)

    def get_tensor_name(self, number: int) -> str:
        return self.names[number]

    def get_tensor_mode(self, name: str) -> str:
        return "input" if name == self.names[0] else "output"

    def get_tensor_dtype(self, name: str) -> str:
        return "float32"

    def create_execution_context(self) -> "Context":
        return Context(self)


class Context:
    def __init__(self, engine: Engine) -> None:
        self.engine, self.addresses = engine, dict[str, int]()
        self.shape: tuple[int, ...] = ()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        low, _, high = self.engine.shapes.get(name, (shape, shape, shape))
        return all(one <= size <= other for one, size, other in zip(low, shape, high, strict=True))

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        port = next(port for port in self.engine.session.get_outputs() if port.name == name)
        return (self.shape[0], *port.shape[1:])

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        name = self.engine.names[0]
        size = int(np.prod(self.shape)) * 4
        given = np.frombuffer(ctypes.string_at(self.addresses[name], size), np.float32).reshape(self.shape)
        for output, value in zip(self.engine.names[1:], self.engine.session.run(None, {name: given}), strict=True):
            content = np.ascontiguousarray(value).tobytes()
            ctypes.memmove(self.addresses[output], content, len(content))
        return True


class Runtime:
    def __init__(self, logger: ILogger) -> None: ...

    def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
        return Engine(plan.removeprefix(HEADER)) if plan.startswith(HEADER) else None


TENSORRT = SimpleNamespace(
    __version__=MACHINE.tensorrt,
    NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
    MemoryPoolType=SimpleNamespace(WORKSPACE="workspace"),
    BuilderFlag=SimpleNamespace(TF32="tf32"),
    TensorIOMode=SimpleNamespace(INPUT="input", OUTPUT="output"),
    ILogger=ILogger, Logger=Logger, Builder=Builder, OnnxParser=OnnxParser, Runtime=Runtime, nptype=np.dtype,
)  # fmt: skip


class Cuda:
    """Host memory by address; ``held`` are the allocations that were not freed."""

    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)  # noqa: N815 (CUDA's name)

    def __init__(self) -> None:
        self.held: dict[int, Any] = {}

    def cudaSetDevice(self, number: int) -> tuple[int]:  # noqa: N802
        return (0 if number == 0 else 101,)

    def cudaStreamCreate(self) -> tuple[int, int]:  # noqa: N802
        return 0, 7

    def cudaStreamDestroy(self, stream: int) -> tuple[int]:  # noqa: N802
        return (0,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[int]:  # noqa: N802
        return (0,)

    def cudaMalloc(self, size: int) -> tuple[int, int]:  # noqa: N802
        buffer = ctypes.create_string_buffer(size)
        self.held[ctypes.addressof(buffer)] = buffer
        return 0, ctypes.addressof(buffer)

    def cudaFree(self, address: int) -> tuple[int]:  # noqa: N802
        del self.held[address]
        return (0,)

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: int, stream: int) -> tuple[int]:  # noqa: N802
        ctypes.memmove(target, source, size)
        return (0,)

    def cudaRuntimeGetVersion(self) -> tuple[int, int]:  # noqa: N802
        return 0, 13000


def nvidia_smi(folder: Path) -> None:
    """A program of that name that answers like one."""
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\necho '{MACHINE.gpu}, {MACHINE.driver}, {MACHINE.compute_capability}'\n")
    path.chmod(0o755)
