"""``torch.slim_search`` on digits."""

from pathlib import Path

import pytest

from tests.plugins.zoo_torch.autoslim.samples import SEARCH, report_of
from tests.plugins.zoo_torch.samples import Outcome, digest, perform
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import Cancelled, InvalidInput
from zoo_torch import saved_state
from zoo_torch.autoslim.report import REPORT_FILE, Figures
from zoo_torch.autoslim.subnets import Judge
from zoo_torch.measuring.scoring import count_macs
from zoo_torch.networks.weights import read_safetensors

CPU = "cpu"


def found_files(outcome: Outcome) -> dict[str, str]:
    return {path.name: digest(path) for path in outcome.context.output().iterdir()}


def test_every_target_is_met_by_a_network_of_its_own(search: Outcome) -> None:
    report = report_of(search)
    assert [found.target_ratio for found in report.found] == [0.6, 0.3]
    for found in report.found:
        assert found.figures.macs <= found.target_macs == round(report.whole.macs * found.target_ratio)
        weights = read_safetensors(search.context.output() / found.file, found.file)
        assert weights.architecture.widths == found.layers
        preprocessing = search.item.artifact.preprocessing
        assert isinstance(preprocessing, Preprocessing)
        assert count_macs(weights.build(), preprocessing, CPU) == found.figures.macs


def test_the_artifacts_are_the_networks_in_the_order_of_the_targets_and_the_report(search: Outcome) -> None:
    artifacts = search.context.artifacts["model"]
    files = [found.file for found in report_of(search).found]
    assert files == ["subnet-0.6x.safetensors", "subnet-0.3x.safetensors"]
    assert [artifact.files[0] for artifact in artifacts] == [*files, REPORT_FILE]
    assert artifacts[0].details["target_ratio"] == 0.6
    measured = [item for item in search.context.measurements if item.name == "top1"]
    assert [item.details["artifact"] for item in measured] == files
    assert [item.value for item in measured] == [found.figures.top1 for found in report_of(search).found]


def test_every_step_drops_the_bin_that_costs_least(search: Outcome) -> None:
    report = report_of(search)
    widths = {name: group.channels for name, group in report.groups.items()}
    for step in report.steps:
        assert set(step.candidates) == {
            name for name, group in report.groups.items() if widths[name] > group.options[0]
        }
        best = max(figures.top1 for figures in step.candidates.values())
        assert step.figures == step.candidates[step.group]
        assert step.figures.top1 == best
        ties = [figures.loss for figures in step.candidates.values() if figures.top1 == best]
        assert step.figures.loss == min(ties)
        options = report.groups[step.group].options
        assert step.width == options[options.index(widths[step.group]) - 1]
        widths[step.group] = step.width
    assert report.steps[-1].figures.macs <= report.found[-1].target_macs < report.steps[-2].figures.macs


def test_residual_branches_are_narrowed_together(search: Outcome) -> None:
    report = report_of(search)
    shared = next(name for name, group in report.groups.items() if len(group.outputs) > 2)
    layers = report.found[-1].layers
    width = report.found[-1].widths.get(shared, report.groups[shared].channels)
    for name in report.groups[shared].outputs:
        assert layers.get(name, (report.groups[shared].channels,))[0] == width


def test_the_same_seed_finds_the_same(supernet: Outcome, search: Outcome, digits: InputItem, tmp_path: Path) -> None:
    again = perform("torch.slim_search", tmp_path, {"supernet": supernet.item, "data": digits}, **SEARCH)
    assert found_files(again) == found_files(search)


def test_a_resumed_search_repeats_at_most_one_candidate_and_finds_the_same(
    supernet: Outcome, search: Outcome, digits: InputItem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Figures] = []
    measure = Judge.figures

    def counting(self: Judge, network: object) -> Figures:
        measured.append(measure(self, network))
        return measured[-1]

    monkeypatch.setattr(Judge, "figures", counting)
    monkeypatch.setattr(saved_state, "SECONDS_BETWEEN", 0)
    ports = {"supernet": supernet.item, "data": digits}
    with pytest.raises(Cancelled):
        perform("torch.slim_search", tmp_path, ports, cancelled=lambda: len(measured) == 10, **SEARCH)
    resumed = perform("torch.slim_search", tmp_path, ports, **SEARCH)
    assert "Resumed after step 1" in resumed.lines
    assert found_files(resumed) == found_files(search)
    report = report_of(search)
    assert len(measured) == 1 + sum(len(step.candidates) for step in report.steps) + len(report.found)


def test_a_damaged_checkpoint_starts_the_search_over(
    supernet: Outcome, search: Outcome, digits: InputItem, tmp_path: Path
) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "checkpoint").write_text('{"steps": [{"group"')
    outcome = perform("torch.slim_search", tmp_path, {"supernet": supernet.item, "data": digits}, **SEARCH)
    assert "starting over" in outcome.lines
    assert found_files(outcome) == found_files(search)


def test_the_test_split_is_not_needed(supernet: Outcome, digits: InputItem, tmp_path: Path) -> None:
    splits = {"train": digits.dataset.splits["train"]}
    alone = digits.model_copy(update={"dataset": digits.dataset.model_copy(update={"splits": splits})})
    params = {**SEARCH, "target_ratios": [0.9]}
    assert perform("torch.slim_search", tmp_path, {"supernet": supernet.item, "data": alone}, **params).measured("top1")


@pytest.mark.parametrize("target", [1, 10**12])
def test_a_target_that_no_network_meets_is_refused_with_the_range(
    supernet: Outcome, digits: InputItem, tmp_path: Path, target: int
) -> None:
    params = {**SEARCH, "target_ratios": [], "target_macs": [target]}
    with pytest.raises(InvalidInput, match=r"cannot be met: this supernet's networks take from [\d,]+ to [\d,]+"):
        perform("torch.slim_search", tmp_path, {"supernet": supernet.item, "data": digits}, **params)


@pytest.mark.parametrize(
    "params",
    [{"target_ratios": []}, {"target_macs": [10], "target_ratios": [0.5]}, {"target_ratios": [0.5, 0.5]}],
)
def test_targets_must_be_given_once(supernet: Outcome, digits: InputItem, tmp_path: Path, params: dict) -> None:
    with pytest.raises(InvalidInput, match="target"):
        perform("torch.slim_search", tmp_path, {"supernet": supernet.item, "data": digits}, **{**SEARCH, **params})


def test_a_supernet_that_saw_every_picture_is_refused(supernet: Outcome, digits: InputItem, tmp_path: Path) -> None:
    details = {"slimmable": {**supernet.item.artifact.details["slimmable"], "held_out": 0}}
    artifact = supernet.item.artifact.model_copy(update={"details": details})
    item = supernet.item.model_copy(update={"artifact": artifact})
    with pytest.raises(InvalidInput, match="nothing is left to measure candidates on"):
        perform("torch.slim_search", tmp_path, {"supernet": item, "data": digits}, **SEARCH)
