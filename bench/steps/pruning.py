"""The race of pruning: ``torch.prune`` without training against Torch-Pruning by hand, from file to file."""

import time
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import nn

from bench.figures import Goal
from bench.steps.racing import Arena, Contender, Heat, Ratio
from zoo_sdk.context import InputItem
from zoo_torch.networks.weights import load_weights

ARCHITECTURES = ("zoo:resnet_medium", "timm:resnet50")
RATIO = 0.5
OURS, BY_HAND = "torch.prune", "Torch-Pruning by hand"
RATIOS = (Ratio(BY_HAND, OURS, Goal(relation="at least", bound=1.0)),)


def contenders(architecture: str, arena: Arena, notes: list[str]) -> dict[str, Contender]:
    """Both read the weights, build the groups, score and remove, count operations, and write the result."""
    del notes
    item = arena.network_item(architecture)
    folders = (arena.folder / f"pruned-{architecture.partition(':')[2]}-{number}" for number in count())
    params = {"method": "group_norm", "ratio": RATIO, "scope": "uniform", "epochs": 0}

    def ours() -> float:
        return arena.outcome("torch.prune", params, {"model": item}, next(folders)).seconds

    return {OURS: ours, BY_HAND: lambda: _by_hand(item, arena)}


def _by_hand(item: InputItem, arena: Arena) -> float:
    import torch_pruning

    size = item.artifact.preprocessing.crop if item.artifact and item.artifact.preprocessing else (28, 28)
    started = time.perf_counter()
    weights = load_weights(item)
    network: Any = weights.build()
    example = torch.zeros(1, weights.architecture.in_chans, *size)
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    pruner = torch_pruning.pruner.BasePruner(
        network,
        example,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=RATIO,
        ignored_layers=[last],
    )
    pruner.step()
    torch_pruning.utils.count_ops_and_params(network, example)
    torch.save(network.state_dict(), arena.folder / "by-hand.pth")
    return time.perf_counter() - started


HEATS = tuple(
    Heat(f"pruning of {architecture}", partial(contenders, architecture), RATIOS, steps=False)
    for architecture in ARCHITECTURES
)
