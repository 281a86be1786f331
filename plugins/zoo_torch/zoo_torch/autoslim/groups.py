"""Which channels of a network must have one width: groups of layers that are coupled through the graph."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch_pruning
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.errors import InvalidInput
from zoo_torch.networks.architectures import classifier_prefixes
from zoo_torch.networks.narrowing import is_depthwise, layer_widths

MAX_REASON = 500


@dataclass(frozen=True)
class WidthGroup:
    """Layers whose channels are one and the same set, named after the first convolution that makes them.

    ``outputs``: modules that make these channels or keep them (convolutions, normalisations, depthwise convolutions);
    ``inputs``: modules that read them.  Residual branches that are added up share one group.
    """

    name: str
    channels: int
    outputs: tuple[str, ...]
    inputs: tuple[str, ...]


Choice = Mapping[str, int]
"""Width by group name; a group that is not named has its full width."""


def find_groups(network: nn.Module, preprocessing: Preprocessing) -> tuple[WidthGroup, ...]:
    """The groups of a network whose width can be chosen, in the order of its modules.

    Torch-Pruning traces autograd's graph (Fang et al. 2023, arXiv 2301.12900, section 3.2: a group is the closure of
    layers that must lose the same channels).  Left at their full width are the classifier's outputs and groups with a
    member that cannot be cut by leading channels: concatenations, grouped convolutions other than depthwise ones, raw
    parameters, layers other than convolutions, linear layers and batch normalisations.

    Raises:
        InvalidInput: the network cannot be traced, or has no such group.

    """
    # The trace hooks the modules and changes what requires gradients.
    traced = copy.deepcopy(network).cpu().float().eval().requires_grad_(requires_grad=True)
    example = torch.zeros(1, preprocessing.channels, *preprocessing.crop)
    try:
        graph = torch_pruning.DependencyGraph().build_dependency(traced, example)
        closures = list(graph.get_all_groups(root_module_types=[nn.Conv2d]))
    except Exception as error:  # a graph that it does not know makes the library raise any of many kinds
        raise InvalidInput(
            f"The channels of {type(network).__name__} cannot be followed through its graph: {str(error)[:MAX_REASON]}",
            hint="AutoSlim takes convolutional networks: zoo:resnet_small, timm:resnet50, timm:mobilenetv2_100 ...",
        ) from error
    trace = _Trace(graph, traced)
    groups = [group for closure in closures if (group := trace.group(closure)) is not None]
    if not groups:
        raise InvalidInput(
            f"{type(network).__name__} has no convolution whose width can be chosen.",
            hint="AutoSlim takes convolutional networks with batch normalisation.",
        )
    return tuple(sorted(groups, key=lambda group: trace.order[group.name]))


@dataclass(frozen=True)
class _Trace:
    graph: Any
    network: nn.Module

    @cached_property
    def names(self) -> dict[nn.Module, str]:
        return {module: name for name, module in self.network.named_modules()}

    @cached_property
    def order(self) -> dict[str, int]:
        return {name: position for position, name in enumerate(self.names.values())}

    def group(self, closure: Any) -> WidthGroup | None:
        """One closure, unless a member of it cannot be cut by leading channels."""
        channels = len(closure[0].idxs)
        outputs: set[str] = set()
        inputs: set[str] = set()
        for dependency, indices in closure:
            module = dependency.target.module
            if isinstance(module, nn.Module) and module not in self.names:
                continue  # an operation, such as an addition
            makes = self.graph.is_out_channel_pruning_fn(dependency.handler)
            if not _follows(module, channels, makes=makes) or list(indices) != list(range(channels)):
                return None
            (outputs if makes else inputs).add(self.names[module])
        if outputs.intersection(prefix.removesuffix(".") for prefix in classifier_prefixes(self.network)):
            return None
        made, read = (tuple(sorted(names, key=self.order.__getitem__)) for names in (outputs, inputs))
        first = next(name for name in made if isinstance(self.network.get_submodule(name), nn.Conv2d))
        return WidthGroup(first, channels, made, read)


def _follows(layer: Any, channels: int, *, makes: bool) -> bool:
    """Whether the layer has these channels on that side, and its leading ones can be kept alone."""
    if not isinstance(layer, nn.Conv2d | nn.Linear | _BatchNorm):
        return False
    if isinstance(layer, nn.Conv2d) and layer.groups > 1 and not _one_to_one(layer):
        return False
    widths = layer_widths(layer)
    return widths is not None and widths[0 if makes else 1] == channels


def _one_to_one(convolution: nn.Conv2d) -> bool:
    return is_depthwise(convolution) and convolution.out_channels == convolution.in_channels


def layers_at(network: nn.Module, groups: Sequence[WidthGroup], choice: Choice) -> dict[str, tuple[int, int]]:
    """(output, input) channels of every layer that is narrower than in the whole ``network``, for ``narrow``."""
    made = {name: choice.get(group.name, group.channels) for group in groups for name in group.outputs}
    read = {name: choice.get(group.name, group.channels) for group in groups for name in group.inputs}
    widths: dict[str, tuple[int, int]] = {}
    for name, module in network.named_modules():
        full = layer_widths(module)
        if full is None or (name not in made and name not in read):
            continue
        outputs = made.get(name, full[0])
        follows = isinstance(module, _BatchNorm) or (isinstance(module, nn.Conv2d) and is_depthwise(module))
        chosen = (outputs, outputs if follows else read.get(name, full[1]))
        if chosen != full:
            widths[name] = chosen
    return widths
