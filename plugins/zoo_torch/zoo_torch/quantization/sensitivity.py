"""How much each layer suffers from being quantised, and which layers must be restored for a network to be good enough.

Adlik's optimiser does the same in two flaws' company: it compares with ``metric - target >= 0`` whatever the metric's
direction, and the last batch of a calibration decides alone.  Here the drop is always positive when the network is
worse, and the steps come from the mean over all calibration batches.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict
from torch import nn

from zoo_sdk.context import OperationContext
from zoo_sdk.errors import OperationError
from zoo_torch.measuring.prepared import PreparedPictures
from zoo_torch.quantization.calibration import calibrate
from zoo_torch.quantization.network import in_floating_point, quantise, quantised_layers
from zoo_torch.quantization.scheme import LayerBits, LayerOverride, QuantizationScheme
from zoo_torch.quantization.sensitivity_params import RestoredTo
from zoo_torch.saved_state import SavedState

Metric = Literal["top1", "loss"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figures(_Record):
    """``top1`` in percent; ``loss``: mean cross-entropy in nats."""

    top1: float
    loss: float

    def drop_from(self, reference: "Figures", metric: Metric) -> float:
        """How much worse than ``reference`` this is; negative where it is better."""
        return reference.top1 - self.top1 if metric == "top1" else self.loss - reference.loss


class Restoration(_Record):
    """A layer got more bits, or is float again; ``figures``: the whole network's from then on."""

    layer: str
    to: RestoredTo
    figures: Figures


class SensitivityState(BaseModel):
    """What was measured so far; plain JSON in the job's checkpoint.  ``alone``: with that layer only quantised."""

    model_config = ConfigDict(extra="forbid")

    whole: Figures | None = None
    alone: dict[str, Figures] = {}
    quantised: Figures | None = None
    restored: list[Restoration] = []


@dataclass(frozen=True)
class Goal:
    """The network may be worse than the float one by ``max_drop`` in ``metric``, no more."""

    metric: Metric
    max_drop: float
    restore_to: tuple[RestoredTo, ...]


