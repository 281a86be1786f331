"""Optimiser and learning rate: linear warm-up, then a cosine to zero, step by step."""

import math

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from zoo_torch.training.params import TrainingParams

ADAM_BETA2 = 0.999


def make_optimizer(network: nn.Module, params: TrainingParams) -> Optimizer:
    """SGD with Nesterov momentum or AdamW; vectors (biases, normalisations) are not decayed."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": params.weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    if params.optimizer == "adamw":
        return AdamW(groups, lr=params.learning_rate, betas=(params.momentum, ADAM_BETA2))
    return SGD(groups, lr=params.learning_rate, momentum=params.momentum, nesterov=params.momentum > 0)


def make_scheduler(optimizer: Optimizer, params: TrainingParams, steps_per_epoch: int) -> LambdaLR:
    """Loshchilov and Hutter 2017 (arXiv 1608.03983), equation 5, without restarts, after a linear warm-up."""
    total = params.epochs * steps_per_epoch
    # At least one step must remain for the cosine.
    warmup = min(round(params.warmup_epochs * steps_per_epoch), total - 1)

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))

    return LambdaLR(optimizer, share)


def clip_gradient(network: nn.Module, limit: float | None) -> None:
    """Scale the whole gradient down to the norm ``limit``, if there is one."""
    if limit is not None:
        torch.nn.utils.clip_grad_norm_(network.parameters(), limit)
