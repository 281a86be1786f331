"""The training loop that every method shares."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import OperationContext
from zoo_torch.devices import compiler_cache_below, out_of_memory_is_said
from zoo_torch.measuring.scoring import score_network
from zoo_torch.networks.layouts import training_layout
from zoo_torch.training.batches import Batch, TrainingBatches, as_inputs
from zoo_torch.training.chance import Purpose, seed_torch
from zoo_torch.training.checkpoints import TrainingState, read_checkpoint
from zoo_torch.training.ema import WeightAverage
from zoo_torch.training.method import Method
from zoo_torch.training.parameter_groups import Frozen, make_optimizer, match_layouts, set_learning_rate
from zoo_torch.training.params import TrainingParams
from zoo_torch.training.precision import MixedPrecision
from zoo_torch.training.schedule import rate_share
from zoo_torch.training.team import Team
from zoo_torch.training.watching import LossWatch
from zoo_vision.datasets import ImageSplit
from zoo_vision.scoring import ClassificationScore

EVALUATION_BATCH = 500


@dataclass(frozen=True)
class TrainingData:
    """What a network learns from and is tested on, seen through one preprocessing."""

    train: ImageSplit
    test: ImageSplit
    preprocessing: Preprocessing


@dataclass
class Trainer:
    """Trains ``network`` in place; see :meth:`run`.

    ``viewers``: the preprocessing of further networks that see the training pictures (teachers).
    """

    network: nn.Module
    data: TrainingData
    params: TrainingParams
    context: OperationContext
    device: torch.device
    viewers: Sequence[Preprocessing] = ()
    batches: TrainingBatches = field(init=False)
    _score: ClassificationScore | None = field(default=None, init=False)
    _layout: torch.memory_format = field(default=torch.contiguous_format, init=False)

    def __post_init__(self) -> None:
        self._lay_out()
        self._frozen = Frozen(self.network, self.params.freeze)
        self._precision = MixedPrecision.of(self.params, self.device)
        self._team = Team.current()
        self.batches = TrainingBatches(
            self.data.train,
            self.params,
            self.data.preprocessing,
            self.context.seed,
            self.viewers,
            self._team.index,
            self._team.size,
        )
        self._share = rate_share(self.params, self.batches.steps)

    def _lay_out(self) -> None:
        """Put the network on its device, in a layout in which it can be trained."""
        self._layout = training_layout(self.network, self.device, channels_last=self.params.channels_last)
        self.network.to(self.device, memory_format=self._layout)  # type: ignore[call-overload]

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self.params.epochs * self.batches.steps

    def run(self, method: Method) -> float:
        """Train to the end, resuming where an earlier attempt stopped; returns the seconds over all attempts.

        With ``ema_decay``, ``network`` then holds the averaged weights.

        Raises:
            OperationError: the loss or a weight is not a finite number; the last checkpoint is from before.
            OutOfMemory: with a batch size to try.
            Cancelled: after a checkpoint of the last finished epoch.

        """
        with (
            out_of_memory_is_said(self.batches.batch_size, self.batches.parts),
            compiler_cache_below(self.context.scratch),
        ):
            state = self._begin(method)
            while state.epoch < self.params.epochs:
                started = time.perf_counter()
                self._train_epoch(state)
                state.epoch += 1
                state.seconds += time.perf_counter() - started
                self.context.checkpoint(state.save)
                if self.params.evaluate_each_epoch:
                    self._report_epoch(state)
        if state.average is not None:
            self.network.load_state_dict(state.average.network.state_dict())
        return state.seconds

    def score(self) -> ClassificationScore:
        """The network on the test split; computed once for the same weights."""
        if self._score is None:
            self._score = self._measure(self.network)
        return self._score

    def _begin(self, method: Method) -> TrainingState:
        saved = read_checkpoint(self.context)
        if saved is not None:
            method.resume(saved["method"])
        state = self._fresh_state(method)
        if saved is not None:
            state.load(saved)
        self._team.agree([self.network, *method.companions().values()])
        return state

    def _fresh_state(self, method: Method) -> TrainingState:
        """The state around the network as it is now."""
        self._frozen.apply(self.network)
        average = WeightAverage(self.network, self.params.ema_decay) if self.params.ema_decay else None
        optimizer = make_optimizer(self.network, self.params, method.companions().values())
        self._called = torch.compile(self.network) if self.params.compile == "on" else self.network
        return TrainingState(self.network, optimizer, method, self._precision.scaler, average)

    def _train_epoch(self, state: TrainingState) -> None:
        seed_torch(Purpose.NETWORK, self.context.seed, state.epoch, self._team.index)
        if state.method.before_epoch(state.epoch):
            self._lay_out()
            fresh = self._fresh_state(state.method)
            state.method.carry_over(state.optimizer, fresh.optimizer)
            match_layouts(fresh.optimizer)
            state.optimizer, state.average = fresh.optimizer, fresh.average
        self.network.train()
        self._frozen.apply(self.network)
        self._score = None
        watch = LossWatch(self.context, self._team, state.epoch, self.batches.steps)
        parts = self.batches.epoch(state.epoch)
        for step in range(watch.first_step, watch.last_step + 1):
            self.context.raise_if_cancelled()
            rate = self.params.learning_rate * self._share(step - 1)
            set_learning_rate(state.optimizer, rate)
            watch.add(self._step(state, parts), step, rate)
            # The last unit of work is the final measurement.
            self.context.progress(step, self.total_steps + 1, f"epoch {state.epoch + 1} of {self.params.epochs}")
        averages = [state.average.network] if state.average else []
        self._team.mean_statistics([self.network, *state.method.companions().values(), *averages])
        watch.check_weights(self.network, rate)

    def _step(self, state: TrainingState, parts: Iterator[Batch]) -> Tensor:
        """One step of the optimiser; returns the batch's detached loss."""
        method, scaler = state.method, state.scaler
        state.optimizer.zero_grad(set_to_none=True)
        losses = []
        for _ in range(self.batches.parts):
            batch = next(parts)
            last = self._layout is torch.channels_last
            inputs = as_inputs(batch, self.data.preprocessing, self.device, channels_last=last)
            losses.append(method.backward(self._forward, inputs, batch, self._scaled))
        trained = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
        self._team.mean_gradients(trained)
        if scaler.is_enabled():
            scaler.unscale_(state.optimizer)
        method.after_backward()
        if self.params.gradient_clip is not None:
            nn.utils.clip_grad_norm_(trained, self.params.gradient_clip)
        scaler.step(state.optimizer)
        scaler.update()
        if state.average is not None:
            state.average.update(self.network)
        return torch.stack(losses).mean()

    def _forward(self, inputs: Tensor) -> Tensor:
        with self._precision.autocast():
            logits: Tensor = self._called(inputs)
        return logits.float()

    def _scaled(self, loss: Tensor) -> Tensor:
        """So that the parts of a batch add up to its mean, and float16 gradients are large enough."""
        return self._precision.scaler.scale(loss / self.batches.parts)

    def _measure(self, network: nn.Module) -> ClassificationScore:
        return score_network(
            network,
            self.data.test,
            self.data.preprocessing,
            device=self.device,
            batch_size=min(EVALUATION_BATCH, self.params.batch_size * 4),
            limit=self.params.limit_test_samples,
            after_batch=lambda _: self.context.raise_if_cancelled(),
        )

    def _report_epoch(self, state: TrainingState) -> None:
        score = self._score = self._measure(state.result)
        step = state.epoch * self.batches.steps
        self.context.metric("test_top1", score.top1, step)
        self.context.metric("test_loss", score.loss, step)
        self.context.log(
            f"Epoch {state.epoch} of {self.params.epochs}: top1 {score.top1:.2f} % on {score.samples} test samples, "
            f"{state.seconds:.1f} s of training."
        )
