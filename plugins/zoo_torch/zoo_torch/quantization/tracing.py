"""A network's graph by torch.fx, with convolutions, linear layers and normalisations as whole nodes."""

import operator
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, fx, nn

NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d)
_NEVER_NEGATIVE = (nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Hardsigmoid, nn.Softmax)
_KEEPING_MODULES = (
    *(nn.Identity, nn.Dropout, nn.Dropout2d, nn.Flatten),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
)
_Functions = frozenset[Callable[..., Any]]
_RELU_FUNCTIONS: _Functions = frozenset((F.relu, F.relu6, F.sigmoid, F.hardsigmoid, torch.relu, torch.sigmoid))
ADDITIONS: _Functions = frozenset((operator.add, operator.iadd, torch.add))
MULTIPLICATIONS: _Functions = frozenset((operator.mul, operator.imul, torch.mul))
CONCATENATIONS: _Functions = frozenset((torch.cat, torch.concat))
_POOLINGS: _Functions = frozenset((F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d))
_KEEPING_FUNCTIONS: _Functions = frozenset(
    (torch.flatten, F.dropout, *_POOLINGS, *ADDITIONS, *MULTIPLICATIONS, *CONCATENATIONS)
)
"""What gives no negative number when nothing that goes in is negative."""
_KEEPING_METHODS = frozenset({"mean", "flatten", "view", "reshape", "contiguous", "permute", "transpose"})


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (nn.Conv2d, nn.Linear, *NORMALISATIONS)) or super().is_leaf_module(
            m, module_qualified_name
        )


def trace(network: nn.Module) -> fx.Graph | None:
    """The graph of ``network`` in evaluation mode; None where its code takes decisions that depend on values."""
    was_training = network.training
    network.eval()
    try:
        return _Tracer().trace(network)
    except Exception:  # noqa: BLE001 (a network's own code raises what it likes when it meets a symbolic value)
        return None
    finally:
        network.train(was_training)


def layers_with_unsigned_inputs(network: nn.Module) -> tuple[str, ...]:
    """Names of the convolutions and linear layers whose input can never be negative, whenever they are called."""
    graph = trace(network)
    if graph is None:
        return ()
    modules = dict(network.named_modules(remove_duplicate=False))
    unsigned: set[fx.Node] = set()
    inputs: dict[str, bool] = {}
    for node in graph.nodes:
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            name = str(node.target)
            inputs[name] = inputs.get(name, True) and node.args[0] in unsigned
        elif _is_unsigned(node, module, unsigned):
            unsigned.add(node)
    return tuple(name for name, flag in inputs.items() if flag)


def _is_unsigned(node: fx.Node, module: nn.Module | None, unsigned: set[fx.Node]) -> bool:
    if node.op == "call_module":
        # timm joins a normalisation and its activation in one module.
        active = getattr(module, "act", module) if isinstance(module, NORMALISATIONS) else module
        if isinstance(active, _NEVER_NEGATIVE):
            return True
        keeps = isinstance(module, _KEEPING_MODULES)
    elif node.op == "call_function":
        if node.target in _RELU_FUNCTIONS:
            return True
        keeps = node.target in _KEEPING_FUNCTIONS
    else:
        if node.op == "call_method" and node.target in {"relu", "sigmoid"}:
            return True
        keeps = node.op == "call_method" and node.target in _KEEPING_METHODS
    return keeps and bool(node.all_input_nodes) and all(source in unsigned for source in node.all_input_nodes)


def joined_normalisations(network: nn.Module, graph: fx.Graph) -> dict[str, str]:
    """By layer: the batch normalisation that alone reads what it makes, so that both can be computed as one."""
    modules = dict(network.named_modules(remove_duplicate=False))
    calls = [node for node in graph.nodes if node.op == "call_module"]
    counts = Counter(id(modules[str(node.target)]) for node in calls)
    joined = {}
    for node in calls:
        source = node.args[0] if node.args else None
        module = modules[str(node.target)]
        if not isinstance(module, NORMALISATIONS) or not isinstance(source, fx.Node) or source.op != "call_module":
            continue
        layer = modules[str(source.target)]
        is_alone = len(source.users) == 1 and counts[id(layer)] == counts[id(module)] == 1
        if isinstance(layer, (nn.Conv2d, nn.Linear)) and is_alone and module.running_mean is not None:
            joined[str(source.target)] = str(node.target)
    return joined


def scale_and_shift(module: nn.Module) -> tuple[Tensor, Tensor]:
    """A batch normalisation in evaluation mode as x * scale + shift, float64 (channels,) each."""
    if not isinstance(module, NORMALISATIONS) or module.running_mean is None or module.running_var is None:
        raise TypeError(f"{type(module).__name__} is no batch normalisation with running statistics")
    scale = (module.running_var.detach().double() + module.eps).rsqrt()
    if module.weight is not None:
        scale = scale * module.weight.detach().double()
    shift = -module.running_mean.detach().double() * scale
    return scale, shift if module.bias is None else shift + module.bias.detach().double()
