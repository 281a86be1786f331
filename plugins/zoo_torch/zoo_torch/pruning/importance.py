"""How much each channel of a group matters: one number per channel, higher for those that should stay."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo_sdk.errors import InvalidInput
from zoo_torch.networks.narrowing import is_depthwise
from zoo_torch.pruning.groups import ChannelGroup, Member
from zoo_torch.pruning.params import ImportanceName

Scores = dict[str, Tensor]
"""By group name: float32 (size of the group).  A group that the importance cannot judge is absent."""

Losses = Callable[[], Iterable[Callable[[], Tensor]]]
"""Begins an iteration over batches; each item computes the mean loss of one batch, with a graph."""

COMPARABLE = frozenset({"bn_gamma", "taylor"})
"""Importances whose numbers mean the same in every layer.  All others are divided by their group's mean before groups
are compared, as DepGraph's published code does."""


def score(
    importance: ImportanceName, network: nn.Module, groups: Sequence[ChannelGroup], *, seed: int, losses: Losses
) -> Scores:
    """The scores of all channels; ``losses`` is asked for only where gradients are needed.

    Raises:
        InvalidInput: the importance can judge none of the groups.

    """
    if importance == "random":
        generator = torch.Generator().manual_seed(seed)
        return {group.name: torch.rand(group.size, generator=generator) for group in groups}
    if importance == "taylor":
        return _on_cpu(taylor_scores(network, groups, losses()))
    scorers: dict[str, Callable[[nn.Module, Sequence[ChannelGroup]], Scores]] = {
        "l1": l1_scores,
        "l2": l2_scores,
        "bn_gamma": bn_gamma_scores,
        "group_norm": group_norm_scores,
    }
    return _on_cpu(scorers[importance](network, groups))


def _on_cpu(scores: Scores) -> Scores:
    return {name: values.float().cpu() for name, values in scores.items()}


def comparable(scores: Scores, importance: ImportanceName) -> Scores:
    """Scores that may be ranked across groups."""
    if importance in COMPARABLE:
        return scores
    return {name: values / values.mean().clamp_min(torch.finfo(values.dtype).tiny) for name, values in scores.items()}


def l1_scores(network: nn.Module, groups: Sequence[ChannelGroup]) -> Scores:
    """L1 norm of the filter that makes a channel; the mean over the layers that are added up in it.

    Li et al. 2017, Pruning Filters for Efficient ConvNets (arXiv 1608.08710), section 3.1: s_j = sum |F_(i,j)|.
    """
    return {group.name: torch.stack(_of_makers(network, group, torch.abs)).mean(dim=0) for group in groups}


def l2_scores(network: nn.Module, groups: Sequence[ChannelGroup]) -> Scores:
    """As :func:`l1_scores` with the L2 norm."""
    return {group.name: torch.stack(_of_makers(network, group, torch.square)).sqrt().mean(dim=0) for group in groups}


def group_norm_scores(network: nn.Module, groups: Sequence[ChannelGroup]) -> Scores:
    """Mean over the group's layers of the squared L2 norm of all weights that belong to a channel.

    Fang et al. 2023, DepGraph (arXiv 2301.12900), section 3.3: I(g, k) = sum over w in g of ||w[k]||^2, where w[k] are
    the filters that make channel k, the weights that read it, and its factors in normalisations.
    """
    scores = {}
    for group in groups:
        weighted = [member for member in group.members if _weight(network, member) is not None]
        scores[group.name] = torch.stack([_per_root(network, group, m, torch.square) for m in weighted]).mean(dim=0)
    return scores


def bn_gamma_scores(network: nn.Module, groups: Sequence[ChannelGroup]) -> Scores:
    """|gamma| of the batch normalisations on a channel, their mean; groups without any are not judged.

    Liu et al. 2017, Network Slimming (arXiv 1708.06519), section 3.

    Raises:
        InvalidInput: no group has a batch normalisation.

    """
    scores = {}
    for group in groups:
        norms = [_per_root(network, group, member, torch.abs) for member in batch_norms(network, group)]
        if norms:
            scores[group.name] = torch.stack(norms).mean(dim=0)
    if groups and not scores:
        raise InvalidInput(
            "The importance bn_gamma needs batch normalisations, and the channels to choose from have none.",
            hint="Choose l1, group_norm or taylor.",
            facts={"field": "importance"},
        )
    return scores


