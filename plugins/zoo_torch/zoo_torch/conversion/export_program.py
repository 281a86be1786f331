"""``torch.export_program``: PyTorch weights as a torch.export program (.pt2), compared with their network."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import OperationError
from zoo_sdk.formats import Runtime
from zoo_torch.conversion.params import ExportProgramParams
from zoo_torch.conversion.sources import MAX_MESSAGE, Infer, check_export, declare_export, open_source
from zoo_torch.devices import compiler_cache_below
from zoo_vision.bisection import Values

FILE = "model.pt2"


def run(params: ExportProgramParams, inputs: Inputs, context: OperationContext) -> None:
    """Export, write, read again and check; see :class:`zoo_torch.conversion.params.ExportProgramParams`."""
    source = open_source(params, inputs, context)
    path = context.output() / FILE
    with compiler_cache_below(context.scratch):
        write_program(source.network, source.example, path)
        program = torch.export.load(path)
        module = program.module()

        def inside(sample: NDArray[np.float32]) -> Values:
            return _values_of_program(module, sample)

        figures = check_export(source, _infer_with(module), inside, params, context)
    artifact = ArtifactDescription(
        format="torch-export",
        files=(FILE,),
        runtime=Runtime.TORCH,
        details={"operators": len({str(node.target) for node in program.graph.nodes if node.op == "call_function"})},
    )
    declare_export(source, figures, artifact, context)


def write_program(network: nn.Module, example: Tensor, path: Path) -> None:
    """Export ``network`` with a dynamic batch; equal networks give equal bytes.

    Raises:
        OperationError: torch.export cannot follow its code.

    """
    try:
        program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    except (RuntimeError, ValueError, torch._dynamo.exc.TorchDynamoException) as error:  # noqa: SLF001 (its only home)
        raise OperationError(
            f"PyTorch cannot export this network: {error}"[:MAX_MESSAGE],
            hint="Its code may depend on the batch or on values; try another architecture.",
        ) from error
    for graph in _graphs(program.graph_module):
        for node in graph.nodes:
            # They carry the maker's folders.
            node.meta.pop("stack_trace", None)
    # The example would be stored as a pickle beside the program.
    program.example_inputs = None
    torch.export.save(program, path)


def _graphs(module: fx.GraphModule) -> Iterator[fx.Graph]:
    """The graph, and those of its branches."""
    yield from (part.graph for part in module.modules() if isinstance(part, fx.GraphModule))


def _infer_with(module: nn.Module) -> Infer:
    def infer(batch: NDArray[np.float32]) -> NDArray[Any]:
        with torch.no_grad():
            return np.asarray(module(torch.from_numpy(batch)).numpy())

    return infer


class _Watched(fx.Interpreter):
    """Runs a graph and keeps the values of some of its nodes."""

    def __init__(self, module: fx.GraphModule, wanted: Collection[str]) -> None:
        super().__init__(module)
        self.wanted = wanted
        self.found: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.name in self.wanted and isinstance(value, Tensor):
            self.found[n.name] = value.clone()
        return value


def _values_of_program(module: fx.GraphModule, sample: NDArray[np.float32]) -> Values:
    """Values inside the program: of each module of the source the last one that it computes."""
    last: dict[str, str] = {}
    for node in module.graph.nodes:
        for path, _kind in (node.meta.get("nn_module_stack") or {}).values():
            last[path] = node.name

    def answer(names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        nodes = {name: last[name] for name in names if name in last}
        watched = _Watched(module, set(nodes.values()))
        with torch.no_grad():
            watched.run(torch.from_numpy(sample))
        return {name: watched.found[node].numpy() for name, node in nodes.items() if node in watched.found}

    return answer
