"""Parameters of small runs, and what they made."""

from pathlib import Path
from typing import Any

from tests.plugins.zoo_torch.samples import Outcome, fresh_model
from zoo_sdk.artifacts import ArtifactDescription, Preprocessing
from zoo_sdk.context import InputItem
from zoo_torch.autoslim.groups import find_groups, layers_at
from zoo_torch.autoslim.report import REPORT_FILE, Figures, Found, SearchReport
from zoo_torch.autoslim.widths import DETAILS_KEY, SlimmableFacts
from zoo_torch.networks.architectures import Architecture

SUPERNET: dict[str, Any] = {
    "architecture": "zoo:resnet_small",
    "epochs": 2,
    "batch_size": 32,
    "limit_samples": 320,
    "limit_test_samples": 100,
    "channel_bins": 4,
    "min_bins": 1,
    "held_out": 0.25,
}
SEARCH: dict[str, Any] = {"target_ratios": [0.6, 0.3], "limit_samples": 100, "calibration_batches": 2}


def report_item(search: Outcome) -> InputItem:
    """The search's report as an input."""
    artifact = next(item for item in search.context.artifacts["model"] if item.format == "json")
    return InputItem(reference="digits/searched@1", folder=search.context.output(), artifact=artifact)


def report_of(search: Outcome) -> SearchReport:
    """What it says."""
    assert (search.context.output() / REPORT_FILE).is_file()
    return SearchReport.read(report_item(search))


def untrained_supernet(folder: Path, preprocessing: Preprocessing) -> InputItem:
    """What ``torch.slim_supernet`` would make, without its training."""
    plain = fresh_model(folder, preprocessing=preprocessing)
    facts = SlimmableFacts(channel_bins=3, min_bins=1, round_to=4, train_split="train", held_out=0.5)
    assert plain.artifact is not None
    artifact = plain.artifact.model_copy(update={"details": {DETAILS_KEY: facts.model_dump()}})
    return plain.model_copy(update={"artifact": artifact})


def made_up_search(folder: Path, preprocessing: Preprocessing) -> InputItem:
    """What ``torch.slim_search`` would make in such a supernet: one narrow network."""
    folder.mkdir(parents=True, exist_ok=True)
    architecture = Architecture(name="zoo:conv_tiny", num_classes=10, in_chans=preprocessing.channels)
    groups = find_groups(architecture.build(), preprocessing)
    figures = Figures(macs=1000, top1=50, loss=1)
    widths = {groups[0].name: 8}
    found = Found(
        target_macs=2000,
        target_ratio=None,
        file="subnet-2000.safetensors",
        figures=figures,
        steps=0,
        widths=widths,
        layers=layers_at(architecture.build(), groups, widths),
    )
    report = SearchReport(
        supernet="conformance/supernet@1",
        architecture=architecture,
        held_out_samples=1,
        calibration_samples=1,
        whole=figures,
        groups={},
        steps=(),
        found=(found,),
    )
    report.write(folder / REPORT_FILE)
    artifact = ArtifactDescription(name="search", format="json", files=(REPORT_FILE,), preprocessing=preprocessing)
    return InputItem(reference="conformance/search@1", folder=folder, artifact=artifact)
