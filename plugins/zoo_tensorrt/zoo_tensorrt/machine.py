"""The seam to what only a machine with a GPU has: TensorRT, CUDA's runtime, and what the GPU is.

Everything else of this plugin is tested anywhere, with stand-ins for the functions here.
"""

import subprocess
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from zoo_sdk.errors import InvalidInput

_QUERY = "name,driver_version,compute_cap"


@dataclass(frozen=True)
class Machine:
    """What a plan depends on: it runs only where all of this is the same."""

    tensorrt: str
    cuda: str
    driver: str
    gpu: str
    compute_capability: str

    @property
    def facts(self) -> dict[str, str]:
        return asdict(self)


def tensorrt() -> Any:
    """The module; raises :class:`InvalidInput` with what to install."""
    try:
        return import_module("tensorrt")
    except ImportError as error:
        raise InvalidInput(
            f"TensorRT is not installed on this worker: {error}.",
            hint="Install zoo-tensorrt[gpu] on a worker with an NVIDIA GPU.",
        ) from error


def cuda_runtime() -> Any:
    """``cuda.bindings.runtime``; raises :class:`InvalidInput` with what to install."""
    try:
        return import_module("cuda.bindings.runtime")
    except ImportError as error:
        raise InvalidInput(
            f"CUDA's runtime is not installed on this worker: {error}.", hint="Install zoo-tensorrt[gpu]."
        ) from error


def describe_machine(device: str) -> Machine:
    """The machine's GPU ``cuda:N`` and its software.

    Raises:
        InvalidInput: no such GPU, or TensorRT is not installed.

    """
    if not device.startswith("cuda:"):
        raise InvalidInput(
            f"TensorRT needs an NVIDIA GPU, and this attempt has {device!r}.",
            hint="Start a worker for the queue tensorrt.gpu on a machine with one.",
        )
    module, runtime = tensorrt(), cuda_runtime()
    try:
        listed = subprocess.run(
            ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader", "-i", device.partition(":")[2]],
            check=True, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        gpu, driver, capability = (part.strip() for part in listed.stdout.strip().splitlines()[0].split(","))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise InvalidInput(f"nvidia-smi does not tell what the GPU {device} is: {error}") from error
    _, number = runtime.cudaRuntimeGetVersion()
    cuda = f"{number // 1000}.{number % 1000 // 10}"
    return Machine(str(module.__version__), cuda, driver, gpu, capability)
