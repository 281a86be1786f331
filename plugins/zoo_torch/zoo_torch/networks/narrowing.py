"""Narrow networks: which channels of which layers remain, told by plain numbers and indices.

A *channel choice* names, for each narrowed layer, the kept output and input channels by their indices in ascending
order.  Supported layers: ``Conv2d`` (grouped and depthwise ones too), ``Linear``, ``BatchNorm`` and ``LayerNorm``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo_sdk.errors import InvalidInput, UnknownName

MAX_LAYERS = 10_000
MAX_WIDTH = 1_000_000

LayerName = Annotated[str, Field(min_length=1, max_length=300)]
Width = Annotated[int, Field(ge=1, le=MAX_WIDTH)]
Widths = Annotated[dict[LayerName, tuple[Width, Width]], Field(max_length=MAX_LAYERS)]
"""(output, input) channels by module name.  A normalisation has as many of either."""

Indices = Sequence[int]
Channels = tuple[Indices, Indices]
"""Kept (output, input) channels of one layer."""

_KNOWN_TENSORS = frozenset({"weight", "bias", "running_mean", "running_var", "num_batches_tracked"})


def layer_widths(module: nn.Module) -> tuple[int, int] | None:
    """(output, input) channels of a layer that can be narrowed; None for every other module."""
    if any(name not in _KNOWN_TENSORS for name, _ in _own_tensors(module)) or _has_parts_with_tensors(module):
        return None
    if isinstance(module, nn.Conv2d):
        return module.out_channels, module.in_channels
    if isinstance(module, nn.Linear):
        return module.out_features, module.in_features
    if isinstance(module, _BatchNorm):
        return module.num_features, module.num_features
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1:
        return module.normalized_shape[0], module.normalized_shape[0]
    return None


def is_depthwise(convolution: nn.Conv2d) -> bool:
    """Whether every input channel has filters of its own."""
    return convolution.groups > 1 and convolution.groups == convolution.in_channels


def narrow(network: nn.Module, widths: Mapping[str, tuple[int, int]]) -> None:
    """Keep the leading channels of the named layers, in place; weights and statistics keep their values.

    The groups of a depthwise convolution follow its input; any other keeps its number of groups.  Whether the layers
    still fit one another is not checked: that shows when the network is run.

    Raises:
        UnknownName: no module has that name.
        InvalidInput: not a layer that can be narrowed, a width of 0, above the full one, or not divisible by groups.

    """
    choice: dict[str, Channels] = {}
    for name, (outputs, inputs) in widths.items():
        module = _layer(network, name)
        full_outputs, full_inputs = _check_widths(name, module, outputs, inputs)
        groups = module.groups if isinstance(module, nn.Conv2d) and not is_depthwise(module) else 1
        choice[name] = (_leading(full_outputs, outputs, groups), _leading(full_inputs, inputs, groups))
    keep_channels(network, choice)


def narrow_untrained(network: nn.Module, widths: Mapping[str, tuple[int, int]]) -> None:
    """:func:`narrow` for fresh random weights: each layer's outputs keep the variance that its own rule gave them.

    A sum of n independent products has a variance proportional to n (He et al. 2015, arXiv 1502.01852, equation 8),
    so weights are scaled by sqrt(full fan-in / narrow fan-in).
    """
    full = {name: _fan_in(_layer(network, name)) for name in widths}
    narrow(network, widths)
    with torch.no_grad():
        for name, fan_in in full.items():
            module = network.get_submodule(name)
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.mul_(math.sqrt(fan_in / _fan_in(module)))


def keep_channels(network: nn.Module, choice: Mapping[str, Channels]) -> None:
    """Keep only the chosen channels of the named layers, in place.

    Raises:
        UnknownName, InvalidInput: as :func:`narrow`; or the groups of a convolution would keep unequal numbers.

    """
    for name, (outputs, inputs) in choice.items():
        module = _layer(network, name)
        _check_widths(name, module, len(outputs), len(inputs))
        for tensor_name, tensor in _own_tensors(module):
            if tensor.dim() > 0:
                kept = kept_part(tensor, layer_part(module, tensor_name, (outputs, inputs), name))
                _replace(module, tensor_name, tensor, kept)
        _set_widths(module, len(outputs), len(inputs))


Part = Callable[[Tensor], Tensor]


def layer_part(module: nn.Module, tensor_name: str, channels: Channels, name: str = "") -> Part:
    """How to take the chosen channels out of a tensor shaped like the layer's tensor of that name (its momentum too).

    Must be asked for before the layer is narrowed.
    """
    outputs, inputs = (torch.as_tensor(list(indices), dtype=torch.long) for indices in channels)
    if tensor_name == "weight" and isinstance(module, nn.Linear):
        return lambda tensor: tensor[outputs.to(tensor.device)][:, inputs.to(tensor.device)]
    if tensor_name == "weight" and isinstance(module, nn.Conv2d) and not is_depthwise(module):
        columns = _columns(module, outputs, inputs, name)
        return lambda tensor: _rows_and_columns(tensor, outputs.to(tensor.device), columns.to(tensor.device))
    return lambda tensor: tensor[outputs.to(tensor.device)]


def kept_part(tensor: Tensor, part: Part) -> Tensor:
    """The part as a tensor of its own, in the memory layout of the whole."""
    # Indexing copies, so nothing of the whole is kept alive.
    kept = part(tensor.detach())
    whole_is_channels_last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return kept.contiguous(memory_format=torch.channels_last if whole_is_channels_last else torch.contiguous_format)


def widths_of(network: nn.Module, full: nn.Module) -> dict[str, tuple[int, int]]:
    """The layers of ``network`` that are narrower than those of ``full``, for :func:`narrow`.

    Raises:
        InvalidInput: they differ in more than the widths of layers that can be narrowed.

    """
    widths: dict[str, tuple[int, int]] = {}
    theirs = dict(network.named_modules())
    for name, module in full.named_modules():
        wide, own = layer_widths(module), layer_widths(theirs[name]) if name in theirs else None
        if wide is not None and own is not None and own != wide:
            widths[name] = own
    fixed = {key: value.shape for key, value in full.state_dict().items() if key.rpartition(".")[0] not in widths}
    shapes = {key: value.shape for key, value in network.state_dict().items() if key.rpartition(".")[0] not in widths}
    if fixed != shapes:
        differing = sorted(key for key in fixed.keys() | shapes.keys() if fixed.get(key) != shapes.get(key))
        raise InvalidInput(f"The networks differ in more than the widths of layers: {', '.join(differing[:5])}.")
    return widths


def _own_tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]


def _has_parts_with_tensors(module: nn.Module) -> bool:
    """Such as the steps of a quantised layer, which may be one for each channel."""
    return any(True for child in module.children() for _ in (*child.parameters(), *child.buffers()))


def _layer(network: nn.Module, name: str) -> nn.Module:
    try:
        return network.get_submodule(name)
    except AttributeError:
        known = (known for known, module in network.named_modules() if layer_widths(module))
        raise UnknownName("layer", name, known) from None


def _check_widths(name: str, module: nn.Module, outputs: int, inputs: int) -> tuple[int, int]:
    full = layer_widths(module)
    if full is None:
        raise InvalidInput(
            f"The layer {name} is a {type(module).__name__}, which cannot be narrowed.",
            hint="Convolutions, linear layers, and batch and layer normalisations can.",
            facts={"layer": name},
        )
    facts = {"layer": name, "widths": [outputs, inputs], "full": [*full]}
    if not (1 <= outputs <= full[0] and 1 <= inputs <= full[1]):
        raise InvalidInput(
            f"The layer {name} cannot have {outputs} outputs and {inputs} inputs: it has {full[0]} and {full[1]}.",
            hint="Give at least 1, and no more than the full layer has.",
            facts=facts,
        )
    if isinstance(module, nn.Conv2d):
        divisors = (inputs, 1) if is_depthwise(module) else (module.groups, module.groups)
        if outputs % divisors[0] or inputs % divisors[1]:
            raise InvalidInput(
                f"The layer {name} has {module.groups} groups, between which {outputs} outputs and {inputs} inputs "
                f"cannot be shared equally.",
                facts=facts,
            )
    elif not isinstance(module, nn.Linear) and outputs != inputs:
        raise InvalidInput(
            f"The normalisation {name} cannot have {outputs} outputs and {inputs} inputs: they must be equal.",
            facts=facts,
        )
    return full


def _leading(full: int, kept: int, groups: int) -> list[int]:
    """The first channels of each group."""
    each, whole = kept // groups, full // groups
    return [group * whole + index for group in range(groups) for index in range(each)]


def _fan_in(module: nn.Module) -> int:
    return module.weight[0].numel() if isinstance(module, nn.Conv2d | nn.Linear) else 1


def _columns(convolution: nn.Conv2d, outputs: Tensor, inputs: Tensor, name: str) -> Tensor:
    """For each kept output (rows), the kept inputs by their place in its group: (outputs, inputs / groups)."""
    groups = convolution.groups
    whole = convolution.in_channels // groups
    owners = outputs // (convolution.out_channels // groups)
    counts = torch.bincount(inputs // whole, minlength=groups), torch.bincount(owners, minlength=groups)
    if any(len(set(count.tolist())) > 1 for count in counts):
        raise InvalidInput(f"The groups of the convolution {name} would keep unequal numbers of channels.")
    places = (inputs % whole).reshape(groups, -1)
    return places[owners]


def _rows_and_columns(tensor: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    index = columns[:, :, None, None].expand(*columns.shape, *tensor.shape[2:])
    return tensor[rows].gather(1, index)


def _replace(module: nn.Module, name: str, former: Tensor, value: Tensor) -> None:
    parameter = isinstance(former, nn.Parameter)
    setattr(module, name, nn.Parameter(value, requires_grad=former.requires_grad) if parameter else value)


def _set_widths(module: nn.Module, outputs: int, inputs: int) -> None:
    if isinstance(module, nn.Conv2d):
        if is_depthwise(module):
            module.groups = inputs
        module.out_channels, module.in_channels = outputs, inputs
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = outputs, inputs
    elif isinstance(module, _BatchNorm):
        module.num_features = outputs
    elif isinstance(module, nn.LayerNorm):
        module.normalized_shape = (outputs,)
