"""The same distillation with torchdistill (MIT licence), the loop as in its own image classification example."""

import logging
import time
from importlib import import_module
from typing import Any

import torch
from torch import nn
from torch.utils.data import RandomSampler, TensorDataset

from bench.steps import plain
from bench.steps.racing import BATCH, Arena, Contender, Samples


def torchdistill_loop(arena: Arena, student: nn.Module, teacher: nn.Module, samples: Samples) -> Contender:
    """``DistillationBox`` with ``KDLoss``, a frozen teacher, channels-last networks.

    Raises:
        ModuleNotFoundError: torchdistill is not installed (``pip install --no-deps torchdistill==1.1.5``).

    """
    library = import_module("torchdistill.core.distillation")
    logging.getLogger("torchdistill").setLevel(logging.ERROR)
    for network in (student, teacher):
        network.to(memory_format=torch.channels_last)
    box: Any = library.get_distillation_box(
        teacher.eval(), student, {"train": TensorDataset(*samples)}, _config(), torch.device(arena.device), None,
        distributed=False, lr_factor=1,
    )  # fmt: skip

    def epoch() -> float:
        total = 0.0
        started = time.perf_counter()
        box.pre_epoch_process(epoch=0)
        for batch, targets, supplement in box.train_data_loader:
            inputs, labels = batch.to(arena.device), targets.to(arena.device)
            loss = box.forward_process(inputs, labels, supplement)
            box.post_forward_process(loss=loss)
            total += loss.item()
        box.post_epoch_process()
        arena.wait()
        return time.perf_counter() - started

    return epoch


def _config() -> dict[str, Any]:
    logits = {"student_module_path": ".", "student_module_io": "output", "teacher_module_path": "."}
    logits |= {"teacher_module_io": "output"}
    loss = {"key": "KDLoss", "kwargs": {**logits, "temperature": plain.TEMPERATURE, "alpha": 1 - plain.WEIGHT}}
    sgd = {"lr": plain.LEARNING_RATE, "momentum": plain.MOMENTUM, "weight_decay": plain.WEIGHT_DECAY, "nesterov": True}
    return {
        "num_epochs": 1,
        "train_data_loader": {
            "dataset_id": "train",
            "sampler": {"class_or_func": RandomSampler},
            "kwargs": {"batch_size": BATCH, "drop_last": True, "num_workers": 0},
        },
        "teacher": {"forward_proc": "forward_batch_only", "requires_grad": False},
        "student": {"forward_proc": "forward_batch_only", "requires_grad": True},
        "optimizer": {"key": "SGD", "kwargs": sgd},
        "scheduler": {"key": "CosineAnnealingLR", "kwargs": {"T_max": 10**6}, "scheduling_step": 1},
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": {"kd": {"criterion": loss, "weight": 1.0}}}},
    }
