"""Training loops as one writes them by hand: an ordinary one, and one that is tuned as far as eager PyTorch goes."""

import time
from collections.abc import Callable, Iterable, Iterator

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
SETTINGS = {
    "learning_rate": LEARNING_RATE, "momentum": MOMENTUM, "weight_decay": WEIGHT_DECAY, "optimizer": "sgd",
    "batch_size": BATCH, "epochs": 1, "augmentation": "none", "evaluate_each_epoch": False,
}  # fmt: skip
"""The same for the operations."""
Batches = Iterable[tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]
"""Of normalised pictures and labels."""


def loaded(samples: Samples) -> Batches:
    """A DataLoader over tensors that are normalised already."""
    return DataLoader(TensorDataset(*samples), BATCH, shuffle=True, drop_last=True)


class Indexed:
    """Shuffled whole batches by index, channels-last."""

    def __init__(self, samples: Samples) -> None:
        self._pictures = samples.pictures.to(memory_format=torch.channels_last)
        self._labels = samples.labels

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for indices in torch.randperm(len(self._labels), device=self._labels.device).split(BATCH):
            yield self._pictures[indices], self._labels[indices]


def kd_loss(student: nn.Module, teacher: nn.Module) -> Loss:
    """(1 - w) CE + w T^2 KL(teacher || student), the teacher without a graph."""
    teacher.eval()

    def loss(inputs: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            teacher_logits = teacher(inputs)
        logits = student(inputs)
        soft = F.kl_div(
            F.log_softmax(logits / TEMPERATURE, dim=1),
            F.softmax(teacher_logits / TEMPERATURE, dim=1),
            reduction="batchmean",
        )
        return (1 - WEIGHT) * F.cross_entropy(logits, labels) + WEIGHT * TEMPERATURE**2 * soft

    return loss


def plain_distillation(arena: Arena, student: nn.Module, teacher: nn.Module, samples: Samples) -> Contender:
    """What an ordinary script does: a DataLoader, torch's own layout."""
    return training_loop(arena, student, kd_loss(student, teacher), loaded(samples))


def tuned_distillation(arena: Arena, student: nn.Module, teacher: nn.Module, samples: Samples) -> Contender:
    """No DataLoader, channels-last networks and inputs, a fused optimiser."""
    for network in (student, teacher):
        network.to(memory_format=torch.channels_last)
    return training_loop(arena, student, kd_loss(student, teacher), Indexed(samples), fused=True)


def training_loop(arena: Arena, network: nn.Module, loss: Loss, batches: Batches, *, fused: bool = False) -> Contender:
    """SGD with Nesterov momentum and a schedule by steps; the loss is read after each step, as scripts do."""
    optimizer = SGD(
        network.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True, fused=fused or None
    )
    scheduler = CosineAnnealingLR(optimizer, 10**6)

    def epoch() -> float:
        network.train()
        total = 0.0
        started = time.perf_counter()
        for inputs, labels in batches:
            value = loss(inputs, labels)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            scheduler.step()
            total += value.item()
        arena.wait()
        return time.perf_counter() - started

    return epoch
