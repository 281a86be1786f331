"""Which channels of a network must have one width: those groups of coupled channels that leading slices can narrow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.errors import InvalidInput
from zoo_torch.networks.narrowing import is_depthwise, layer_widths
from zoo_torch.pruning import groups as coupled
from zoo_torch.pruning.groups import ChannelGroup, Member


@dataclass(frozen=True)
class WidthGroup:
    """Layers whose channels are one and the same set, named after the first one that makes them.

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

    Those of :func:`zoo_torch.pruning.groups.find_groups`, but for the ones with a member that cannot be cut by leading
    channels: concatenations, convolutions in groups other than depthwise ones, layers other than convolutions, linear
    layers and batch normalisations.  They keep their full width.

    Raises:
        InvalidInput: the network cannot be traced, or has no such group.

    """
    device = next(network.parameters()).device
    example = torch.zeros(1, preprocessing.channels, *preprocessing.crop, device=device)
    training = network.training
    structure = coupled.find_groups(network.eval(), example, keep_stem=False, ignore=())
    network.train(training)
    groups = tuple(_width_group(group) for group in structure.groups if _can_be_sliced(network, group))
    if not groups:
        raise InvalidInput(
            f"{type(network).__name__} has no layer whose width can be chosen.",
            hint="AutoSlim takes convolutional networks: zoo:resnet_small, timm:resnet50, timm:mobilenetv2_100 ...",
        )
    return groups


def _width_group(group: ChannelGroup) -> WidthGroup:
    outputs = tuple(member.layer for member in group.members if member.side != "in")
    inputs = tuple(member.layer for member in group.members if member.side == "in")
    return WidthGroup(group.name, group.size, outputs, inputs)


def _can_be_sliced(network: nn.Module, group: ChannelGroup) -> bool:
    return all(_follows(network.get_submodule(member.layer), member, group.size) for member in group.members)


def _follows(layer: nn.Module, member: Member, channels: int) -> bool:
    """Whether the layer has just these channels on that side, in their order, so that its leading ones can be kept."""
    if not isinstance(layer, nn.Conv2d | nn.Linear | _BatchNorm):
        return False
    if isinstance(layer, nn.Conv2d) and layer.groups > 1 and not _one_to_one(layer):
        return False
    in_order = tuple(range(channels))
    widths = layer_widths(layer)
    return (
        widths is not None
        and widths[1 if member.side == "in" else 0] == channels
        and member.indices == member.roots == in_order
    )


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
