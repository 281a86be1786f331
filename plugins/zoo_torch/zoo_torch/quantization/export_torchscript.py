"""The simulated network as TorchScript, for tools that read Adlik's published .jit files."""

import copy
import io
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from zoo_sdk.errors import OperationError
from zoo_torch.quantization.network import QuantisedConv2d, QuantisedLayer, quantised_layers
from zoo_torch.quantization.tracing import joined_normalisations, scale_and_shift, trace

_LEFT_OUT = re.compile(r"\.debug_pkl$|/traced_inputs|/\.data/")
"""Parts of the archive with the maker's folders, the example and a random number: loading does not need them."""
_COUNTED_NAME = re.compile(rb"___torch_mangle_\d+")
MAX_MESSAGE = 500


def write_torchscript(network: nn.Module, example: Tensor, path: Path) -> torch.jit.ScriptModule:
    """Trace a trained quantised network, its batch normalisations folded, in plain operations of torch.

    Nothing of Zoo is needed to load it: an input is divided by its step, clipped, rounded and multiplied again; weights
    are already rounded.  Equal networks give equal bytes.  Returns what was written.

    Args:
        network: of :func:`zoo_torch.quantization.network.quantise`; stays as it is.
        example: (batch, C, H, W) on the network's device; the batch of the result is dynamic.
        path: the file to write.

    Raises:
        OperationError: torch cannot trace it.

    """
    fixed = _fixed(network)
    stream = io.BytesIO()
    try:
        with _warnings_unsaid(), torch.no_grad():
            traced = torch.jit.trace(fixed, example, check_trace=False)
            # Frozen, it is one function of one class, so that only one name has a number of this process in it.
            frozen = torch.jit.freeze(traced, optimize_numerics=False)
            torch.jit.save(frozen, stream)
    except (RuntimeError, torch.jit.TracingCheckError) as error:
        raise OperationError(f"PyTorch cannot trace this network: {error}"[:MAX_MESSAGE]) from error
    _write_reproducibly(stream, path)
    return cast("torch.jit.ScriptModule", frozen)


@contextmanager
def _warnings_unsaid() -> Iterator[None]:
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


def _fixed(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode without quantisers and without batch normalisations that could be folded."""
    copied = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
    graph = trace(network)
    joined = {} if graph is None else joined_normalisations(network, graph)
    for name, layer in quantised_layers(copied).items():
        normalisation = copied.get_submodule(joined[name]) if name in joined else None
        copied.set_submodule(name, _FixedLayer(layer, normalisation))
        if normalisation is not None:
            # timm joins a normalisation and its activation in one module.
            copied.set_submodule(joined[name], getattr(normalisation, "act", nn.Identity()))
    return copied


class _FixedLayer(nn.Module):
    """A layer with rounded weights, which rounds its inputs with a step that is a constant."""

    def __init__(self, layer: QuantisedLayer, normalisation: nn.Module | None) -> None:
        super().__init__()
        weight = layer.weight_quantiser(layer.weight).double()
        bias = None if layer.bias is None else layer.bias.double()
        if normalisation is not None:
            scale, shift = scale_and_shift(normalisation)
            weight = weight * scale.view(-1, *[1] * (weight.ndim - 1))
            bias = shift if bias is None else bias * scale + shift
        self.weight = nn.Buffer(weight.float())
        self.bias = None if bias is None else nn.Buffer(bias.float())
        self.step = nn.Buffer(layer.input_quantiser.positive_step)
        self.limits = layer.input_quantiser.limits
        self.settings: tuple[Any, Any, Any, int] | None = None
        if isinstance(layer, QuantisedConv2d):
            self.settings = (layer.stride, layer.padding, layer.dilation, layer.groups)

    def forward(self, x: Tensor) -> Tensor:
        """As the layer's own."""
        rounded = (x / self.step).clamp(*self.limits).round() * self.step
        if self.settings is None:
            return F.linear(rounded, self.weight, self.bias)
        stride, padding, dilation, groups = self.settings
        return F.conv2d(rounded, self.weight, self.bias, stride, padding, dilation, groups)
