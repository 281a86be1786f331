"""TorchScript files that hold nothing of the machine that wrote them: equal networks give equal bytes."""

import io
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from zoo_sdk.errors import OperationError

_LEFT_OUT = re.compile(r"\.debug_pkl$|/traced_inputs|/\.data/")
"""Parts of the archive with the maker's folders, the example and a random number: loading does not need them."""
_COUNTED_NAME = re.compile(rb"___torch_mangle_\d+")
MAX_MESSAGE = 500


def trace_and_write(network: nn.Module, example: Tensor, path: Path) -> torch.jit.ScriptModule:
    """Trace ``network``, freeze it and write it; returns what was written.

    Args:
        network: in evaluation mode.
        example: (batch, C, H, W) on the network's device; the batch of the result is dynamic.
        path: the file to write.

    Raises:
        OperationError: torch cannot trace it.

    """
    stream = io.BytesIO()
    try:
        with warnings_unsaid(), torch.no_grad():
            traced = torch.jit.trace(network, example, check_trace=False)
            # Frozen, it is one function of one class, so that only one name has a number of this process in it.
            frozen = torch.jit.freeze(traced, optimize_numerics=False)
            torch.jit.save(frozen, stream)
    except (RuntimeError, torch.jit.TracingCheckError) as error:
        raise OperationError(f"PyTorch cannot trace this network: {error}"[:MAX_MESSAGE]) from error
    _write_reproducibly(stream, path)
    return cast("torch.jit.ScriptModule", frozen)


@contextmanager
def warnings_unsaid() -> Iterator[None]:
    """Keep quiet that torch advises torch.export instead: this format is what is asked for.

    And that the traced network will always take the decisions that it took for the example: whether they are right for
    pictures is seen when the two are compared on some.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", FutureWarning)
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        yield


def _write_reproducibly(stream: io.BytesIO, path: Path) -> None:
    with zipfile.ZipFile(stream) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        for member in source.infolist():
            if not _LEFT_OUT.search(member.filename):
                name = _COUNTED_NAME.sub(b"___torch_mangle_0", member.filename.encode()).decode()
                is_text = name.endswith((".py", ".pkl"))
                content = source.read(member)
                # Names in its pickles end with a line feed and have no length before them.
                content = _COUNTED_NAME.sub(b"___torch_mangle_0", content) if is_text else content
                target.writestr(zipfile.ZipInfo(name), content)
