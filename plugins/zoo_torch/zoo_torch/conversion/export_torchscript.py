"""``torch.export_torchscript``: PyTorch weights as a traced program, compared with their network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.formats import Runtime
from zoo_torch.conversion.layers import module_outputs
from zoo_torch.conversion.params import ExportTorchScriptParams
from zoo_torch.conversion.sources import Infer, check_export, declare_export, open_source
from zoo_torch.conversion.torchscript_files import trace_and_write, warnings_unsaid
from zoo_vision.bisection import Values

FILE = "model.torchscript.pt"


def run(params: ExportTorchScriptParams, inputs: Inputs, context: OperationContext) -> None:
    """Trace, write, read again and check; see :class:`zoo_torch.conversion.params.ExportTorchScriptParams`."""
    source = open_source(params, inputs, context)
    example = source.example
    path = context.output() / FILE
    trace_and_write(source.network, example, path)

    def inside(sample: NDArray[np.float32]) -> Values:
        return _values_of_trace(source.network, example, sample)

    figures = check_export(source, _infer_from(path), inside, params, context)
    artifact = ArtifactDescription(format="torchscript", files=(FILE,), runtime=Runtime.TORCH)
    declare_export(source, figures, artifact, context)


def _infer_from(path: Path) -> Infer:
    with warnings_unsaid():
        loaded = torch.jit.load(path, map_location="cpu")

    def infer(batch: NDArray[np.float32]) -> NDArray[Any]:
        with torch.no_grad():
            return np.asarray(loaded(torch.from_numpy(batch)).numpy())

    return infer


class _Opened(nn.Module):
    """A network that answers the outputs of some of its modules."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.names = list(names)

    def forward(self, x: Tensor) -> list[Tensor]:
        found = module_outputs(self.network, x, self.names)
        self.names = list(found)
        return list(found.values())


def _values_of_trace(network: nn.Module, example: Tensor, sample: NDArray[np.float32]) -> Values:
    """Values inside the program; the file has no names for them, so the network is traced again with more outputs."""

    def answer(names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        opened = _Opened(network, names)
        with warnings_unsaid(), torch.no_grad():
            traced = torch.jit.trace(opened, example, check_trace=False)
            found = traced(torch.from_numpy(sample))
        return {name: value.numpy() for name, value in zip(opened.names, found, strict=True)}

    return answer
