"""Losses on logits, each with its source."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor

from zoo_torch.training.batches import Batch

Combination = Literal["mean_logits", "mean_probabilities"]


def combine_teachers(
    logits: Sequence[Tensor], weights: Sequence[float], temperature: float, how: Combination
) -> Tensor:
    """Softened log-probabilities of several teachers as one, at least float32, shape (batch, classes).

    ``mean_logits``: log softmax(sum_k w_k z_k / T), as Adlik's optimisers do.
    ``mean_probabilities``: log sum_k w_k softmax(z_k / T), the mixture of the teachers' distributions.

    Args:
        logits: one tensor of shape (batch, classes) per teacher.
        weights: one per teacher, not negative, not all zero; scaled here to sum 1.
        temperature: T > 0.
        how: the rule.

    """
    if len(logits) == 1:
        return softened(logits[0], temperature)
    total = sum(weights)
    shares = [weight / total for weight in weights]
    if how == "mean_logits":
        mean = sum(share * at_least_float32(z) for share, z in zip(shares, logits, strict=True))
        return softened(torch.as_tensor(mean), temperature)
    log_shares = torch.tensor(shares, device=logits[0].device).log()
    each = torch.stack([softened(z, temperature) for z in logits])
    return torch.logsumexp(each + log_shares[:, None, None], dim=0)


def softened(logits: Tensor, temperature: float) -> Tensor:
    """Log-probabilities log softmax(z / T) over the last dimension, at least float32."""
    return F.log_softmax(at_least_float32(logits) / temperature, dim=-1)


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision has too few digits for differences of logarithms."""
    return values if values.dtype == torch.float64 else values.float()


def distillation_loss(student_logits: Tensor, teacher_log_probabilities: Tensor, temperature: float) -> Tensor:
    """T^2 * mean over the batch of KL(teacher || student), both softened at temperature T; a scalar in nats.

    Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015 (arXiv 1503.02531), section 2: soft
    targets q_i = exp(z_i/T) / sum_j exp(z_j/T) (equation 1); the factor T^2 keeps the gradient's size independent of T.

    Args:
        student_logits: (batch, classes), any floating dtype; computed in at least float32.
        teacher_log_probabilities: (batch, classes), log softmax(z / T) as :func:`combine_teachers` gives it.
        temperature: T > 0.

    """
    student = softened(student_logits, temperature)
    divergence = F.kl_div(student, teacher_log_probabilities, reduction="batchmean", log_target=True)
    return divergence * temperature**2


def decoupled_divergences(
    student_log_probabilities: Tensor, teacher_log_probabilities: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """TCKD and NCKD of each sample, (batch,) each, in nats.

    Zhao, Cui, Song, Qiu, Liang: Decoupled Knowledge Distillation, CVPR 2022 (arXiv 2203.08679), equation 6:
    with b = (p_y, 1 - p_y) and p^_i = p_i / (1 - p_y) for i != y, TCKD = KL(b_t || b_s), NCKD = KL(p^_t || p^_s), and
    KL(p_t || p_s) = TCKD + (1 - p_t[y]) NCKD.

    1 - p_y is computed as the sum over the other classes, in logarithms throughout, so that nothing is lost where a
    network is sure of its answer.

    Args:
        student_log_probabilities: (batch, classes), normalised.
        teacher_log_probabilities: likewise.
        target: int64 (batch,), the class y.

    """
    is_target = F.one_hot(target, student_log_probabilities.shape[1]).bool()
    student, teacher = (
        _split_at_target(log_p, is_target, target) for log_p in (student_log_probabilities, teacher_log_probabilities)
    )
    target_part = teacher.target.exp() * (teacher.target - student.target)
    target_part = target_part + teacher.rest.exp() * (teacher.rest - student.rest)
    # At the target both are minus infinity, whose difference is not a number.
    difference = (teacher.others - student.others).masked_fill(is_target, 0)
    return target_part, (teacher.others.exp() * difference).sum(dim=1)


class _Parts:
    """Logarithms: ``target`` p_y (batch,), ``rest`` 1 - p_y (batch,), ``others`` p^_i (batch, classes)."""

    def __init__(self, target: Tensor, rest: Tensor, others: Tensor) -> None:
        self.target, self.rest, self.others = target, rest, others


def _split_at_target(log_p: Tensor, is_target: Tensor, target: Tensor) -> _Parts:
    non_target = log_p.masked_fill(is_target, -torch.inf)
    rest = torch.logsumexp(non_target, dim=1)
    return _Parts(log_p.gather(1, target[:, None])[:, 0], rest, non_target - rest[:, None])


def decoupled_loss(
    student_logits: Tensor,
    teacher_log_probabilities: Tensor,
    target: Tensor,
    temperature: float,
    *,
    alpha: float,
    beta: float,
) -> Tensor:
    """T^2 * mean over the batch of (alpha TCKD + beta NCKD); a scalar.

    Zhao et al. 2022 (arXiv 2203.08679), equation 7, with the factor T^2 of the authors' code.

    Args:
        student_logits: (batch, classes).
        teacher_log_probabilities: (batch, classes), softened at T.
        target: int64 (batch,); for mixed samples see :func:`target_class`.
        temperature: T > 0.
        alpha: weight of the target class' part.
        beta: weight of the other classes' part.

    """
    student = softened(student_logits, temperature)
    target_part, others_part = decoupled_divergences(student, teacher_log_probabilities, target)
    return (alpha * target_part + beta * others_part).mean() * temperature**2


def normalised_loss(
    student_logits: Tensor,
    teacher_log_probabilities: Tensor,
    teacher_softened: Tensor,
    target: Tensor,
    temperature: float,
    *,
    gamma: float,
) -> Tensor:
    """NKD: -p_t[y] log p_s[y] - gamma T^2 sum_{i != y} N(p_t^T)_i log N(p_s^T)_i, mean over the batch; a scalar.

    Yang, Zeng, Li, Zhang, Yuan, Li: From Knowledge Distillation to Self-Knowledge Distillation, ICCV 2023
    (arXiv 2303.13005), the loss L_NKD: N divides the probabilities of the non-target classes by their sum.  The
    target's part is not softened, as in the authors' code.

    Args:
        student_logits: (batch, classes).
        teacher_log_probabilities: (batch, classes), at temperature 1.
        teacher_softened: (batch, classes), at temperature T.
        target: int64 (batch,); for mixed samples see :func:`target_class`.
        temperature: T > 0, the paper's lambda.
        gamma: weight of the non-target part.

    """
    is_target = F.one_hot(target, student_logits.shape[1]).bool()
    sure = teacher_log_probabilities.gather(1, target[:, None]).exp()
    target_part = -sure * softened(student_logits, 1).gather(1, target[:, None])
    student = _split_at_target(softened(student_logits, temperature), is_target, target).others
    teacher = _split_at_target(teacher_softened, is_target, target).others
    others_part = -(teacher.exp() * student.masked_fill(is_target, 0)).sum(dim=1)
    return target_part.mean() + gamma * temperature**2 * others_part.mean()


def target_class(batch: Batch, label_offset: int, device: torch.device) -> Tensor:
    """The class that DKD and NKD call the target, int64 (batch,), counted as the data set counts.

    A mixed sample has two labels; the target is the one with the greater share (the largest entry of the soft label, as
    in the authors' code of NKD), its own at equal shares.
    """
    labels = batch.labels.to(device, non_blocking=True) - label_offset
    if batch.mixing is None or batch.mixing.share >= 0.5:
        return labels
    return labels[batch.mixing.permutation.to(device)]
