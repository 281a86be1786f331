"""The greedy search: which channels to drop, bin by bin, until a network is as cheap as it must be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict
from torch import nn

from zoo_sdk.context import OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_torch.autoslim.groups import WidthGroup, layers_at
from zoo_torch.autoslim.report import Figures, Found, Step
from zoo_torch.autoslim.subnets import Judge, extract
from zoo_torch.measuring.scoring import count_macs
from zoo_torch.saved_state import SavedState


@dataclass(frozen=True)
class Target:
    """``ratio``: as it was asked for, if it was."""

    macs: int
    ratio: float | None = None

    @property
    def file(self) -> str:
        """Where the sub-network's weights go: named as it was asked for, so that a recipe can name it too."""
        return f"subnet-{self.macs if self.ratio is None else f'{self.ratio:g}x'}.safetensors"


class SearchState(BaseModel):
    """How far a search is; plain JSON in the job's checkpoint.  ``candidates``: of the step that is not finished."""

    model_config = ConfigDict(extra="forbid")

    whole: Figures | None = None
    steps: list[Step] = []
    found: list[Found] = []
    candidates: dict[str, Figures] = {}


class GreedySearch:
    """The greedy slimming of AutoSlim, Yu and Huang 2019 (arXiv 1903.11728).

    Each step tries for every group of coupled layers what the network achieves without that group's last bin of
    channels, and drops the bin that costs least: the highest top-1, then the lowest loss, then the fewest operations,
    then the first group.
    """

    def __init__(
        self,
        supernet: nn.Module,
        groups: Sequence[WidthGroup],
        options: Mapping[str, Sequence[int]],
        targets: Sequence[Target],
        judge: Judge,
    ) -> None:
        """``options``: ascending widths by group, the last one whole."""
        self._supernet = supernet
        self._groups = tuple(groups)
        self._options = options
        self._targets = sorted(targets, key=lambda target: target.macs, reverse=True)
        self._judge = judge
        self._saved = SavedState(judge.context, SearchState)
        self.state = SearchState()

    def run(self) -> None:
        """Search until every target is met; the results are in :attr:`state`.

        Raises:
            InvalidInput: a target that the narrowest network does not meet, or that needs no search.
            Cancelled: what is known is in the checkpoint.

        """
        self._resume()
        self._check_targets()
        if self.state.whole is None:
            self.state.whole = self._judge.figures(extract(self._supernet, self._groups, {}))
        while True:
            self._record_found()
            if len(self.state.found) == len(self._targets):
                return
            self._take_step()
            self._saved.save(self.state)

    @property
    def _context(self) -> OperationContext:
        return self._judge.context

    def _widths(self) -> dict[str, int]:
        """The present width of each group that is not whole."""
        return {step.group: step.width for step in self.state.steps}

    def _figures(self) -> Figures:
        figures = self.state.steps[-1].figures if self.state.steps else self.state.whole
        if figures is None:
            raise RuntimeError("the whole network was not measured yet")
        return figures

    def _check_targets(self) -> None:
        narrowest = {name: widths[0] for name, widths in self._options.items()}
        held_out = self._judge.held_out
        whole, least = (
            count_macs(extract(self._supernet, self._groups, choice), held_out.preprocessing, held_out.device)
            for choice in ({}, narrowest)
        )
        for target in self._targets:
            if not least <= target.macs < whole:
                raise InvalidInput(
                    f"The target of {target.macs:,} multiply-accumulate operations cannot be met: this supernet's "
                    f"networks take from {least:,} to {whole:,}.",
                    hint="Choose targets in between, or train a supernet with a smaller min_bins.",
                    facts={"field": "target_macs", "target": target.macs, "least": least, "whole": whole},
                )

    def _record_found(self) -> None:
        figures, widths = self._figures(), self._widths()
        for target in self._targets[len(self.state.found) :]:
            if figures.macs > target.macs:
                return
            self.state.found.append(
                Found(
                    target_macs=target.macs,
                    target_ratio=target.ratio,
                    file=target.file,
                    figures=figures,
                    steps=len(self.state.steps),
                    widths=widths,
                    layers=layers_at(self._supernet, self._groups, widths),
                )
            )
            self._context.log(
                f"{target.macs:,} operations: met by {figures.macs:,} after {len(self.state.steps)} steps, "
                f"top1 {figures.top1:.2f} % on the held-out pictures."
            )

    def _take_step(self) -> None:
        now = self._widths()
        smaller = {
            group.name: max(width for width in self._options[group.name] if width < now.get(group.name, group.channels))
            for group in self._groups
            if self._options[group.name][0] < now.get(group.name, group.channels)
        }
        candidates = self.state.candidates
        for number, (name, width) in enumerate(smaller.items(), 1):
            if name not in candidates:
                candidates[name] = self._judge.figures(extract(self._supernet, self._groups, {**now, name: width}))
                self._saved.save_now_and_then(self.state)
            self._progress(f"candidate {number} of {len(smaller)}")
        order = list(smaller)
        best = min(order, key=lambda name: _cost(candidates[name], order.index(name)))
        step = Step(
            group=best,
            width=smaller[best],
            figures=candidates[best],
            candidates={name: candidates[name] for name in order},
        )
        self.state.steps.append(step)
        self.state.candidates = {}
        self._context.metric("search_top1", step.figures.top1, len(self.state.steps))
        self._context.metric("search_macs", step.figures.macs, len(self.state.steps))

    def _progress(self, message: str) -> None:
        whole = self.state.whole.macs if self.state.whole else 0
        figures = self._figures()
        # The last unit of work is writing the networks.
        self._context.progress(
            whole - figures.macs,
            whole - self._targets[-1].macs + 1,
            f"{figures.macs:,} operations, top1 {figures.top1:.2f} %, {message}",
        )

    def _resume(self) -> None:
        saved = self._saved.load()
        if saved is not None:
            self.state = saved
            self._context.log(f"Resumed after step {len(saved.steps)} from the checkpoint of an earlier attempt.")


def _cost(figures: Figures, position: int) -> tuple[float, float, int, int]:
    return -figures.top1, figures.loss, figures.macs, position
