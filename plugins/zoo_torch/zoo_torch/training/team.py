"""The processes that train one network together, one for each device."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Team:
    """Process ``index`` of ``size``; a team of one needs no communication, and its methods do nothing.

    Gradients are averaged after the backward pass of whatever a method computes, instead of by
    ``DistributedDataParallel``'s hooks during it: those allow one forward pass of one module for each step, and methods
    here train companions beside the network and run several sub-networks in a step.
    """

    index: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "Team":
        """That of this process."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first process goes through the block before the others, who may then find what it made."""
        if self.size > 1 and self.index > 0:
            dist.barrier()
        yield
        if self.size > 1 and self.index == 0:
            dist.barrier()

    def agree(self, modules: Iterable[nn.Module]) -> None:
        """Everybody takes the weights and statistics of the first process."""
        if self.size > 1:
            for module in modules:
                for value in module.state_dict().values():
                    plain = value.contiguous()
                    dist.broadcast(plain, 0)
                    value.copy_(plain)

    def mean_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over the team."""
        if self.size > 1:
            self._mean([parameter.grad for parameter in parameters if parameter.grad is not None])

    def mean_statistics(self, modules: Iterable[nn.Module]) -> None:
        """Replace running statistics by their mean over the team."""
        if self.size > 1:
            self._mean([value for module in modules for value in module.buffers() if value.is_floating_point()])

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the team, in place."""
        if self.size > 1:
            self._mean([values])
        return values

    def _mean(self, tensors: list[Tensor]) -> None:
        """In one message: a network has hundreds of small tensors."""
        if not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1).float() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()
