"""Which channels go: ranking by importance within a scope, with limits and rounding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, gcd

from torch import Tensor

from zoo_sdk.errors import InvalidInput
from zoo_torch.pruning.groups import ChannelGroup
from zoo_torch.pruning.params import ScopeName

Kept = dict[str, tuple[int, ...]]
"""By group name: the channels that stay, ascending, in the numbering of the base network."""

SLACK = 1e-9
"""So that .3 of 10 channels is 3, whatever a float makes of it."""


@dataclass(frozen=True)
class Candidate:
    """A group of the base network, the channels that it still has, and a score for each of them."""

    group: ChannelGroup
    kept: tuple[int, ...]
    scores: Tensor

    @property
    def steps(self) -> list[tuple[float, tuple[int, ...]]]:
        """What can be removed at once, least important first: one channel of each class, with their mean score."""
        scores = dict(zip(self.kept, self.scores.tolist(), strict=True))
        # Sorting is stable, so that equally important channels go in their order.
        ranked = [
            sorted((root for root in one if root in scores), key=scores.__getitem__) for one in self.group.classes
        ]
        together = [(sum(map(scores.__getitem__, roots)) / len(roots), roots) for roots in zip(*ranked, strict=True)]
        return sorted(together, key=lambda step: step[0])

    @property
    def full_steps(self) -> int:
        """How many there were in the base network."""
        return len(self.group.classes[0])


@dataclass(frozen=True)
class Rule:
    """How channels are compared, how many may go, and what a number of channels must be a multiple of."""

    scope: ScopeName
    max_ratio: float
    round_to: int

    def choose(self, candidates: Sequence[Candidate], ratio: float | Mapping[str, float]) -> Kept:
        """Remove that share of the base network's channels from what each group still has.

        Args:
            candidates: with scores that may be compared across groups.
            ratio: for all groups together (scopes global and isomorphic), for each, or by group name.

        Raises:
            InvalidInput: a group would be left without channels.

        """
        steps = {candidate.group.name: candidate.steps for candidate in candidates}
        counts = self._counts(candidates, steps, ratio)
        kept: Kept = {}
        for candidate in candidates:
            name = candidate.group.name
            count = self._rounded(candidate, len(steps[name]), counts[name])
            gone = {root for _, roots in steps[name][:count] for root in roots}
            kept[name] = tuple(root for root in candidate.kept if root not in gone)
            if not kept[name]:
                raise would_be_empty(candidate.group)
        return kept

    def _counts(
        self,
        candidates: Sequence[Candidate],
        steps: Mapping[str, Sequence[tuple[float, tuple[int, ...]]]],
        ratio: float | Mapping[str, float],
    ) -> dict[str, int]:
        if not isinstance(ratio, float) or self.scope not in {"global", "isomorphic"}:
            shares = {
                c.group.name: ratio if isinstance(ratio, float) else ratio.get(c.group.name, 0) for c in candidates
            }
            return {
                c.group.name: min(floor(c.full_steps * shares[c.group.name] + SLACK), self._allowance(c))
                for c in candidates
            }
        counts: dict[str, int] = {}
        for pool in _pools(candidates, self.scope):
            budget = floor(sum(candidate.group.size for candidate in pool) * ratio + SLACK)
            counts.update(_lowest(pool, steps, budget, {c.group.name: self._allowance(c) for c in pool}))
        return counts

    def _allowance(self, candidate: Candidate) -> int:
        gone = candidate.full_steps - len(candidate.kept) // len(candidate.group.classes)
        return max(0, floor(candidate.full_steps * self.max_ratio + SLACK) - gone)

    def _rounded(self, candidate: Candidate, available: int, count: int) -> int:
        """Change the number of removed steps so that the nearest multiple of channels remains."""
        classes = len(candidate.group.classes)
        multiple = self.round_to // gcd(self.round_to, classes)
        if multiple == 1 or count == 0:
            return count
        remaining = available - count
        nearest = max(1, floor(remaining / multiple + 0.5)) * multiple
        return available - min(nearest, available)


def _pools(candidates: Sequence[Candidate], scope: ScopeName) -> list[list[Candidate]]:
    """The groups that are ranked together.

    isomorphic: those of the same structure (Fang et al. 2024, Isomorphic Pruning, arXiv 2407.04616): the same sequence
    of kinds of layers, sides and numbers of classes.
    """
    pools: dict[object, list[Candidate]] = {}
    for candidate in candidates:
        pools.setdefault(candidate.group.kind if scope == "isomorphic" else None, []).append(candidate)
    return list(pools.values())


def _lowest(
    pool: Sequence[Candidate],
    steps: Mapping[str, Sequence[tuple[float, tuple[int, ...]]]],
    budget: int,
    allowed: Mapping[str, int],
) -> dict[str, int]:
    """How many steps each group loses when the least important of all go until ``budget`` channels are gone."""
    counts = {candidate.group.name: 0 for candidate in pool}
    ranking = sorted((score, place, c.group.name) for place, c in enumerate(pool) for score, _ in steps[c.group.name])
    for _, place, name in ranking:
        size = len(pool[place].group.classes)
        if size <= budget and counts[name] < allowed[name]:
            counts[name] += 1
            budget -= size
    return counts


def would_be_empty(group: ChannelGroup) -> InvalidInput:
    """The error to raise."""
    return InvalidInput(
        f"All {group.size} channels of {group.name} would be removed.",
        hint="Lower the ratio or max_ratio, or name the layer in `ignore`.",
        facts={"field": "ratio", "layer": group.name, "channels": group.size},
    )