class SensitivityAnalysis:
    """Ranks the layers of a float network, then restores them one by one in a network that is quantised throughout."""

    def __init__(
        self,
        network: nn.Module,
        scheme: QuantizationScheme,
        goal: Goal,
        *,
        calibration: PreparedPictures,
        measured_on: PreparedPictures,
        context: OperationContext,
    ) -> None:
        """``scheme``: with its list of unsigned inputs, and without overrides."""
        self._network = network
        self._scheme = scheme
        self._goal = goal
        self._calibration = calibration
        self._measured_on = measured_on
        self._context = context
        self._saved = SavedState(context, SensitivityState)
        self._complete = self._quantised(scheme)
        self.bits = {
            name: (layer.weight_quantiser.bits, layer.input_quantiser.bits)
            for name, layer in quantised_layers(self._complete).items()
        }
        self.state = self._saved.load() or SensitivityState()

    def run(self) -> nn.Module:
        """Measure, rank and restore; returns the network that holds the goal, calibrated.

        Raises:
            OperationError: no network of the given kinds holds it.
            Cancelled: what was measured is in the checkpoint.

        """
        if self.state.whole is not None:
            self._context.log(
                f"Resumed from the checkpoint of an earlier attempt: {len(self.state.alone)} of {len(self.bits)} "
                f"layers measured, {len(self.state.restored)} restored."
            )
        else:
            with in_floating_point(self._complete):
                self.state.whole = self._measure(self._complete)
        self._measure_alone()
        if self.state.quantised is None:
            self.state.quantised = self._measure(self._complete)
            self._saved.save(self.state)
        return self._restore()

    @property
    def whole(self) -> Figures:
        """The float network's figures."""
        return _measured(self.state.whole)

    @property
    def now(self) -> Figures:
        """The figures after the last restoration."""
        return self.state.restored[-1].figures if self.state.restored else _measured(self.state.quantised)

    @property
    def samples(self) -> int:
        """Pictures that the networks are measured on."""
        return len(self._measured_on)

    @property
    def calibration_samples(self) -> int:
        """Pictures that the steps are computed from."""
        return len(self._calibration)

    def drop(self, figures: Figures) -> float:
        """How much worse than the float network, in the metric of the goal."""
        return figures.drop_from(self.whole, self._goal.metric)

    def ranking(self) -> list[str]:
        """Layer names, the most sensitive first: by the drop of the metric, then by the loss, then in their order."""
        alone, order = self.state.alone, list(self.bits)
        return sorted(order, key=lambda name: (-self.drop(alone[name]), alone[name].loss, order.index(name)))

    def scheme(self) -> QuantizationScheme:
        """The scheme with what was restored."""
        return self._scheme_with({restoration.layer: restoration.to for restoration in self.state.restored})

    def _scheme_with(self, restored: Mapping[str, RestoredTo]) -> QuantizationScheme:
        overrides: dict[str, LayerOverride] = {}
        for layer, to in restored.items():
            if to == "float":
                overrides[layer] = to
            else:
                weight_bits, activation_bits = (max(bits, to) for bits in self.bits[layer])
                overrides[layer] = LayerBits(weight_bits=weight_bits, activation_bits=activation_bits)
        return self._scheme.model_copy(update={"overrides": overrides})

    def _quantised(self, scheme: QuantizationScheme) -> nn.Module:
        """A copy of the float network, quantised and calibrated."""
        network = quantise(copy.deepcopy(self._network), scheme)
        if quantised_layers(network):
            calibrate(network, self._calibration.inputs(self._context.raise_if_cancelled))
        return network.eval()

    def _measure(self, network: nn.Module) -> Figures:
        score = self._measured_on.score(network, self._context.raise_if_cancelled)
        return Figures(top1=score.top1, loss=score.loss)

    def _measure_alone(self) -> None:
        layers = quantised_layers(self._complete)
        for number, (name, layer) in enumerate(layers.items(), 1):
            if name not in self.state.alone:
                with in_floating_point(self._complete):
                    layer.weight_quantiser.active = layer.input_quantiser.active = True
                    self.state.alone[name] = self._measure(self._complete)
                self._saved.save_now_and_then(self.state)
            drop = self.drop(self.state.alone[name])
            self._progress(number, f"{name} alone: {self._goal.metric} worse by {drop:.3g}")

    def _restore(self) -> nn.Module:
        restored = {restoration.layer: restoration.to for restoration in self.state.restored}
        network = self._quantised(self._scheme_with(restored)) if restored else self._complete
        queue = self._queue()
        for position, (layer, to) in enumerate(queue):
            if position < len(self.state.restored):
                continue
            if self.drop(self.now) <= self._goal.max_drop:
                return network
            restored[layer] = to
            network = self._quantised(self._scheme_with(restored))
            self.state.restored.append(Restoration(layer=layer, to=to, figures=self._measure(network)))
            self._saved.save_now_and_then(self.state)
            self._progress(len(self.bits) + position + 1, f"{layer} at {to}: worse by {self.drop(self.now):.3g}")
        if self.drop(self.now) <= self._goal.max_drop:
            return network
        raise OperationError(
            f"With every layer at {self._goal.restore_to[-1]} bits the {self._goal.metric} is still worse than the "
            f"float network's by {self.drop(self.now):.3g}, and max_drop is {self._goal.max_drop:g}.",
            hint="Add float to restore_to, raise max_drop, or train the network with torch.quantize_aware.",
            facts={"field": "restore_to", "drop": self.drop(self.now)},
        )

    def _queue(self) -> list[tuple[str, RestoredTo]]:
        """What is restored in which order: all layers to the first kind, the most sensitive first, then to the next."""
        ranking = self.ranking()
        return [
            (layer, to)
            for to in self._goal.restore_to
            for layer in ranking
            if to == "float" or to > min(self.bits[layer])
        ]

    def _progress(self, done: int, message: str) -> None:
        # The last unit of work is the test; most of the queue is hoped never to be needed.
        self._context.progress(done, len(self.bits) * (1 + len(self._goal.restore_to)) + 1, message)


def _measured(figures: Figures | None) -> Figures:
    if figures is None:
        raise RuntimeError("asked for figures before they were measured")
    return figures
