"""``torch.slim_retrain`` on digits."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.plugins.zoo_torch.autoslim.samples import report_item, report_of
from tests.plugins.zoo_torch.samples import Outcome, fresh_model, perform
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput
from zoo_torch.networks.weights import load_weights

RETRAIN: dict[str, Any] = {"epochs": 1, "batch_size": 64, "limit_samples": 640, "limit_test_samples": 100}


def test_the_network_for_the_target_is_trained_from_scratch(search: Outcome, digits: InputItem, tmp_path: Path) -> None:
    ports = {"search": report_item(search), "data": digits}
    outcome = perform("torch.slim_retrain", tmp_path, ports, target_ratio=0.3, label_smoothing=0.1, **RETRAIN)
    found = report_of(search).found[1]
    assert outcome.measured("macs") == found.figures.macs
    weights = load_weights(outcome.item)
    assert weights.architecture.widths == found.layers
    assert weights.build().eval()(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


def test_the_network_starts_from_the_supernets_slices(
    supernet: Outcome, search: Outcome, digits: InputItem, tmp_path: Path
) -> None:
    found = report_of(search).found[0]
    ports = {"search": report_item(search), "supernet": supernet.item, "data": digits}
    params = {**RETRAIN, "learning_rate": 1e-9, "weight_decay": 0, "warmup_epochs": 0}
    outcome = perform(
        "torch.slim_retrain", tmp_path, ports, target_macs=found.target_macs, initialise="supernet", **params
    )
    whole = load_weights(supernet.item).state
    for name, value in load_weights(outcome.item).state.items():
        if name.endswith("weight"):
            leading = whole[name][tuple(slice(0, size) for size in value.shape)]
            torch.testing.assert_close(value, leading, rtol=0, atol=1e-6)


def refused(folder: Path, ports: dict[str, InputItem], message: str, **params: Any) -> None:
    with pytest.raises(InvalidInput, match=message):
        perform("torch.slim_retrain", folder, ports, **{**RETRAIN, **params})


def test_an_unknown_or_missing_target_is_refused_with_the_known_ones(
    search: Outcome, digits: InputItem, tmp_path: Path
) -> None:
    ports = {"search": report_item(search), "data": digits}
    refused(tmp_path, ports, r"several sub-networks; its targets are .*ratio 0\.6.*ratio 0\.3")
    refused(tmp_path, ports, "no sub-network for the target 77", target_macs=77)
    refused(tmp_path, ports, "not both", target_macs=77, target_ratio=0.3)


def test_slices_need_the_supernet_that_was_searched(search: Outcome, digits: InputItem, tmp_path: Path) -> None:
    ports = {"search": report_item(search), "data": digits}
    refused(tmp_path, ports, "needs the supernet's weights", target_ratio=0.3, initialise="supernet")
    other = {**ports, "supernet": fresh_model(tmp_path / "other")}
    refused(tmp_path, other, "in another network", target_ratio=0.3, initialise="supernet")


def test_a_file_that_is_no_report_is_refused(search: Outcome, digits: InputItem, tmp_path: Path) -> None:
    (tmp_path / "search.json").write_text('{"autoslim_search": 1, "steps": []}')
    item = report_item(search).model_copy(update={"folder": tmp_path})
    refused(tmp_path, {"search": item, "data": digits}, "is not the report of a search")


def test_a_found_network_can_be_the_student_of_its_supernet(
    supernet: Outcome, search: Outcome, digits: InputItem, tmp_path: Path
) -> None:
    ports = {"student": search.item, "teacher": supernet.item, "data": digits}
    outcome = perform("torch.distill", tmp_path, ports, **RETRAIN)
    assert load_weights(outcome.item).architecture.widths == report_of(search).found[0].layers
