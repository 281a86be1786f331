"""Which weights are trained, at which learning rate and with which weight decay."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_torch.networks.architectures import classifier_prefixes
from zoo_torch.training.params import TrainingParams

ADAM_BETA2 = 0.999
BACKBONE = "backbone"


def make_optimizer(network: nn.Module, params: TrainingParams, companions: Iterable[nn.Module] = ()) -> Optimizer:
    """SGD with Nesterov momentum or AdamW over what is trained of ``network`` and of its ``companions``.

    Vectors (biases, normalisations) are not decayed, nor what a module names in a method ``no_weight_decay()``, as
    timm's networks do.  Each group's ``rate_share`` is its learning rate's share (:func:`set_learning_rate`).
    """
    groups = _groups(network, params, layer_shares(network, params.layer_decay) if params.layer_decay else {})
    for companion in companions:
        groups += _groups(companion, params, {})
    if params.optimizer == "adamw":
        return AdamW(groups, lr=params.learning_rate, betas=(params.momentum, ADAM_BETA2), fused=True)
    # Fused: one pass over memory for each weight instead of five; for a ResNet-50 on a CPU 14 ms instead of 79.  It
    # takes for granted that a gradient has its weight's memory layout, as autograd leaves it.
    nesterov = params.momentum > 0
    return SGD(groups, lr=params.learning_rate, momentum=params.momentum, nesterov=nesterov, fused=True)


def match_layouts(optimizer: Optimizer) -> None:
    """Give what the optimiser keeps for each weight that weight's memory layout.

    Fused steps walk through memory and take this for granted; what was loaded or carried over may come in another.
    """
    for weight, kept in optimizer.state.items():
        for name, value in kept.items():
            if isinstance(value, Tensor) and value.shape == weight.shape and value.stride() != weight.stride():
                kept[name] = torch.empty_like(weight, requires_grad=False).copy_(value)


def _groups(network: nn.Module, params: TrainingParams, shares: Mapping[str, float]) -> list[dict[str, Any]]:
    exempt = _exempt_names(network)
    members: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            decay = 0.0 if parameter.ndim <= 1 or name in exempt else params.weight_decay
            members[shares.get(name, 1.0), decay].append(parameter)
    return [{"params": found, "weight_decay": decay, "rate_share": share} for (share, decay), found in members.items()]


def _exempt_names(network: nn.Module) -> set[str]:
    exempt: set[str] = set()
    for prefix, module in network.named_modules():
        declared = getattr(module, "no_weight_decay", None)
        if callable(declared):
            exempt |= {f"{prefix}.{name}" if prefix else name for name in declared()}
    return exempt


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """``rate`` for the last layer, less for others with layer-wise decay."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_share"]


def layer_shares(network: nn.Module, decay: float) -> dict[str, float]:
    """Each parameter's share of the learning rate: ``decay`` to the power of its layer's distance from the last one.

    Layer-wise learning-rate decay as Bao et al. 2021 (BEiT, arXiv 2106.08254) fine-tune with.  A network of timm says
    itself which parameters make a layer; in others, a layer is an entry of the outermost sequences.
    """
    layers = _layers_by_timm(network) if hasattr(network, "group_matcher") else _layers_by_name(network)
    last = max(layers.values(), default=0)
    return {name: decay ** (last - layer) for name, layer in layers.items()}


def _layers_by_timm(network: nn.Module) -> dict[str, int]:
    # Takes as long to import as torch itself, and our own networks do without it.
    from timm.models import group_parameters

    matcher = network.group_matcher(coarse=False)  # type: ignore[operator]
    layers: dict[str, int] = group_parameters(network, matcher, reverse=True)
    return layers


def _layers_by_name(network: nn.Module) -> dict[str, int]:
    order: dict[tuple[str, ...], int] = {}
    layers = {}
    for name, _ in network.named_parameters():
        first, *rest = name.split(".")
        key = (first, rest[0]) if rest and rest[0].isdigit() else (first,)
        layers[name] = order.setdefault(key, len(order))
    return layers


class Frozen:
    """The modules of a network that do not change: no gradients, and evaluation mode also while the rest is trained.

    Raises:
        UnknownName: a name of no module; suggests the nearest.
        InvalidInput: nothing would be left to train.

    """

    def __init__(self, network: nn.Module, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self.apply(network)
        if self._names and not any(parameter.requires_grad for parameter in network.parameters()):
            raise InvalidInput(
                f"freeze {list(self._names)} leaves nothing to train.",
                hint="Name fewer modules.",
                facts={"field": "freeze"},
            )

    def apply(self, network: nn.Module) -> None:
        """Freeze the modules of a network that was set to training or whose modules were replaced."""
        for module in self._modules(network):
            module.eval().requires_grad_(requires_grad=False)
        if BACKBONE in self._names:
            # Also what belongs to no module but the network itself, such as a transformer's position embedding.
            for name, parameter in network.named_parameters():
                if not name.startswith(classifier_prefixes(network)):
                    parameter.requires_grad = False

    def _modules(self, network: nn.Module) -> list[nn.Module]:
        modules = dict(network.named_modules())
        del modules[""]
        found = []
        for name in self._names:
            if name == BACKBONE:
                heads = classifier_prefixes(network)
                # A module that holds the classifier is thawed in part: its other children are found by themselves.
                found += [
                    module
                    for path, module in modules.items()
                    if not any(f"{path}.".startswith(head) or head.startswith(f"{path}.") for head in heads)
                ]
            elif name in modules:
                found.append(modules[name])
            else:
                raise UnknownName("module to freeze", name, [BACKBONE, *modules])
        return found
