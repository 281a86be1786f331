"""Which channels of a network must go together: groups, found in Torch-Pruning's dependency graph.

A channel of one convolution is also a channel of the normalisation after it, of every layer that it is added to (so
that the branches of a residual block share one choice) and an input of every layer that reads it.  A *group* is such a
closure (Fang et al. 2023, DepGraph, arXiv 2301.12900, section 3.2), told here by plain names and numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch_pruning
from torch import nn

from zoo_sdk.errors import InvalidInput
from zoo_torch.networks.architectures import classifier_prefixes
from zoo_torch.networks.narrowing import Channels, Indices, is_depthwise, layer_widths

Side = Literal["out", "in", "both"]
"""Which channels of a layer: those it makes, those it reads, or both at once (normalisations, depthwise layers)."""

MAX_REASON = 300
MAKES_OUTPUTS = "it makes the network's outputs"


@dataclass(frozen=True)
class Member:
    """Channels of one layer that belong to a group: channel ``indices[k]`` goes with the group's ``roots[k]``."""

    layer: str
    side: Side
    indices: tuple[int, ...]
    roots: tuple[int, ...]


@dataclass(frozen=True)
class ChannelGroup:
    """``size`` channels, of which each goes or stays in all ``members`` at once.

    ``classes``: sets of channels of which equally many must stay, because a grouped convolution shares them out; a
    single one where there is none.  ``name``: the first layer that makes these channels.  ``kind``: the sequence of
    its members' types and sides, which is the same for groups of the same structure.
    """

    name: str
    size: int
    members: tuple[Member, ...]
    classes: tuple[tuple[int, ...], ...]
    kind: tuple[str, ...] = ()

    @property
    def makers(self) -> tuple[str, ...]:
        """The layers whose outputs these channels are, in the order of the network."""
        return tuple(member.layer for member in self.members if member.side == "out")

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers that are narrowed with this group."""
        return tuple(dict.fromkeys(member.layer for member in self.members))


@dataclass(frozen=True)
class Structure:
    """All groups of a network that may be pruned; ``left``: why other layers keep their outputs."""

    groups: tuple[ChannelGroup, ...]
    widths: Mapping[str, tuple[int, int]]
    left: Mapping[str, str]

    def channels(self, kept: Mapping[str, Sequence[int]]) -> dict[str, Channels]:
        """The channels that each narrowed layer keeps, when of each group the named roots are kept."""
        gone: dict[tuple[str, bool], set[int]] = {}
        for group in self.groups:
            removed = set(range(group.size)).difference(kept.get(group.name, range(group.size)))
            for member in group.members if removed else ():
                lost = {index for index, root in zip(member.indices, member.roots, strict=True) if root in removed}
                for is_output in (True, False):
                    if member.side in {"both", "out" if is_output else "in"}:
                        gone.setdefault((member.layer, is_output), set()).update(lost)
        result: dict[str, Channels] = {}
        for layer in dict.fromkeys(name for name, _ in gone):
            full = self.widths[layer]
            outputs, inputs = (_without(gone.get((layer, side == 0), set()), full[side]) for side in (0, 1))
            if (len(outputs), len(inputs)) != full:
                result[layer] = (outputs, inputs)
        return result


def _without(gone: set[int], width: int) -> Indices:
    return [index for index in range(width) if index not in gone] if gone else range(width)


def relative(kept: Sequence[int], former: Sequence[int]) -> list[int]:
    """The places of ``kept`` in ``former``."""
    places = {index: place for place, index in enumerate(former)}
    return [places[index] for index in kept]


def renumbered(group: ChannelGroup, kept: Sequence[int], channels: Mapping[str, Channels]) -> ChannelGroup:
    """The group as it is in a network that was narrowed to ``channels`` and keeps the roots ``kept`` of it."""
    if not channels:
        return group
    roots = {root: place for place, root in enumerate(kept)}
    members = []
    for member in group.members:
        pairs = [(i, r) for i, r in zip(member.indices, member.roots, strict=True) if r in roots]
        if member.layer in channels:
            places = {index: place for place, index in enumerate(channels[member.layer][member.side == "in"])}
            pairs = [(places[index], root) for index, root in pairs]
        indices, own = tuple(index for index, _ in pairs), tuple(roots[root] for _, root in pairs)
        members.append(Member(member.layer, member.side, indices, own))
    classes = tuple(tuple(roots[root] for root in one if root in roots) for one in group.classes)
    return ChannelGroup(group.name, len(roots), tuple(members), classes, group.kind)


def find_groups(network: nn.Module, example: torch.Tensor, *, keep_stem: bool, ignore: Sequence[str]) -> Structure:
    """The groups of ``network``, traced with ``example`` (1, C, H, W); leaves the network as it is.

    Left as they are: what makes the network's outputs; layers below a prefix in ``ignore``; with ``keep_stem`` the
    first layer; attention; and groups that reach a tensor which a file could not describe as a layer's width.

    Raises:
        InvalidInput: the network cannot be traced, or a prefix in ``ignore`` names nothing.

    """
    names = {name for name, _ in network.named_modules()}
    for prefix in ignore:
        if not any(_below(name, prefix) for name in names):
            raise InvalidInput(
                f"ignore names {prefix!r}, which is no module of the network.", facts={"field": "ignore"}
            )
    graph = _trace(network, example)
    found = [_Finding(graph, network, group) for group in graph.get_all_groups()]
    found.sort(key=lambda finding: finding.position)
    stem = min((finding.position for finding in found), default=0) if keep_stem else -1
    groups, left = [], {}
    for finding in found:
        reason = "it is the first layer" if finding.position == stem else finding.reason_to_leave(ignore)
        if reason:
            left.update(dict.fromkeys(finding.makers, reason[:MAX_REASON]))
        else:
            groups.append(finding.group())
    modules = dict(network.named_modules())
    widths = {layer: layer_widths(modules[layer]) or (0, 0) for group in groups for layer in group.layers}
    return Structure(tuple(groups), widths, left)


def _trace(network: nn.Module, example: torch.Tensor) -> Any:
    """Torch-Pruning's graph; it follows autograd, so every weight must ask for a gradient meanwhile."""
    training = network.training
    frozen = [parameter for parameter in network.parameters() if not parameter.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad = True
        with torch.enable_grad():
            return torch_pruning.DependencyGraph().build_dependency(network, example, verbose=False)
    except (RuntimeError, AssertionError, ValueError, KeyError, AttributeError) as error:
        raise InvalidInput(
            f"Torch-Pruning cannot follow this network: {type(error).__name__}: {error}"[:MAX_REASON],
            hint="Prune another architecture.",
        ) from error
    finally:
        for parameter in frozen:
            parameter.requires_grad = False
        network.train(training)


def _below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


class _Finding:
    """One group as Torch-Pruning tells it, and what speaks against pruning it."""

    def __init__(self, graph: Any, network: nn.Module, group: Any) -> None:
        self._graph = graph
        self._network = network
        self._root = group[0].dep
        self._size = len(group[0].idxs)
        self._unnamed: list[str] = []
        order = {name: place for place, (name, _) in enumerate(network.named_modules())}
        modules = {module: name for name, module in network.named_modules()}
        members: dict[tuple[str, Side], Member] = {}
        for item in group:
            target = item.dep.target.module
            if target not in modules:
                if isinstance(target, nn.Parameter):
                    self._unnamed.append(str(tuple(target.shape)))
                continue
            side = self._side(item.dep)
            members[modules[target], side] = Member(modules[target], side, tuple(item.idxs), tuple(item.root_idxs))
        self._members = tuple(sorted(members.values(), key=lambda member: (order[member.layer], member.side)))
        self.makers = tuple(member.layer for member in self._members if member.side == "out")
        self.position = order[self.makers[0]] if self.makers else -1

    def _side(self, dependency: Any) -> Side:
        makes = self._graph.is_out_channel_pruning_fn(dependency.handler)
        reads = self._graph.is_in_channel_pruning_fn(dependency.handler)
        return "both" if makes and reads else "out" if makes else "in"

    def reason_to_leave(self, ignore: Sequence[str]) -> str:
        """Empty where the group may be pruned."""
        for prefix in ignore:
            if any(_below(member.layer, prefix) for member in self._members if member.side != "in"):
                return f"it shares its channels with {prefix}, which is ignored"
        classifiers = tuple(prefix.removesuffix(".") for prefix in classifier_prefixes(self._network))
        if any(maker in classifiers for maker in self.makers) or all(m.side != "in" for m in self._members):
            return MAKES_OUTPUTS
        if self._unnamed:
            return f"it shares its channels with a tensor outside any layer, of shape {self._unnamed[0]}"
        for member in self._members:
            reason = self._reason_of(member)
            if reason:
                return f"{member.layer} {reason}"
        root = self._root.target.module
        alone = self._graph.get_pruning_group(root, self._root.handler, [0])
        return "" if len(alone[0].idxs) == 1 else "its channels are split and meet again"

    def _reason_of(self, member: Member) -> str:
        module = self._network.get_submodule(member.layer)
        parent = self._network.get_submodule(member.layer.rpartition(".")[0])
        if hasattr(parent, "num_heads"):
            return "belongs to attention, whose heads are not pruned"
        if layer_widths(module) is None:
            return f"is a {type(module).__name__}, which cannot be narrowed"
        both = not isinstance(module, nn.Conv2d | nn.Linear) or (isinstance(module, nn.Conv2d) and is_depthwise(module))
        if both != (member.side == "both"):
            return "has groups of an unusual kind"
        known = all(isinstance(root, int) and 0 <= root < self._size for root in member.roots)
        return (
            "" if known and len(member.roots) == len(member.indices) else "is reached in a way that is not understood"
        )

    def group(self) -> ChannelGroup:
        """The same as data."""
        keys: list[list[int]] = [[] for _ in range(self._size)]
        for member in self._members:
            module = self._network.get_submodule(member.layer)
            if isinstance(module, nn.Conv2d) and module.groups > 1 and member.side != "both":
                width = module.out_channels if member.side == "out" else module.in_channels
                share = width // module.groups
                for index, root in zip(member.indices, member.roots, strict=True):
                    keys[root].append(index // share)
        classes: dict[tuple[int, ...], list[int]] = {}
        for root, key in enumerate(keys):
            classes.setdefault(tuple(key), []).append(root)
        kind = (
            *(f"{type(self._network.get_submodule(m.layer)).__name__} {m.side}" for m in self._members),
            f"{len(classes)} classes",
        )
        return ChannelGroup(self.makers[0], self._size, self._members, tuple(map(tuple, classes.values())), kind)
