"""Finds the ratio that reaches a target in multiply-accumulates, parameters or measured latency."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import OperationContext
from zoo_torch.pruning.choice import Candidate
from zoo_torch.pruning.costs import CostModel
from zoo_torch.pruning.params import PruneParams
from zoo_torch.pruning.pruner import Pruner
from zoo_torch.pruning.search import Goal, smallest_ratio
from zoo_torch.training.team import Team
from zoo_vision.preprocessing import random_inputs
from zoo_vision.timing import LatencyResult, measure_latency

COUNTED_STEPS = 24
LATENCY_STEPS = 6
"""Halvings.  A measured latency is known to a few per cent only, so more would follow the noise."""
WARMUP_RUNS = 3
LARGEST_RATIO = 0.99


@dataclass
class Timer:
    """Latency of networks on this machine, by the same means as ``torch.benchmark``."""

    params: PruneParams
    preprocessing: Preprocessing
    context: OperationContext
    device: torch.device

    def measure(self, network: nn.Module) -> LatencyResult:
        """In evaluation mode, on random pixels."""
        batch = self.params.latency_batch
        samples = torch.from_numpy(random_inputs(self.preprocessing, batch, self.context.seed)).to(self.device)
        training = network.training
        network.eval()

        def infer() -> None:
            network(samples)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)

        with torch.inference_mode():
            result = measure_latency(
                infer,
                batch=batch,
                seconds=self.params.latency_seconds,
                warmup=WARMUP_RUNS,
                between_runs=lambda _spent, _total: self.context.raise_if_cancelled(),
            )
        network.train(training)
        return result


@dataclass
class TargetSearch:
    """Finds ratios for one pruner; ``facts`` is what was found, as plain values."""

    params: PruneParams
    pruner: Pruner
    costs: CostModel
    timer: Timer
    facts: dict[str, Any] = field(default_factory=dict)

    def ratio(self, candidates: Sequence[Candidate]) -> float:
        """The smallest ratio that reaches the target.

        Raises:
            InvalidInput: it is reached without pruning, or out of reach.

        """
        ((name, value),) = self.params.targets.items()
        if name in {"target_macs", "target_parameters"}:
            what = name.removeprefix("target_")
            full = getattr(self.costs.full, what)
            goal = Goal(name, value * full if value <= 1 else value, "multiply-accumulates" if what == "macs" else what)
            ratio = self._bisect(goal, self._counted(candidates, what), COUNTED_STEPS)
        else:
            base = self.timer.measure(self.pruner.network)
            self.facts["base_latency"] = latency_facts(base)
            goal = Goal(name, value * base.p50_ms if name == "target_latency" else value, "ms of latency")
            ratio = self._bisect(goal, self._timed(candidates, base), LATENCY_STEPS)
            # Each process of a team has measured on its own.
            ratio = float(Team.current().mean(torch.tensor(ratio, device=self.timer.device)))
        self.facts.update(target=name, value=value, goal=goal.target, ratio=ratio)
        return ratio

    def _bisect(self, goal: Goal, cost: Callable[[float], float], steps: int) -> float:
        highest = min(self.params.max_ratio, LARGEST_RATIO)
        return smallest_ratio(cost, goal, highest=highest, steps=steps)

    def _counted(self, candidates: Sequence[Candidate], what: str) -> Callable[[float], float]:
        def cost(ratio: float) -> float:
            kept = {**self.pruner.kept, **self.pruner.rule.choose(candidates, ratio)}
            return float(getattr(self.costs.cost(self.pruner.structure.channels(kept)), what))

        return cost

    def _timed(self, candidates: Sequence[Candidate], base: LatencyResult) -> Callable[[float], float]:
        def cost(ratio: float) -> float:
            if ratio == 0:
                return base.p50_ms
            kept = {**self.pruner.kept, **self.pruner.rule.choose(candidates, ratio)}
            return self.timer.measure(self.pruner.narrowed(kept)).p50_ms

        return cost


def latency_facts(result: LatencyResult) -> dict[str, Any]:
    """Median and noise, for the record."""
    return {
        "ms": round(result.p50_ms, 6),
        "noise": round(result.noise, 4),
        "repeats": result.repeats,
        "batch": result.batch,
        "noisy": result.noisy,
    }
