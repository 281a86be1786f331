"""The training loop that ``torch.train`` and ``torch.distill`` share."""

import math
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import OperationContext
from zoo_sdk.errors import OperationError
from zoo_torch.devices import computes_bfloat16, out_of_memory_is_said
from zoo_torch.measuring.scoring import score_network
from zoo_torch.training.batches import Batch, TrainingBatches, as_inputs
from zoo_torch.training.checkpoints import TrainingState, resume
from zoo_torch.training.method import Method
from zoo_torch.training.params import TrainingParams
from zoo_torch.training.schedule import clip_gradient, make_optimizer, make_scheduler
from zoo_vision.datasets import ImageSplit
from zoo_vision.scoring import ClassificationScore

METRICS_PER_EPOCH = 50
EVALUATION_BATCH = 500


@dataclass(frozen=True)
class TrainingData:
    """What a network learns from and is tested on, seen through one preprocessing."""

    train: ImageSplit
    test: ImageSplit
    preprocessing: Preprocessing


@dataclass
class Trainer:
    """Trains ``network`` in place; see :meth:`run`."""

    network: nn.Module
    data: TrainingData
    params: TrainingParams
    context: OperationContext
    device: torch.device
    batches: TrainingBatches = field(init=False)
    _score: ClassificationScore | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.batches = TrainingBatches(
            split=self.data.train,
            batch_size=self.params.batch_size,
            augmentation=self.params.augmentation,
            label_offset=self.data.preprocessing.label_offset,
            seed=self.context.seed,
            limit=self.params.limit_samples,
        )

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self.params.epochs * self.batches.steps

    def run(self, method: Method) -> float:
        """Train to the end, resuming where an earlier attempt stopped; returns the seconds over all attempts.

        Raises:
            OperationError: the loss is not a finite number.
            OutOfMemory: with a batch size to try.
            Cancelled: after a checkpoint of the last finished epoch.

        """
        optimizer, scheduler = self._optimizer(method)
        state = TrainingState(self.network, optimizer, scheduler, method)
        resume(state, self.context)
        with out_of_memory_is_said(self.batches.batch_size):
            while state.epoch < self.params.epochs:
                started = time.perf_counter()
                self._train_epoch(state, method)
                state.epoch += 1
                state.seconds += time.perf_counter() - started
                self.context.checkpoint(state.save)
                if self.params.evaluate_each_epoch:
                    self._report_epoch(state)
        return state.seconds

    def score(self) -> ClassificationScore:
        """The network on the test split; computed once for the same weights."""
        if self._score is None:
            self._score = self._measure()
        return self._score

    def _measure(self) -> ClassificationScore:
        return score_network(
            self.network,
            self.data.test,
            self.data.preprocessing,
            device=self.device,
            batch_size=min(EVALUATION_BATCH, self.params.batch_size * 4),
            limit=self.params.limit_test_samples,
            after_batch=lambda _: self.context.raise_if_cancelled(),
        )

    def _train_epoch(self, state: TrainingState, method: Method) -> None:
        if method.before_epoch(state.epoch):
            state.renew(*self._optimizer(method))
        self.network.train()
        self._score = None
        first = state.epoch * self.batches.steps
        every = max(1, self.batches.steps // METRICS_PER_EPOCH)
        recent: list[Tensor] = []
        for step, batch in enumerate(self.batches.epoch(state.epoch), first + 1):
            self.context.raise_if_cancelled()
            rate = float(state.scheduler.get_last_lr()[0])
            recent.append(self._step(state, batch, method))
            state.scheduler.step()
            if step % every == 0 or step == first + self.batches.steps:
                self._report_steps(recent, step, rate)
                recent.clear()
            # The last unit of work is the final measurement.
            self.context.progress(step, self.total_steps + 1, f"epoch {state.epoch + 1} of {self.params.epochs}")

    def _step(self, state: TrainingState, batch: Batch, method: Method) -> Tensor:
        inputs = as_inputs(batch.pictures, self.data.preprocessing, self.device)
        state.optimizer.zero_grad(set_to_none=True)
        loss = method.backward(self._forward, inputs, batch, lambda value: value)
        method.after_backward()
        clip_gradient(self.network, self.params.gradient_clip)
        state.optimizer.step()
        return loss

    def _forward(self, inputs: Tensor) -> Tensor:
        with self._autocast():
            logits: Tensor = self.network(inputs)
        return logits.float()

    def _optimizer(self, method: Method) -> tuple[Optimizer, LambdaLR]:
        trained = nn.ModuleList([self.network, *method.companions().values()])
        optimizer = make_optimizer(trained, self.params)
        return optimizer, make_scheduler(optimizer, self.params, self.batches.steps)

    def _autocast(self) -> AbstractContextManager[object]:
        enabled = self.params.mixed_precision == "auto" and computes_bfloat16(self.device)
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)

    def _report_steps(self, recent: list[Tensor], step: int, rate: float) -> None:
        losses = torch.stack(recent).tolist()
        for number, loss in enumerate(losses, step - len(losses) + 1):
            if not math.isfinite(loss):
                raise OperationError(
                    f"The loss became {loss} at step {number} (learning rate {rate:.3g}).",
                    hint="Lower learning_rate, lengthen warmup_epochs or set gradient_clip.",
                    facts={"step": number, "learning_rate": rate},
                )
        self.context.metric("train_loss", sum(losses) / len(losses), step)
        self.context.metric("learning_rate", rate, step)

    def _report_epoch(self, state: TrainingState) -> None:
        score = self.score()
        step = state.epoch * self.batches.steps
        self.context.metric("test_top1", score.top1, step)
        self.context.metric("test_loss", score.loss, step)
        self.context.log(
            f"Epoch {state.epoch} of {self.params.epochs}: top1 {score.top1:.2f} % on {score.samples} test samples, "
            f"{state.seconds:.1f} s of training."
        )
