"""The losses of distillation against transcriptions in numpy."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from zoo_torch.distillation.losses import (
    Combination,
    combine_teachers,
    decoupled_divergences,
    decoupled_loss,
    distillation_loss,
    normalised_loss,
    softened,
    target_class,
)
from zoo_torch.training.batches import Batch
from zoo_torch.training.mixing import Mixing

RANDOM = np.random.default_rng(3)
LABELS = np.array([0, 4, 2, 2, 1, 3])
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


def without(values: NDArray[np.float64], row: int) -> NDArray[np.float64]:
    """A row without its target's entry."""
    return np.delete(values[row], LABELS[row])


def kl(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float((first * np.log(first / second)).sum())


def dkd_parts(temperature: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """TCKD and NCKD by the definitions of Zhao et al. 2022, with probabilities that are really divided."""
    teacher, student = softmax(FIRST, temperature), softmax(STUDENT, temperature)
    target, others = [], []
    for row, label in enumerate(LABELS):
        binary = [np.array([p[row, label], 1 - p[row, label]]) for p in (teacher, student)]
        target.append(kl(*binary))
        others.append(kl(*(without(p, row) / without(p, row).sum() for p in (teacher, student))))
    return np.array(target), np.array(others)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_dkd_is_that_of_the_paper(temperature: float) -> None:
    target, others = dkd_parts(temperature)
    teacher = softened(torch.from_numpy(FIRST), temperature)
    labels = torch.from_numpy(LABELS)
    found = decoupled_divergences(softened(torch.from_numpy(STUDENT), temperature), teacher, labels)
    np.testing.assert_allclose(found[0].numpy(), target, rtol=1e-9)
    np.testing.assert_allclose(found[1].numpy(), others, rtol=1e-9)
    loss = decoupled_loss(torch.from_numpy(STUDENT), teacher, labels, temperature, alpha=0.7, beta=3)
    assert float(loss) == pytest.approx(temperature**2 * (0.7 * target + 3 * others).mean(), rel=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kd_is_tckd_and_a_share_of_nckd(temperature: float, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    student, teacher = (2 * torch.randn(500, 100, generator=generator, dtype=dtype) for _ in range(2))
    labels = torch.randint(100, (500,), generator=generator)
    log_s, log_t = softened(student, temperature), softened(teacher, temperature)
    whole = (log_t.exp() * (log_t - log_s)).sum(dim=1)
    target, others = decoupled_divergences(log_s, log_t, labels)
    share = 1 - log_t.gather(1, labels[:, None])[:, 0].exp()
    limit = 1e-6 if dtype == torch.float64 else 3e-6
    assert (whole - target - share * others).abs().max() < limit


@pytest.mark.parametrize("loss", ["dkd", "nkd"])
def test_networks_that_are_sure_of_their_answers_leave_a_finite_loss_and_gradient(loss: str) -> None:
    student = torch.tensor([[90.0, -60.0, 0.0], [-200.0, 300.0, 0.0]], requires_grad=True)
    teacher = softened(torch.tensor([[150.0, 0.0, -150.0], [400.0, 0.0, 1.0]]), 1)
    labels = torch.tensor([0, 0])
    if loss == "dkd":
        value = decoupled_loss(student, teacher, labels, 1, alpha=1, beta=8)
    else:
        value = normalised_loss(student, teacher, teacher, labels, 1, gamma=1.5)
    value.backward()
    assert student.grad is not None
    assert value.isfinite()
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() > 0


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_nkd_is_that_of_the_paper(temperature: float) -> None:
    rows = range(len(LABELS))
    plain = [softmax(z, 1) for z in (FIRST, STUDENT)]
    target = np.mean([-plain[0][row, LABELS[row]] * np.log(plain[1][row, LABELS[row]]) for row in rows])
    others = []
    for row in rows:
        teacher, student = (softmax(without(z, row)[None], temperature)[0] for z in (FIRST, STUDENT))
        others.append(-(teacher * np.log(student)).sum())
    expected = target + 1.5 * temperature**2 * np.mean(others)
    found = normalised_loss(
        torch.from_numpy(STUDENT),
        softened(torch.from_numpy(FIRST), 1),
        softened(torch.from_numpy(FIRST), temperature),
        torch.from_numpy(LABELS),
        temperature,
        gamma=1.5,
    )
    assert float(found) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("share", "expected"), [(0.9, [0, 1, 2]), (0.5, [0, 1, 2]), (0.2, [2, 0, 1])])
def test_the_target_of_a_mixed_sample_is_the_label_with_the_greater_share(share: float, expected: list[int]) -> None:
    mixing = Mixing(torch.tensor([2, 0, 1]), share)
    batch = Batch(np.zeros((3, 8, 8), np.uint8), torch.arange(3), torch.tensor([1, 2, 3]), mixing)
    assert target_class(batch, 1, torch.device("cpu")).tolist() == expected
    plain = batch._replace(mixing=None)
    assert target_class(plain, 1, torch.device("cpu")).tolist() == [0, 1, 2]
    if share != 0.5:
        assert (batch.soft_labels(4).argmax(dim=1) - 1).tolist() == expected
