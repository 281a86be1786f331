"""When how much is removed from which groups: the parameters, read against the network's structure."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import floor

from zoo_sdk.errors import InvalidInput
from zoo_torch.pruning.choice import SLACK, Rule, would_be_empty
from zoo_torch.pruning.groups import ChannelGroup, Structure
from zoo_torch.pruning.params import ImportanceName, PruneParams

MAX_LISTED = 5


@dataclass(frozen=True)
class Cut:
    """One removal.  ``ratio``: for all, or by group name; None: what reaches the target.  ``names``: None is all."""

    importance: ImportanceName
    ratio: float | dict[str, float] | None
    names: frozenset[str] | None = None


Plan = dict[int, list[Cut]]
"""By the epoch before which the cuts are made; an epoch after the last one is the end of the training."""


def make_plan(params: PruneParams, structure: Structure, rule: Rule) -> Plan:
    """The cuts, which are known not to empty a layer where that does not depend on importance.

    Raises:
        InvalidInput: there is nothing to prune, a pattern matches no layer or layers that share channels get different
            ratios, or a layer would lose more than ``max_ratio``, or all.

    """
    if not structure.groups:
        listed = "; ".join(f"{layer}: {reason}" for layer, reason in list(structure.left.items())[:MAX_LISTED])
        raise InvalidInput(f"The network has no channels that can be pruned ({listed}).", hint="Prune another network.")
    plan: Plan = {}
    for step in params.pruning_schedule:
        names = frozenset(name for name, _ in _matched(step.layers, structure, "pruning_schedule")) or None
        for epoch in step.epochs:
            plan.setdefault(epoch, []).append(Cut(step.method or params.method, step.ratio, names))
    if not plan:
        ratio = _layer_ratios(params, structure) if params.layer_ratios else params.ratio
        plan[params.sparse_epochs] = [Cut(params.method, ratio)]
    _check(plan, structure, rule)
    return plan


def _layer_ratios(params: PruneParams, structure: Structure) -> dict[str, float]:
    found: dict[str, dict[str, float]] = {}
    for name, pattern in _matched(params.layer_ratios, structure, "layer_ratios"):
        found.setdefault(name, {})[pattern] = params.layer_ratios[pattern]
    ratios = {}
    for group in structure.groups:
        if group.name in found:
            ratios[group.name] = _common_ratio(group, found[group.name])
    return ratios


def _common_ratio(group: ChannelGroup, ratios: dict[str, float]) -> float:
    """Each layer takes the first pattern that matches it; layers of one group must agree."""
    by_layer = {
        layer: next(ratio for pattern, ratio in ratios.items() if fnmatchcase(layer, pattern))
        for layer in group.makers
        if any(fnmatchcase(layer, pattern) for pattern in ratios)
    }
    if len(set(by_layer.values())) > 1:
        listed = ", ".join(f"{layer}: {ratio:g}" for layer, ratio in list(by_layer.items())[:MAX_LISTED])
        raise InvalidInput(
            f"Layers that are added up share their channels, but layer_ratios differ for them ({listed}).",
            hint="Give them the same ratio.",
            facts={"field": "layer_ratios"},
        )
    return next(iter(by_layer.values()))


def _matched(patterns: Iterable[str], structure: Structure, field: str) -> list[tuple[str, str]]:
    """Pairs of a group's name and a pattern that one of its layers matches."""
    pairs = []
    for pattern in patterns:
        matching = [g.name for g in structure.groups if any(fnmatchcase(layer, pattern) for layer in g.makers)]
        if not matching:
            left = next((layer for layer in structure.left if fnmatchcase(layer, pattern)), None)
            reason = (
                f"{left} keeps its channels: {structure.left[left]}" if left else "no such layer has channels to prune"
            )
            raise InvalidInput(f"{field} names {pattern!r}, but {reason}.", facts={"field": field})
        pairs += [(name, pattern) for name in matching]
    return pairs


def _check(plan: Plan, structure: Structure, rule: Rule) -> None:
    """Find what would go wrong whatever the importance says, so that no training is spent in vain."""
    totals = {group.name: 0.0 for group in structure.groups}
    for cut in (cut for cuts in plan.values() for cut in cuts):
        for group in structure.groups:
            if cut.ratio is not None and (cut.names is None or group.name in cut.names):
                totals[group.name] += cut.ratio if isinstance(cut.ratio, float) else cut.ratio.get(group.name, 0.0)
    for group in structure.groups:
        name, total = group.name, totals[group.name]
        if total > rule.max_ratio + SLACK:
            raise InvalidInput(
                f"In total {total:.0%} of the channels of {name} would be removed, more than max_ratio "
                f"({rule.max_ratio:.0%}) allows.",
                hint="Lower the ratios, or raise max_ratio.",
                facts={"field": "pruning_schedule", "layer": name},
            )
        steps = len(group.classes[0])
        if rule.scope in {"uniform", "per_layer"} and floor(total * steps + SLACK) >= steps:
            raise would_be_empty(group)
