"""The quantiser computes what the paper says, and so do its gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zoo_torch.quantization.lsq import StepQuantiser, effective_step, quantise_with_step
from zoo_torch.quantization.scheme import integer_range

BITS = st.integers(2, 8)
BOTH = pytest.mark.parametrize("signed", [True, False])


def paper(value: Tensor, step: Tensor, low: int, high: int) -> tuple[Tensor, Tensor, Tensor]:
    """Equations 1 and 2, 3 and 5, written down element by element."""
    value = value.contiguous()
    quantised, by_step, by_value = (torch.empty_like(value) for _ in range(3))
    for index in range(value.numel()):
        ratio = value.view(-1)[index] / step
        quantised.view(-1)[index] = torch.round(torch.clip(ratio, low, high)) * step
        inside = low < ratio < high
        by_step.view(-1)[index] = (torch.round(ratio) - ratio) if inside else (low if ratio <= low else high)
        by_value.view(-1)[index] = 1 if inside else 0
    return quantised, by_step, by_value


@settings(max_examples=40, deadline=None)
@given(bits=BITS, signed=st.booleans(), seed=st.integers(0, 10**6), size=st.floats(0.01, 3))
def test_values_and_gradients_follow_the_papers_piecewise_formulas(
    bits: int, signed: bool, seed: int, size: float
) -> None:
    torch.manual_seed(seed)
    low, high = integer_range(bits, signed=signed)
    value = (torch.randn(3, 5, 4, 4, dtype=torch.float64) * size * high).requires_grad_()
    step = torch.tensor(size, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn_like(value)
    result = quantise_with_step(value, step, (low, high), 0.25)
    result.backward(upstream)
    quantised, by_step, by_value = paper(value.detach(), step.detach(), low, high)
    torch.testing.assert_close(result, quantised)
    torch.testing.assert_close(value.grad, upstream * by_value)
    torch.testing.assert_close(step.grad, (upstream * by_step).sum() * 0.25)


@BOTH
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_are_the_same_in_single_precision_and_in_every_layout(
    signed: bool, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    low, high = integer_range(4, signed=signed)
    value = (torch.randn(8, 6, 5, 5) * 2).contiguous(memory_format=layout).requires_grad_()
    step = torch.tensor(0.4, requires_grad=True)
    upstream = torch.randn(8, 6, 5, 5)
    quantise_with_step(value, step, (low, high), 1.0).backward(upstream)
    _, by_step, by_value = paper(value.detach(), step.detach(), low, high)
    torch.testing.assert_close(value.grad, upstream * by_value)
    torch.testing.assert_close(step.grad, (upstream * by_step).sum(), rtol=1e-4, atol=1e-4)


def test_each_channel_has_the_gradient_of_its_own_step() -> None:
    torch.manual_seed(0)
    weight = torch.randn(5, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    steps = torch.tensor([0.1, 0.2, 0.5, 1.0, 3.0], dtype=torch.float64, requires_grad=True)
    upstream = torch.randn_like(weight)
    quantise_with_step(weight, steps, (-4, 3), 1.0).backward(upstream)
    for channel in range(5):
        _, by_step, by_value = paper(weight[channel].detach(), steps[channel].detach(), -4, 3)
        assert steps.grad is not None
        assert weight.grad is not None
        torch.testing.assert_close(steps.grad[channel], (upstream[channel] * by_step).sum())
        torch.testing.assert_close(weight.grad[channel], upstream[channel] * by_value)


def test_the_half_step_beyond_the_range_counts_as_outside_unlike_in_torchs_own_operation() -> None:
    value = torch.tensor([7.3, -8.3], requires_grad=True)
    step = torch.tensor(1.0, requires_grad=True)
    quantise_with_step(value, step, (-8, 7), 1.0).sum().backward()
    assert value.grad is not None
    assert value.grad.tolist() == [0, 0]
    assert step.grad is not None
    assert step.grad.item() == -1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), negative=st.booleans())
def test_outside_the_range_the_gradient_of_the_step_is_that_of_finite_differences(seed: int, negative: bool) -> None:
    # Beyond the range the function of s is smooth (it is linear), so that both must agree.
    torch.manual_seed(seed)
    sign = -1 if negative else 1
    value = (torch.rand(20, dtype=torch.float64) * 5 + 8.1) * sign
    step = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(20, dtype=torch.float64)
    (quantise_with_step(value, step, (-8, 7), 1.0) * weights).sum().backward()

    def loss(size: float) -> float:
        return float((quantise_with_step(value, torch.tensor(size, dtype=torch.float64), (-8, 7), 1.0) * weights).sum())

    assert step.grad is not None
    assert step.grad.item() == pytest.approx((loss(1 + 1e-6) - loss(1 - 1e-6)) / 2e-6, rel=1e-6)


def test_inside_the_range_the_mean_over_many_values_is_that_of_finite_differences() -> None:
    # Straight through: each value's own function of s jumps, but the mean over a dense set of values is smooth, and
    # the mean of (v_hat - v)^2 has a true derivative, which the estimate 2 (v_hat - v) (round(v/s) - v/s) must meet.
    value = torch.special.ndtri(torch.linspace(1e-7, 1 - 1e-7, 1_000_001, dtype=torch.float64)) * 2.5
    step = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    ((quantise_with_step(value, step, (-8, 7), 1.0) - value) ** 2).mean().backward()

    def error(size: float) -> float:
        return float(
            ((quantise_with_step(value, torch.tensor(size, dtype=torch.float64), (-8, 7), 1.0) - value) ** 2).mean()
        )

    assert step.grad is not None
    # d/ds of the error of rounding is s / 6; the estimator gives 2 E[(r s) r] = s / 6 as well.
    assert step.grad.item() == pytest.approx((error(1.301) - error(1.299)) / 0.002, rel=0.02)
    assert step.grad.item() == pytest.approx(1.3 / 6, rel=0.02)


def test_the_gradient_of_a_value_through_a_smooth_loss_is_straight_through() -> None:
    value = torch.tensor([0.4, 1.6, -2.2], dtype=torch.float64, requires_grad=True)
    quantised = quantise_with_step(value, torch.tensor(1.0).double(), (-8, 7), 1.0)
    (quantised**2).sum().backward()
    assert value.grad is not None
    assert value.grad.tolist() == [0, 4, -4]


@BOTH
@pytest.mark.parametrize("bits", range(2, 9))
def test_the_first_step_and_the_gradient_scale_are_those_of_the_paper(bits: int, signed: bool) -> None:
    high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    quantiser = StepQuantiser(bits, signed=signed, per_sample=True)
    quantiser.initialise(torch.tensor(0.5))
    assert quantiser.step.item() == pytest.approx(2 * 0.5 / math.sqrt(high))
    batch = torch.zeros(16, 3, 5, 5)
    assert quantiser.gradient_scale(batch) == pytest.approx(1 / math.sqrt(3 * 5 * 5 * high))
    weights = StepQuantiser(bits, signed=True)
    assert weights.gradient_scale(batch) == pytest.approx(1 / math.sqrt(16 * 75 * (2 ** (bits - 1) - 1)))
    each = StepQuantiser(bits, signed=True, channels=16)
    assert each.gradient_scale(batch) == pytest.approx(1 / math.sqrt(75 * (2 ** (bits - 1) - 1)))


@pytest.mark.parametrize("update", [-0.3, -1e6, 1e6, -0.1, 0.0])
def test_the_step_stays_positive_under_any_update(update: float) -> None:
    quantiser = StepQuantiser(4, signed=True)
    quantiser.initialise(torch.tensor(0.1))
    with torch.no_grad():
        quantiser.step.add_(update)
    assert quantiser.positive_step.item() > 0
    value = torch.randn(100, requires_grad=True)
    result = quantiser(value)
    result.sum().backward()
    assert torch.isfinite(result).all()
    assert quantiser.step.grad is not None
    assert torch.isfinite(quantiser.step.grad)
    quantiser.settle()
    assert quantiser.step.item() == pytest.approx(float(effective_step(quantiser.step)))
    assert quantiser.step.item() > 0


def test_a_step_that_an_update_took_below_zero_is_moved_in_the_direction_that_lowers_the_loss() -> None:
    value = torch.full((10,), 100.0)
    gradients = []
    for stored in (0.5, -0.5):
        step = torch.tensor(stored, requires_grad=True)
        ((quantise_with_step(value, step, (-8, 7), 1.0) - 100) ** 2).sum().backward()
        assert step.grad is not None
        gradients.append(step.grad.item())
    assert gradients[0] < 0
    assert gradients[1] == -gradients[0]


def test_a_value_that_is_not_a_number_is_not_hidden() -> None:
    quantiser = StepQuantiser(4, signed=True)
    assert torch.isnan(quantiser(torch.tensor([float("nan"), 1.0]))).tolist() == [True, False]


@BOTH
def test_the_codes_are_whole_numbers_in_range_and_times_the_step_the_quantised_values(signed: bool) -> None:
    torch.manual_seed(0)
    quantiser = StepQuantiser(3, signed=signed, channels=4)
    value = torch.randn(4, 50)
    quantiser.initialise(value.abs().mean(1))
    codes = quantiser.integers(value)
    low, high = integer_range(3, signed=signed)
    assert low <= codes.min()
    assert codes.max() <= high
    torch.testing.assert_close(codes * quantiser.positive_step[:, None], quantiser(value).detach())
