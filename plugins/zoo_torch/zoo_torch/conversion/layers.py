"""The values inside a network by its modules' names, for finding the layer at which an export departs from it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo_vision.bisection import Layer, Values, WorstLayer, find_worst_layer, relative_error

OUTPUT = "(output)"


def values_of(network: nn.Module, inputs: NDArray[np.float32]) -> Values:
    """Answers the outputs of modules for these inputs, but for those that are no tensor, or are called repeatedly."""

    def answer(names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        return {name: value.numpy() for name, value in module_outputs(network, torch.from_numpy(inputs), names).items()}

    return answer


def module_outputs(network: nn.Module, inputs: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """The outputs of those modules in the order in which they ended, each called once."""
    found: dict[str, Tensor] = {}
    repeated: set[str] = set()

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if name in found:
                repeated.add(name)
            if isinstance(output, Tensor) and output.is_floating_point():
                # What follows may change it in place.
                found[name] = output.clone()

        return hook

    with ExitStack() as stack, torch.no_grad():
        for name in names:
            stack.callback(network.get_submodule(name).register_forward_hook(keep(name)).remove)
        network(inputs)
    return {name: value for name, value in found.items() if name not in repeated}


def locate_in(
    network: nn.Module,
    sample: NDArray[np.float32],
    infer: Callable[[NDArray[np.float32]], NDArray[Any]],
    inside: Callable[[NDArray[np.float32]], Values],
) -> WorstLayer | None:
    """The module at which the new model departs from ``network`` on one input (1, C, H, W).

    Args:
        network: the source, in evaluation mode.
        sample: the input.
        infer: the new model.
        inside: for that input, what answers values inside the new model under the names of the source's modules.

    """
    kinds = {name: type(module).__name__ for name, module in network.named_modules() if name}
    order = module_outputs(network, torch.from_numpy(sample), list(kinds))
    layers = [Layer(name, kinds[name]) for name in order]
    with torch.no_grad():
        wanted = network(torch.from_numpy(sample)).numpy()
    error = relative_error(wanted, infer(sample))
    output = Layer(OUTPUT, type(network).__name__)
    return find_worst_layer(layers, values_of(network, sample), inside(sample), output=output, output_error=error)
