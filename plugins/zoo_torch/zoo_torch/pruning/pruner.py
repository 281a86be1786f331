"""Removes channels from a network, step by step, and remembers which are left."""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from zoo_torch.networks.narrowing import Channels, Part, keep_channels, kept_part, layer_part
from zoo_torch.pruning.choice import Candidate, Kept, Rule
from zoo_torch.pruning.groups import ChannelGroup, Structure, relative, renumbered
from zoo_torch.pruning.importance import Losses, comparable, score
from zoo_torch.pruning.masking import check_equal, masked, outputs_of
from zoo_torch.pruning.params import ImportanceName
from zoo_torch.training.team import Team


@dataclass
class Pruner:
    """The base network's structure, and what is kept of it in ``network``, which is narrowed in place.

    ``example``: inputs (batch, C, H, W) on which each step is checked.  ``scores``: the last ones of each channel of
    the base, None where it was never judged.
    """

    network: nn.Module
    structure: Structure
    rule: Rule
    example: Tensor
    seed: int
    kept: Kept = field(init=False)
    parts: dict[str, list[Part]] | None = field(default=None, init=False)
    """By parameter name: how each removal took its part of the former one; None: nobody asks."""
    channels: dict[str, Channels] = field(default_factory=dict, init=False)
    """The kept channels of each narrowed layer, in the numbering of the base."""
    scores: dict[str, list[float | None]] = field(init=False)

    def __post_init__(self) -> None:
        self.kept = {group.name: tuple(range(group.size)) for group in self.structure.groups}
        self.scores = {group.name: [None] * group.size for group in self.structure.groups}

    def groups(self, names: Collection[str] | None = None) -> list[ChannelGroup]:
        """The groups as they are now, in the numbering of the narrowed network."""
        chosen = [group for group in self.structure.groups if names is None or group.name in names]
        return [renumbered(group, self.kept[group.name], self.channels) for group in chosen]

    def candidates(self, importance: ImportanceName, losses: Losses, names: Collection[str] | None) -> list[Candidate]:
        """The groups that the importance can judge, scored as the network is now."""
        scores = score(importance, self.network, self.groups(names), seed=self.seed, losses=losses)
        if importance == "taylor":
            # Each process of a team has seen other samples.
            scores = {
                name: Team.current().mean(values.to(self.example.device)).cpu() for name, values in scores.items()
            }
        for name, values in scores.items():
            for root, value in zip(self.kept[name], values.tolist(), strict=True):
                self.scores[name][root] = value
        if self.rule.scope in {"global", "isomorphic"}:
            scores = comparable(scores, importance)
        groups = {group.name: group for group in self.structure.groups}
        return [Candidate(groups[name], self.kept[name], values) for name, values in scores.items()]

    def prune(self, candidates: Sequence[Candidate], ratio: float | Mapping[str, float]) -> None:
        """Remove the least important channels, and check that the network computes what it should.

        Raises:
            InvalidInput: a layer would be left without channels.
            OperationError: the narrowed network is not the former one with silenced channels.

        """
        kept = {**self.kept, **self.rule.choose(candidates, ratio)}
        choice = self._choice(kept)
        with masked(self.network, choice):
            expected = outputs_of(self.network, self.example)
        # A layer normalisation rightly has other statistics without the channels.
        comparable_outputs = not any(isinstance(self.network.get_submodule(name), nn.LayerNorm) for name in choice)
        self._move(kept, choice)
        if comparable_outputs:
            check_equal(expected, outputs_of(self.network, self.example))

    def restore(self, state: Mapping[str, Any]) -> None:
        """Narrow the base network to what :meth:`state` says."""
        kept = {name: tuple(left) for name, left in state["kept"].items()}
        self._move(kept, self._choice(kept))
        self.scores = {name: list(values) for name, values in state["scores"].items()}

    def state(self) -> dict[str, Any]:
        """Plain values for :meth:`restore`."""
        return {"kept": {name: list(kept) for name, kept in self.kept.items()}, "scores": self.scores}

    def part_of(self, name: str, tensor: Tensor) -> Tensor:
        """What the removals since ``parts`` was emptied have left of a tensor shaped like that parameter."""
        for part in (self.parts or {}).get(name, ()):
            tensor = kept_part(tensor, part)
        return tensor

    def narrowed(self, kept: Kept) -> nn.Module:
        """A copy that keeps only these; the network itself stays as it is."""
        clone = copy.deepcopy(self.network)
        keep_channels(clone, self._choice(kept))
        return clone

    def _move(self, kept: Kept, choice: Mapping[str, Channels]) -> None:
        if self.parts is not None:
            for layer, channels in choice.items():
                module = self.network.get_submodule(layer)
                for name, _ in module.named_parameters(recurse=False):
                    self.parts.setdefault(f"{layer}.{name}", []).append(layer_part(module, name, channels))
        keep_channels(self.network, choice)
        self.kept, self.channels = kept, self.structure.channels(kept)

    def _choice(self, kept: Kept) -> dict[str, Channels]:
        """The channels to keep, in the numbering of the network as it is now."""
        choice: dict[str, Channels] = {}
        for layer, (outputs, inputs) in self.structure.channels(kept).items():
            full = self.structure.widths[layer]
            former = self.channels.get(layer, (range(full[0]), range(full[1])))
            if (len(outputs), len(inputs)) != (len(former[0]), len(former[1])):
                choice[layer] = (relative(outputs, former[0]), relative(inputs, former[1]))
        return choice


def example_inputs(shape: Sequence[int], device: torch.device) -> Tensor:
    """A sample of fixed noise, (1, C, H, W)."""
    return torch.randn((1, *shape), generator=torch.Generator().manual_seed(0)).to(device)
