"""Running a network at a smaller width with the very same weights: every layer sees the leading part of its tensors."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo_torch.autoslim.groups import Choice, WidthGroup, layers_at
from zoo_torch.networks.narrowing import is_depthwise, layer_widths


@contextmanager
def running_at(network: nn.Module, groups: Sequence[WidthGroup], choice: Choice) -> Iterator[None]:
    """Within the block the network has the chosen widths; gradients reach the full weights through the slices.

    Yu et al. 2019 (arXiv 1812.08928): the filters of a narrow layer are the first ones of the wide layer.
    In training mode batch normalisation normalises by the batch as ever, but what it would remember is dropped:
    running statistics belong to one width only, and are computed for the chosen widths after the training (Yu and
    Huang 2019, arXiv 1903.05134).
    """
    layers = layers_at(network, groups, choice)
    swapped = []
    for name, module in network.named_modules():
        widths = layers.get(name) or (layer_widths(module) if isinstance(module, _BatchNorm) else None)
        if widths is not None:
            swapped.append(_Swapped(module, *widths))
    try:
        yield
    finally:
        for layer in swapped:
            layer.restore()


@dataclass
class _Swapped:
    """A layer whose tensors are replaced by their leading parts until :meth:`restore`."""

    module: nn.Module
    outputs: int
    inputs: int
    _parameters: dict[str, nn.Parameter] = field(init=False)
    _buffers: dict[str, Tensor] = field(init=False)
    _groups: int | None = field(init=False)

    def __post_init__(self) -> None:
        module = self.module
        self._parameters = dict(module.named_parameters(recurse=False))
        self._buffers = dict(module.named_buffers(recurse=False))
        self._groups = module.groups if isinstance(module, nn.Conv2d) else None
        # The module's own dictionaries: only so may a view stand where a parameter stood, in the same place of the
        # order (torch.func.functional_call does it likewise).
        for name, parameter in self._parameters.items():
            module._parameters[name] = self._leading(parameter)  # type: ignore[assignment]  # noqa: SLF001
        for name, buffer in self._buffers.items():
            module._buffers[name] = self._leading(buffer).clone()  # noqa: SLF001
        if isinstance(module, nn.Conv2d) and is_depthwise(module):
            module.groups = self.outputs

    def _leading(self, tensor: Tensor) -> Tensor:
        if tensor.dim() < 2:
            return tensor[: self.outputs] if tensor.dim() else tensor
        # A depthwise filter has a single input channel, whatever the width.
        return tensor[: self.outputs, : self.inputs]

    def restore(self) -> None:
        """Put the full tensors back."""
        self.module._parameters.update(self._parameters)  # noqa: SLF001
        self.module._buffers.update(self._buffers)  # noqa: SLF001
        if self._groups is not None:
            self.module.groups = self._groups  # type: ignore[assignment]
