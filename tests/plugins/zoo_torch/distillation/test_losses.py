"""The losses of distillation against transcriptions in numpy."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from zoo_torch.distillation.losses import Combination, combine_teachers, distillation_loss

RANDOM = np.random.default_rng(3)
STUDENT, FIRST, SECOND = (RANDOM.normal(0, 3, (6, 5)) for _ in range(3))


def softmax(z: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    scaled = np.exp(z / temperature - (z / temperature).max(axis=1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def kd(student: NDArray[np.float64], target: NDArray[np.float64], temperature: float) -> float:
    """T^2 mean_b sum_i q_i (log q_i - log p_i), Hinton et al. 2015."""
    own = softmax(student, temperature)
    return float(temperature**2 * (target * (np.log(target) - np.log(own))).sum(axis=1).mean())


def torch_kd(
    student: NDArray[np.float64], teachers: list[NDArray[np.float64]], weights: list[float], **how: object
) -> float:
    temperature = float(how["temperature"])  # type: ignore[arg-type]
    rule: Combination = how.get("combine", "mean_logits")  # type: ignore[assignment]
    target = combine_teachers([torch.from_numpy(z) for z in teachers], weights, temperature, rule)
    return float(distillation_loss(torch.from_numpy(student), target, temperature))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_the_loss_is_that_of_the_paper(temperature: float) -> None:
    expected = kd(STUDENT, softmax(FIRST, temperature), temperature)
    assert torch_kd(STUDENT, [FIRST], [1.0], temperature=temperature) == pytest.approx(expected, rel=1e-5)


def test_a_student_that_agrees_has_no_loss() -> None:
    assert torch_kd(FIRST, [FIRST], [1.0], temperature=4) == pytest.approx(0, abs=1e-6)


def test_a_shift_of_all_logits_changes_nothing() -> None:
    expected = torch_kd(STUDENT, [FIRST], [1.0], temperature=2)
    assert torch_kd(STUDENT + 7, [FIRST - 3], [1.0], temperature=2) == pytest.approx(expected, rel=1e-5)


def test_the_gradient_is_the_softened_difference() -> None:
    student = torch.from_numpy(STUDENT).requires_grad_()
    target = combine_teachers([torch.from_numpy(FIRST)], [1.0], 4.0, "mean_logits")
    distillation_loss(student, target, 4.0).backward()
    expected = 4.0 * (softmax(STUDENT, 4) - softmax(FIRST, 4)) / len(STUDENT)
    assert student.grad is not None
    np.testing.assert_allclose(student.grad.numpy(), expected, atol=1e-6)


def test_the_mean_of_logits_is_weighted_before_the_softmax() -> None:
    expected = kd(STUDENT, softmax((3 * FIRST + SECOND) / 4, 4), 4)
    assert torch_kd(STUDENT, [FIRST, SECOND], [3, 1], temperature=4) == pytest.approx(expected, rel=1e-5)


def test_the_mean_of_probabilities_is_weighted_after_the_softmax() -> None:
    expected = kd(STUDENT, (3 * softmax(FIRST, 4) + softmax(SECOND, 4)) / 4, 4)
    found = torch_kd(STUDENT, [FIRST, SECOND], [3, 1], temperature=4, combine="mean_probabilities")
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_two_combinations_differ() -> None:
    both = [torch.from_numpy(FIRST), torch.from_numpy(SECOND)]
    logits = combine_teachers(both, [1, 1], 2.0, "mean_logits").exp()
    mixture = combine_teachers(both, [1, 1], 2.0, "mean_probabilities").exp()
    assert (logits - mixture).abs().max() > 0.05
    np.testing.assert_allclose(mixture.sum(dim=1).numpy(), 1, atol=1e-5)


@pytest.mark.parametrize("combine", ["mean_logits", "mean_probabilities"])
def test_a_teacher_of_weight_zero_is_not_heard(combine: Combination) -> None:
    both = [torch.from_numpy(FIRST), torch.from_numpy(SECOND)]
    alone = combine_teachers(both[:1], [1], 2.0, combine)
    torch.testing.assert_close(combine_teachers(both, [5, 0], 2.0, combine), alone)
