"""``torch.slim_search``: the best narrow networks inside a supernet, one for each target of operations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from zoo_sdk.artifacts import ArtifactDescription, Preprocessing
from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_sdk.formats import Runtime
from zoo_sdk.vocabulary import Precision
from zoo_torch.autoslim.groups import WidthGroup, find_groups
from zoo_torch.autoslim.params import SlimSearchParams
from zoo_torch.autoslim.report import REPORT_FILE, Figures, Found, GroupFacts, SearchReport
from zoo_torch.autoslim.search import GreedySearch, SearchState, Target
from zoo_torch.autoslim.subnets import Judge, extract
from zoo_torch.autoslim.widths import SlimmableFacts
from zoo_torch.devices import device_name, out_of_memory_is_said, prepare_device
from zoo_torch.measuring.prepared import PreparedPictures
from zoo_torch.measuring.scoring import count_macs, count_parameters
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.weights import load_weights, save_weights
from zoo_torch.training.data import check_channels, model_preprocessing
from zoo_torch.training.held_out import held_out, without_held_out
from zoo_torch.training.results import description_details, runtime_facts, signature_of
from zoo_vision.agreement import check_classes_fit, check_pictures_fit
from zoo_vision.datasets import ImageSplit, open_split
from zoo_vision.preprocessing import native_preprocessing


def run(params: SlimSearchParams, inputs: Inputs, context: OperationContext) -> None:
    """Search, write every found network and the report; see :class:`SlimSearchParams`."""
    device = prepare_device(context)
    item = inputs.one("supernet")
    facts = SlimmableFacts.of(item)
    weights = load_weights(item)
    split = open_split(inputs.one("data"), facts.train_split)
    preprocessing = model_preprocessing(item) or native_preprocessing(split)
    check_classes_fit(item.reference, split, preprocessing, weights.architecture.num_classes)
    check_channels(item.reference, weights.architecture.in_chans, preprocessing)
    check_pictures_fit(split, preprocessing)
    supernet = weights.build().to(device).requires_grad_(requires_grad=False).eval()
    groups = find_groups(supernet, preprocessing)
    options = {group.name: facts.options(group.channels, params.max_channel_bins) for group in groups}
    judge = _judge(split, facts, params, preprocessing, context)
    targets = _targets(supernet, preprocessing, params)
    search = GreedySearch(supernet, groups, options, targets, judge)
    context.log(
        f"{weights.architecture.name}: {len(groups)} groups with up to {max(map(len, options.values()))} widths; "
        f"candidates are measured on {len(judge.held_out)} held-out pictures."
    )
    with out_of_memory_is_said(params.batch_size):
        search.run()
    handing = _Handing(supernet, groups, judge, weights.architecture, split, context)
    by_file = {found.file: found for found in search.state.found}
    for target in targets:
        handing.hand_over(by_file[target.file])
    _report(item.reference, handing, options, search.state)
    context.progress(1, 1, f"{len(targets)} networks")


def _targets(supernet: nn.Module, preprocessing: Preprocessing, params: SlimSearchParams) -> list[Target]:
    """In the order of the parameters."""
    if params.target_macs:
        return [Target(macs) for macs in params.target_macs]
    device = next(supernet.parameters()).device
    whole = count_macs(supernet, preprocessing, device)
    return [Target(round(whole * ratio), ratio) for ratio in params.target_ratios]


def _judge(
    split: ImageSplit,
    facts: SlimmableFacts,
    params: SlimSearchParams,
    preprocessing: Preprocessing,
    context: OperationContext,
) -> Judge:
    """Candidates are measured on pictures that the supernet never saw; statistics come from pictures that it did."""
    if facts.held_out == 0:
        raise InvalidInput(
            "The supernet was trained on the whole training split, so nothing is left to measure candidates on.",
            hint="Train the supernet with held_out above 0.",
            facts={"field": "supernet"},
        )
    device = torch.device(context.devices[0])

    def prepared(part: ImageSplit, positions: NDArray[np.int64]) -> PreparedPictures:
        return PreparedPictures(part, positions, preprocessing, device, params.batch_size)

    seen, unseen = without_held_out(split, facts.held_out), held_out(split, facts.held_out)
    # Whole batches only: the mean over batches would weigh the pictures of a smaller one more.
    whole = min(params.calibration_batches, max(1, len(seen) // params.batch_size)) * params.batch_size
    return Judge(
        calibration=prepared(seen, seen.random_indices(whole, context.seed)),
        held_out=prepared(unseen, unseen.random_indices(params.limit_samples or len(unseen), context.seed)),
        context=context,
    )


@dataclass(frozen=True)
class _Handing:
    """Writes what was found."""

    supernet: nn.Module
    groups: Sequence[WidthGroup]
    judge: Judge
    architecture: Architecture
    split: ImageSplit
    context: OperationContext

    def hand_over(self, found: Found) -> None:
        """The weights of one sub-network: the supernet's slices with batch statistics of their own."""
        subnet = extract(self.supernet, self.groups, found.widths)
        figures = self.judge.figures(subnet)
        architecture = found.architecture_in(self.architecture)
        path = self.context.output() / found.file
        save_weights(subnet, architecture, path)
        preprocessing = self.judge.held_out.preprocessing
        self.context.artifact(
            ArtifactDescription(
                name=path.stem,
                format="safetensors",
                files=(found.file,),
                precision=Precision.FP32,
                runtime=Runtime.TORCH,
                signature=signature_of(preprocessing, architecture.num_classes),
                preprocessing=preprocessing,
                details={
                    **description_details(architecture, self.split.classes),
                    "target_macs": found.target_macs,
                    "target_ratio": found.target_ratio,
                },
            )
        )
        self._measure(found, figures, count_parameters(subnet), path.stat().st_size)

    def _measure(self, found: Found, figures: Figures, parameters: int, size: int) -> None:
        device = self.judge.held_out.device
        facts = {"artifact": found.file, "target_macs": found.target_macs}
        self.context.measure(
            "top1",
            figures.top1,
            dataset="data",
            split=self.split.name,
            runtime=Runtime.TORCH,
            device=device_name(device),
            details={**facts, **runtime_facts(device, self.context), "held_out": len(self.judge.held_out)},
        )
        for name, value in (("parameters", parameters), ("macs", figures.macs)):
            self.context.measure(name, value, details=facts)
        self.context.measure("size_bytes", size, runtime=Runtime.TORCH, details=facts)


def _report(reference: str, handing: _Handing, options: Mapping[str, tuple[int, ...]], state: SearchState) -> None:
    if state.whole is None:
        raise RuntimeError("the search did not measure the whole network")
    report = SearchReport(
        supernet=reference,
        architecture=handing.architecture,
        held_out_samples=len(handing.judge.held_out),
        calibration_samples=len(handing.judge.calibration),
        whole=state.whole,
        groups={
            group.name: GroupFacts(
                channels=group.channels, options=options[group.name], outputs=group.outputs, inputs=group.inputs
            )
            for group in handing.groups
        },
        steps=tuple(state.steps),
        found=tuple(state.found),
    )
    context, preprocessing = handing.context, handing.judge.held_out.preprocessing
    report.write(context.output() / REPORT_FILE)
    context.artifact(
        ArtifactDescription(name="search", format="json", files=(REPORT_FILE,), preprocessing=preprocessing)
    )
