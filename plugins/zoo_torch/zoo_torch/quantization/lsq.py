"""The quantiser with a learned step: Esser et al., Learned Step Size Quantization, ICLR 2020 (arXiv 1902.08153)."""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from zoo_torch.quantization.scheme import integer_range

SMALLEST_STEP = 1e-8
"""Smaller steps would overflow v / s."""


class _LearnedStep(torch.autograd.Function):
    """v to s * round(clip(v / s, -Q_N, Q_P)) with the paper's gradients; see :func:`quantise_with_step`.

    Written for few passes over memory: one new tensor forward, one backward.  The step's gradient needs no further
    one: inside the range d v_hat/d s = round(v/s) - v/s = (v_hat - v) / s, outside it is +-Q = v_hat / s, so
    sum(g * d v_hat/d s) = (sum(g * v_hat) - sum(g * inside * v)) / s, and g * inside is the gradient of v itself.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, step: Tensor, limits: tuple[int, int], gradient_scale: float) -> Tensor:
        size = effective_step(step)
        shaped = _shaped(size, value)
        result = (value / shaped).clamp_(*limits).round_().mul_(shaped)
        ctx.save_for_backward(value, result, size, torch.copysign(size, step))
        ctx.limits, ctx.gradient_scale = limits, gradient_scale
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        value, result, size, signed = ctx.saved_tensors
        gradient = gradients[0]
        of_value = _inside_only(gradient, value, size, ctx.limits)
        if size.ndim:
            others = tuple(range(1, value.ndim))
            total = (gradient * result).sub_(of_value * value).sum(others)
        else:
            total = _dot(gradient, result) - _dot(of_value, value)
        # The step in use is |s|: below zero its gradient changes sign.
        return of_value, total.mul_(ctx.gradient_scale).div_(signed), None, None


def quantise_with_step(value: Tensor, step: Tensor, limits: tuple[int, int], gradient_scale: float) -> Tensor:
    """Equations 1 and 2: v_hat = s * round(clip(v / s, -Q_N, Q_P)), halves to even.

    Gradients, with g for ``gradient_scale``:

    - equation 3: d v_hat/d s = g * (round(v / s) - v / s) inside -Q_N < v / s < Q_P, g * -Q_N below, g * Q_P above;
    - equation 5: d v_hat/d v = 1 inside, 0 outside.

    (torch._fake_quantize_learnable_per_tensor_affine calls ``inside`` what rounds into the range, half a step more at
    either end, and so gives another gradient there.)

    Args:
        value: float32 or float64, any shape.
        step: scalar, or (channels,) for the first dimension of ``value``.  |step| is used, at least 1e-8, so that no
            update of the optimiser, however large, gives a step that is not positive.
        limits: (-Q_N, Q_P), whole numbers.
        gradient_scale: see :meth:`StepQuantiser.gradient_scale`.

    """
    return cast("Tensor", _LearnedStep.apply(value, step, limits, gradient_scale))


def effective_step(step: Tensor) -> Tensor:
    """The positive step that is in use for a stored one."""
    return step.detach().abs().clamp_(min=SMALLEST_STEP)


def _shaped(step: Tensor, value: Tensor) -> Tensor:
    return step.view(-1, *(1 for _ in range(value.ndim - 1))) if step.ndim else step


def _inside_only(gradient: Tensor, value: Tensor, step: Tensor, limits: tuple[int, int]) -> Tensor:
    """The gradient where -Q_N < v / s < Q_P, elsewhere 0."""
    low, high = limits
    hardtanh_backward = torch.ops.aten.hardtanh_backward
    if step.ndim == 0 and step.device.type == "cpu" and not torch.compiler.is_compiling():
        size = step.item()
        return cast("Tensor", hardtanh_backward(gradient, value, low * size, high * size))
    # Reading the step here would make the host wait for the device.
    return cast("Tensor", hardtanh_backward(gradient, value / _shaped(step, value), low, high))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """sum(a * b) without a tensor for the products, where both lie in memory in the same order."""
    for layout in (torch.contiguous_format, torch.channels_last):
        if (layout is torch.contiguous_format or a.ndim == 4) and all(
            tensor.is_contiguous(memory_format=layout) for tensor in (a, b)
        ):
            order = (0, 2, 3, 1) if layout is torch.channels_last else tuple(range(a.ndim))
            return torch.dot(a.permute(order).view(-1), b.permute(order).view(-1))
    return (a * b).sum()


class StepQuantiser(nn.Module):
    """Quantises a tensor to ``bits`` with a learned step, for the tensor or for each of ``channels``.

    ``active``: False passes the tensor through, which makes a network one of floating point for a while.
    """

    def __init__(self, bits: int, *, signed: bool, channels: int | None = None, per_sample: bool = False) -> None:
        super().__init__()
        self.bits = bits
        self.signed = signed
        self.per_sample = per_sample
        self.active = True
        self.step = nn.Parameter(torch.ones(()) if channels is None else torch.ones(channels))

    @property
    def limits(self) -> tuple[int, int]:
        """(-Q_N, Q_P)."""
        return integer_range(self.bits, signed=self.signed)

    @property
    def positive_step(self) -> Tensor:
        """The step in use, positive; scalar or (channels,)."""
        return effective_step(self.step)

    def gradient_scale(self, value: Tensor) -> float:
        """Section 2.2: 1 / sqrt(N Q_P), N the weights, or the features of a layer, that share the step.

        The features are those of one sample: the loss is a mean over the batch, so that the step's gradient does not
        grow with it.  With a step for each channel, N is the weights of a channel.
        """
        shares = value.shape[0] if self.per_sample or self.step.ndim else 1
        return 1 / math.sqrt(max(1, value.numel() // max(1, shares)) * self.limits[1])

    def forward(self, value: Tensor) -> Tensor:
        """The same shape, each value a whole multiple of the step; float32, or float64 if it was."""
        if not self.active:
            return value
        wide = value if value.dtype == torch.float64 else value.float()
        return quantise_with_step(wide, self.step, self.limits, self.gradient_scale(value))

    @torch.no_grad()
    def initialise(self, mean_magnitude: Tensor) -> None:
        """Section 2.1: s = 2 <|v|> / sqrt(Q_P); ``mean_magnitude``: <|v|>, scalar or (channels,)."""
        initial = 2 * mean_magnitude / math.sqrt(self.limits[1])
        self.step.copy_(initial.expand_as(self.step).clamp(min=SMALLEST_STEP))

    @torch.no_grad()
    def integers(self, value: Tensor) -> Tensor:
        """The codes round(clip(v / s, -Q_N, Q_P)), int16 (unsigned 8 bits do not fit int8)."""
        codes = (value.detach() / _shaped(self.positive_step, value)).clamp_(*self.limits).round_()
        return codes.to(torch.int16)

    @torch.no_grad()
    def settle(self) -> None:
        """Store the positive step that is in use."""
        self.step.copy_(self.positive_step)

    def extra_repr(self) -> str:
        """For people who print the network."""
        return f"bits={self.bits}, signed={self.signed}, per_channel={bool(self.step.ndim)}"