def taylor_scores(network: nn.Module, groups: Sequence[ChannelGroup], losses: Iterable[Callable[[], Tensor]]) -> Scores:
    """Squared first-order change of the loss if a channel were zeroed; the mean over batches.

    Molchanov et al. 2019, Importance Estimation for Neural Network Pruning (arXiv 1906.10771), section 3.1: a set S of
    parameters has the importance (sum over s in S of g_s w_s)^2, with g the gradient of the loss.  S is, as that paper
    prefers, scale and shift of the batch normalisations on the channel (a gate behind the layer); where there are none,
    the filters and biases that make it.  Computed in evaluation mode; leaves no gradients behind.
    """
    training = network.training
    network.eval()
    totals: Scores = {}
    batches = 0
    for loss in losses:
        network.zero_grad(set_to_none=True)
        loss().backward()
        batches += 1
        for group in groups:
            gates = batch_norms(network, group) or [member for member in group.members if member.side == "out"]
            change = torch.stack([_first_order_change(network, group, member) for member in gates]).sum(dim=0)
            totals[group.name] = totals.get(group.name, torch.zeros_like(change)) + change.square()
    network.zero_grad(set_to_none=True)
    network.train(training)
    return {name: total / max(batches, 1) for name, total in totals.items()}


def batch_norms(network: nn.Module, group: ChannelGroup) -> list[Member]:
    """The group's batch normalisations that have a gamma."""
    return [
        member
        for member in group.members
        if isinstance(network.get_submodule(member.layer), _BatchNorm) and _weight(network, member) is not None
    ]


def per_channel(module: nn.Module, values: Tensor, *, reads: bool) -> Tensor:
    """Sums of ``values``, shaped like the layer's weight, by output channel, or by the input channel that is read."""
    if values.dim() == 1:
        return values
    if reads and isinstance(module, nn.Conv2d) and not is_depthwise(module):
        grouped = values.reshape(module.groups, -1, values.shape[1], *values.shape[2:])
        return grouped.transpose(1, 2).flatten(2).sum(dim=2).flatten()
    return (values.transpose(0, 1) if reads else values).flatten(1).sum(dim=1)


def _weight(network: nn.Module, member: Member) -> Any:
    return getattr(network.get_submodule(member.layer), "weight", None)


def _of_makers(network: nn.Module, group: ChannelGroup, of: Callable[[Tensor], Tensor]) -> list[Tensor]:
    return [_per_root(network, group, member, of) for member in group.members if member.side == "out"]


def _per_root(network: nn.Module, group: ChannelGroup, member: Member, of: Callable[[Tensor], Tensor]) -> Tensor:
    module = network.get_submodule(member.layer)
    values = of(_weight(network, member).detach().float())
    return _at_roots(group, member, per_channel(module, values, reads=member.side == "in"))


def _first_order_change(network: nn.Module, group: ChannelGroup, member: Member) -> Tensor:
    module = network.get_submodule(member.layer)
    changes = [torch.zeros(group.size, device=_weight(network, member).device)]
    for parameter in module.parameters(recurse=False):
        if parameter.grad is not None:
            products = parameter.detach().float() * parameter.grad.float()
            changes.append(_at_roots(group, member, per_channel(module, products, reads=False)))
    return torch.stack(changes).sum(dim=0)


def _at_roots(group: ChannelGroup, member: Member, values: Tensor) -> Tensor:
    """Add the values of the member's channels up at the group's channels."""
    if member.indices == member.roots and len(values) == len(member.roots) == group.size:
        return values
    indices, roots = (torch.as_tensor(numbers, device=values.device) for numbers in (member.indices, member.roots))
    return torch.zeros(group.size, device=values.device).index_add_(0, roots, values[indices])
