"""Sparse training: gradients that push channels down before some are removed, the unimportant ones most."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo_torch.networks.narrowing import is_depthwise
from zoo_torch.pruning.groups import ChannelGroup, Member
from zoo_torch.pruning.importance import batch_norms, group_norm_scores
from zoo_torch.pruning.params import ImportanceName

ALPHA = 4.0
"""DepGraph's alpha: the least important channel of a group is pushed down 2^4 times as hard as the most important."""


@torch.no_grad()
def push_down(network: nn.Module, groups: Sequence[ChannelGroup], importance: ImportanceName, strength: float) -> None:
    """Add the penalty's gradient to that of the loss; for ``bn_gamma`` or ``group_norm``."""
    for group in groups:
        if importance == "bn_gamma":
            push_gammas_down(network, group, strength)
        else:
            push_group_down(network, group, strength)


def push_gammas_down(network: nn.Module, group: ChannelGroup, strength: float) -> None:
    """The sub-gradient lambda * sign(gamma) of the penalty lambda * sum |gamma|.

    Liu et al. 2017, Network Slimming (arXiv 1708.06519), equation 1 with g(s) = |s|.
    """
    for member in batch_norms(network, group):
        weight = network.get_submodule(member.layer).weight
        if isinstance(weight, Tensor) and weight.grad is not None:
            indices = torch.as_tensor(member.indices, device=weight.device)
            weight.grad[indices] += strength * weight[indices].sign()


def push_group_down(network: nn.Module, group: ChannelGroup, strength: float) -> None:
    """The gradient strength * gamma_k * w of DepGraph's penalty sum over k of gamma_k * I_k, its factor 2 left out.

    Fang et al. 2023 (arXiv 2301.12900), equations 4 and 5: gamma_k = 2^(alpha (I_max - I_k) / (I_max - I_min)), which
    is treated as a constant.
    """
    importance = group_norm_scores(network, [group])[group.name]
    span = importance.max() - importance.min()
    if not span > 0:
        return
    shrinkage = strength * 2 ** (ALPHA * (importance.max() - importance) / span)
    for member in group.members:
        module = network.get_submodule(member.layer)
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.grad is not None:
            weight.grad += weight * _spread(module, weight, member, shrinkage)


def _spread(module: nn.Module, weight: Tensor, member: Member, shrinkage: Tensor) -> Tensor:
    """Each channel's factor at its weights in the layer, 0 elsewhere; broadcasts to the weight's shape."""
    reads = member.side == "in" and not (isinstance(module, nn.Conv2d) and is_depthwise(module))
    indices, roots = (torch.as_tensor(numbers, device=weight.device) for numbers in (member.indices, member.roots))
    groups = module.groups if isinstance(module, nn.Conv2d) and reads else 1
    factors = torch.zeros(weight.shape[1] * groups if reads else weight.shape[0], device=weight.device)
    factors[indices] = shrinkage[roots].to(factors.dtype)
    if not reads:
        return factors.reshape(-1, *[1] * (weight.dim() - 1))
    by_row = factors.reshape(groups, -1).repeat_interleave(weight.shape[0] // groups, dim=0)
    return by_row.reshape(*by_row.shape, *[1] * (weight.dim() - 2))
