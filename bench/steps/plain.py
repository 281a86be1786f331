"""Distillation as one writes it by hand: an ordinary loop, and one that is tuned as far as eager PyTorch goes."""

import time
from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, TensorDataset

from bench.steps.racing import BATCH, Arena, Contender, Samples

TEMPERATURE = 4.0
WEIGHT = 0.9
LEARNING_RATE = 0.1
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4


def kd_loss(logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Tensor:
    """(1 - w) CE + w T^2 KL(teacher || student)."""
    soft = F.kl_div(
        F.log_softmax(logits / TEMPERATURE, dim=1),
        F.softmax(teacher_logits / TEMPERATURE, dim=1),
        reduction="batchmean",
    )
    return (1 - WEIGHT) * F.cross_entropy(logits, labels) + WEIGHT * TEMPERATURE**2 * soft


def plain_loop(arena: Arena, student: nn.Module, teacher: nn.Module, samples: Samples) -> Contender:
    """A DataLoader over tensors that are normalised already, the teacher without a graph, torch's own layout."""
    loader = DataLoader(TensorDataset(*samples), BATCH, shuffle=True, drop_last=True)
    return _loop(arena, student, teacher, loader, fused=False)


def tuned_loop(arena: Arena, student: nn.Module, teacher: nn.Module, samples: Samples) -> Contender:
    """No DataLoader, whole batches by index, channels-last networks and inputs, a fused optimiser."""
    for network in (student, teacher):
        network.to(memory_format=torch.channels_last)
    return _loop(arena, student, teacher, _Indexed(samples), fused=True)


class _Indexed:
    """Shuffled batches by index, channels-last."""

    def __init__(self, samples: Samples) -> None:
        self._pictures = samples.pictures.to(memory_format=torch.channels_last)
        self._labels = samples.labels

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for indices in torch.randperm(len(self._labels), device=self._labels.device).split(BATCH):
            yield self._pictures[indices], self._labels[indices]


def _loop(
    arena: Arena, student: nn.Module, teacher: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, fused: bool
) -> Contender:
    optimizer = SGD(
        student.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True, fused=fused or None
    )
    scheduler = CosineAnnealingLR(optimizer, 10**6)
    teacher.eval()

    def epoch() -> float:
        student.train()
        total = 0.0
        started = time.perf_counter()
        for inputs, labels in batches:
            with torch.no_grad():
                teacher_logits = teacher(inputs)
            loss = kd_loss(student(inputs), teacher_logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            total += loss.item()
        arena.wait()
        return time.perf_counter() - started

    return epoch
