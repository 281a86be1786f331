"""The device, threads and random state of an attempt, its compiler's cache, and its memory running out."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from zoo_sdk.context import OperationContext
from zoo_sdk.errors import InvalidInput, OutOfMemory

_HOST_MEMORY_MESSAGES = ("can't allocate memory", "not enough memory", "is killed by signal: Killed")
"""torch raises a plain RuntimeError when the host's memory runs out; and, wherever the program is at that moment, when
the kernel has killed a process that decodes pictures."""
_COMPILER_CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def prepare_device(context: OperationContext) -> torch.device:
    """Honour the context's threads and seed, and return its first device.

    Raises:
        InvalidInput: the device does not exist here.

    """
    torch.set_num_threads(context.threads)
    torch.manual_seed(context.seed)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    try:
        device = torch.device(context.devices[0])
        torch.empty(1, device=device)
        if device.type == "cuda":
            torch.cuda.set_device(device)
    except (RuntimeError, AssertionError, IndexError) as error:
        raise InvalidInput(
            f"PyTorch cannot use the devices {context.devices}: {error}",
            hint="Check the worker's driver and CUDA_VISIBLE_DEVICES, or run on cpu.",
        ) from error
    return device


def device_name(device: torch.device) -> str:
    """``cpu``, or the GPU's name for people."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def computes_bfloat16(device: torch.device) -> bool:
    """Whether mixed precision pays there: GPUs with native bfloat16; CPUs mostly lack the instructions."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


@contextmanager
def out_of_memory_is_said(batch_size: int, accumulation_steps: int | None = None) -> Iterator[None]:
    """Turn out-of-memory errors into :class:`OutOfMemory` with a smaller batch size to try.

    ``accumulation_steps``: the parts in which a training computes its batches; more of them are suggested as well.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise _out_of_memory("The GPU's", batch_size, accumulation_steps) from error
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and not any(text in str(error) for text in _HOST_MEMORY_MESSAGES):
            raise
        raise _out_of_memory("The host's", batch_size, accumulation_steps) from error


def _out_of_memory(whose: str, batch_size: int, accumulation_steps: int | None) -> OutOfMemory:
    smaller = max(1, batch_size // 2)
    parts = f", or accumulation_steps {2 * accumulation_steps} for the same steps" if accumulation_steps else ""
    return OutOfMemory(
        f"{whose} memory ran out with batch_size {batch_size}.",
        hint=f"Try batch_size {smaller}{parts}."
        if smaller < batch_size
        else "Use a smaller network or a larger device.",
        facts={"batch_size": batch_size, "suggested_batch_size": smaller},
    )


@contextmanager
def compiler_cache_below(folder: Path) -> Iterator[None]:
    """Keep the compiler's cache in ``folder``; torch.export makes one even where nothing is compiled."""
    former = os.environ.get(_COMPILER_CACHE_VARIABLE)
    os.environ[_COMPILER_CACHE_VARIABLE] = str(folder / "compiler-cache")
    try:
        yield
    finally:
        del os.environ[_COMPILER_CACHE_VARIABLE]
        if former is not None:
            os.environ[_COMPILER_CACHE_VARIABLE] = former
