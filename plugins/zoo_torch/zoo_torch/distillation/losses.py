"""Losses of distillation, each with its source."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor

Combination = Literal["mean_logits", "mean_probabilities"]


def combine_teachers(
    logits: Sequence[Tensor], weights: Sequence[float], temperature: float, how: Combination
) -> Tensor:
    """Softened log-probabilities of several teachers as one, float32, shape (batch, classes).

    ``mean_logits``: log softmax(sum_k w_k z_k / T), as Adlik's optimisers do.
    ``mean_probabilities``: log sum_k w_k softmax(z_k / T), the mixture of the teachers' distributions.

    Args:
        logits: one tensor of shape (batch, classes) per teacher.
        weights: one per teacher, not negative, not all zero; scaled here to sum 1.
        temperature: T > 0.
        how: the rule.

    """
    total = sum(weights)
    shares = [weight / total for weight in weights]
    if how == "mean_logits":
        mean = sum(share * z.float() for share, z in zip(shares, logits, strict=True))
        return F.log_softmax(torch.as_tensor(mean) / temperature, dim=1)
    log_shares = torch.tensor(shares, device=logits[0].device).log()
    each = torch.stack([F.log_softmax(z.float() / temperature, dim=1) for z in logits])
    return torch.logsumexp(each + log_shares[:, None, None], dim=0)


def distillation_loss(student_logits: Tensor, teacher_log_probabilities: Tensor, temperature: float) -> Tensor:
    """T^2 * mean over the batch of KL(teacher || student), both softened at temperature T; a scalar in nats.

    Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015 (arXiv 1503.02531), section 2: soft
    targets q_i = exp(z_i/T) / sum_j exp(z_j/T) (equation 1); the factor T^2 keeps the gradient's size independent of T.

    Args:
        student_logits: (batch, classes), any floating dtype; computed in float32.
        teacher_log_probabilities: (batch, classes), log softmax(z / T) as :func:`combine_teachers` gives it.
        temperature: T > 0.

    """
    student = F.log_softmax(student_logits.float() / temperature, dim=1)
    divergence = F.kl_div(student, teacher_log_probabilities, reduction="batchmean", log_target=True)
    return divergence * temperature**2
