"""``torch.prune``: choose the channels that matter least, remove them, and fine-tune if wanted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_sdk.formats import Runtime
from zoo_torch.devices import device_name, out_of_memory_is_said, prepare_device
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.layouts import training_layout
from zoo_torch.networks.weights import Weights, load_weights
from zoo_torch.pruning.channel_map import channel_map, write_channel_map
from zoo_torch.pruning.choice import Rule
from zoo_torch.pruning.costs import Cost, cost_model
from zoo_torch.pruning.groups import MAKES_OUTPUTS, find_groups
from zoo_torch.pruning.method import Pruning
from zoo_torch.pruning.params import PruneParams
from zoo_torch.pruning.plan import Cut, Plan, make_plan
from zoo_torch.pruning.pruner import Pruner, example_inputs
from zoo_torch.pruning.targets import TargetSearch, Timer, latency_facts
from zoo_torch.several_devices.starting import on_all_devices
from zoo_torch.training.batches import Batch, as_inputs
from zoo_torch.training.data import check_channels, model_preprocessing, open_training_data
from zoo_torch.training.losses import label_loss
from zoo_torch.training.results import hand_over, runtime_facts, write_weights
from zoo_torch.training.team import Team
from zoo_torch.training.trainer import Trainer, TrainingData
from zoo_vision.agreement import check_classes_fit
from zoo_vision.timing import report_latency


@on_all_devices
def run(params: PruneParams, inputs: Inputs, context: OperationContext) -> None:
    """Prune, write the narrow weights and ``channels.json``; see :class:`zoo_torch.pruning.params.PruneParams`."""
    device = prepare_device(context)
    item = inputs.one("model")
    weights = load_weights(item, architecture=params.architecture)
    if weights.architecture.quantization is not None:
        raise InvalidInput(
            f"{item.reference} is quantised; its steps belong to the channels that it has.",
            hint="Prune first, and quantise the result.",
            facts={"field": "model"},
        )
    data = _open_data(params, inputs, item, weights)
    preprocessing = data.preprocessing if data else _declared_preprocessing(item)
    check_channels(item.reference, weights.architecture.in_chans, preprocessing)
    job = _Job(params, context, device, weights.build().to(device), data, preprocessing)
    seconds = job.run()
    job.hand_over(item, weights.architecture, seconds)


def _open_data(params: PruneParams, inputs: Inputs, item: InputItem, weights: Weights) -> TrainingData | None:
    if inputs.optional("data") is None:
        importances = {params.method, *(step.method for step in params.pruning_schedule)}
        reasons = ["method=taylor"] if "taylor" in importances else []
        reasons += [name for name in ("epochs", "sparse_epochs") if getattr(params, name)]
        if reasons:
            raise InvalidInput(
                f"The input `data` is missing, which {' and '.join(reasons)} cannot do without.",
                hint="Give a data set, or choose another method without training.",
                facts={"field": "data"},
            )
        return None
    data = open_training_data(inputs, params, model_preprocessing(item))
    for split in (data.train, data.test):
        check_classes_fit(item.reference, split, data.preprocessing, weights.architecture.num_classes)
    return data


def _declared_preprocessing(item: InputItem) -> Preprocessing:
    declared = model_preprocessing(item)
    if declared is None:
        raise InvalidInput(
            f"{item.reference} does not say what its input looks like, so its channels cannot be followed.",
            hint="Give the input `data`, or describe the artifact with its preprocessing.",
        )
    return declared


@dataclass
class _Job:
    """One run of the operation; ``facts`` are plain values for the record, kept in checkpoints."""

    params: PruneParams
    context: OperationContext
    device: torch.device
    network: nn.Module
    data: TrainingData | None
    preprocessing: Preprocessing
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._trainer = self._new_trainer()
        rule = Rule(self.params.scope, self.params.max_ratio, self.params.round_to)
        example = example_inputs((self.preprocessing.channels, *self.preprocessing.crop), self.device)
        structure = find_groups(self.network, example, keep_stem=self.params.keep_stem, ignore=self.params.ignore)
        self._costs = cost_model(self.network, self.preprocessing, self.device)
        self._pruner = Pruner(self.network, structure, rule, example, self.context.seed)
        self._plan: Plan = make_plan(self.params, structure, rule)
        self._timer = Timer(self.params, self.preprocessing, self.context, self.device)
        self._search = TargetSearch(self.params, self._pruner, self._costs, self._timer, self.facts)
        left = [layer for layer, reason in structure.left.items() if reason != MAKES_OUTPUTS]
        self.context.log(
            f"{len(structure.groups)} groups of {sum(group.size for group in structure.groups)} channels can be "
            f"pruned; {len(left)} layers keep their outputs{': ' + ', '.join(left[:8]) if left else ''}."
        )

    def run(self) -> float:
        """Train and prune as planned; returns the seconds of training."""
        seconds = 0.0
        if self._trainer is not None and self.params.total_epochs:
            sparse = (self.params.method, self.params.sparse_strength) if self.params.sparse_epochs else None
            method = Pruning(self._loss, self._pruner, self._plan, self._perform, sparse, self.facts)
            seconds = self._trainer.run(method)
        late = [(epoch, cut) for epoch, cuts in self._plan.items() for cut in cuts if epoch >= self.params.total_epochs]
        for epoch, cut in late:
            self._perform(cut, epoch)
        if late:
            # The former one may remember the score of the network as it was.
            self._trainer = self._new_trainer()
        return seconds

    def hand_over(self, item: InputItem, base: Architecture, seconds: float) -> None:
        """Write weights and channel map, and measure."""
        architecture = base.model_copy(update={"widths": self._widths(base)})
        cost = self._costs.cost(self._pruner.channels)
        if any("latency" in name for name in self.params.targets):
            result = self._timer.measure(self.network)
            self.facts["latency"] = latency_facts(result)
            details = runtime_facts(self.device, self.context)
            report_latency(
                self.context, result, runtime=Runtime.TORCH, device=device_name(self.device), details=details
            )
        content = channel_map(self.params, self._pruner, item.reference, (self._costs.full, cost), self.facts)
        summary = {key: value for key, value in content.items() if key not in {"groups", "layers", "left"}}
        if self._trainer is not None:
            hand_over(self._trainer, architecture, seconds, details={"pruning": summary})
        else:
            classes = tuple(item.artifact.details.get("classes", ())) if item.artifact else ()
            write_weights(
                self.network,
                architecture,
                self.preprocessing,
                self.context,
                device=self.device,
                classes=classes,
                details={"pruning": summary},
            )
            self.context.progress(1, 1, "pruned")
        self.context.artifact(write_channel_map(content, self.context.output()))
        self._log(cost)

    def _widths(self, base: Architecture) -> dict[str, tuple[int, int]] | None:
        """The narrowed layers with those of a base that was narrow already, in the order of the network."""
        own = {layer: (len(outputs), len(inputs)) for layer, (outputs, inputs) in self._pruner.channels.items()}
        widths = {**(base.widths or {}), **own}
        return {name: widths[name] for name, _ in self.network.named_modules() if name in widths} or None

    def _log(self, cost: Cost) -> None:
        full = self._costs.full
        self.context.log(
            f"Multiply-accumulates {full.macs} -> {cost.macs} ({cost.macs / max(full.macs, 1):.1%}), parameters "
            f"{full.parameters} -> {cost.parameters} ({cost.parameters / full.parameters:.1%})."
        )

    def _new_trainer(self) -> Trainer | None:
        if self.data is None:
            return None
        params = self.params.model_copy(update={"epochs": self.params.total_epochs})
        return Trainer(self.network, self.data, params, self.context, self.device)

    def _perform(self, cut: Cut, epoch: int) -> None:
        self.context.raise_if_cancelled()
        Team.current().agree([self.network])  # a last digit that differs must not make them choose other channels
        with out_of_memory_is_said(self.params.batch_size):
            candidates = self._pruner.candidates(cut.importance, lambda: self._losses(epoch), cut.names)
            ratio = self._search.ratio(candidates) if cut.ratio is None else cut.ratio
            self._pruner.prune(candidates, ratio)
        kept = sum(len(one) for one in self._pruner.kept.values())
        self.context.log(f"Before epoch {epoch}: {kept} channels are left ({cut.importance}).")

    def _losses(self, epoch: int) -> Iterator[Callable[[], Tensor]]:
        """The loss of some training batches, as the importance ``taylor`` wants it."""
        if self._trainer is None:
            return
        for batch in islice(self._trainer.batches.epoch(epoch), self.params.importance_batches):
            self.context.raise_if_cancelled()
            yield partial(self._batch_loss, batch)

    def _batch_loss(self, batch: Batch) -> Tensor:
        layout = training_layout(self.network, self.device, channels_last=self.params.channels_last)
        last = layout is torch.channels_last
        logits: Tensor = self.network(as_inputs(batch, self.preprocessing, self.device, channels_last=last))
        return self._loss(logits.float(), batch)

    def _loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return label_loss(logits, batch, self.params.label_smoothing)
