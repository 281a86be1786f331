"""``torch.slim_supernet`` on digits."""

from pathlib import Path

import pytest
import torch

from tests.plugins.zoo_torch.autoslim.samples import SEARCH, SUPERNET
from tests.plugins.zoo_torch.samples import Outcome, digest, fresh_model, perform
from zoo_sdk.context import InputItem
from zoo_sdk.errors import Cancelled, InvalidInput
from zoo_torch.autoslim.groups import find_groups
from zoo_torch.autoslim.subnets import extract, recalibrate
from zoo_torch.autoslim.widths import SlimmableFacts
from zoo_torch.measuring.prepared import PreparedPictures
from zoo_torch.measuring.scoring import count_parameters
from zoo_torch.networks.weights import load_weights
from zoo_torch.training.held_out import held_out
from zoo_vision.datasets import open_split


def test_it_says_for_which_widths_it_was_trained(supernet: Outcome) -> None:
    facts = SlimmableFacts.of(supernet.item)
    assert facts == SlimmableFacts(channel_bins=4, min_bins=1, round_to=8, train_split="train", held_out=0.25)
    assert load_weights(supernet.item).architecture.name == "zoo:resnet_small"
    assert supernet.measured("top1") > 50


def test_narrow_networks_inside_it_have_learnt_as_well(supernet: Outcome, digits: InputItem) -> None:
    whole = load_weights(supernet.item).build()
    preprocessing = supernet.item.artifact.preprocessing
    groups = find_groups(whole, preprocessing)
    narrowest = extract(whole, groups, {group.name: max(8, group.channels // 4) for group in groups})
    split = held_out(open_split(digits, "train"), 0.25)
    pictures = PreparedPictures(split, split.random_indices(200, 0), preprocessing, torch.device("cpu"), 200)
    ((inputs, labels),) = pictures.batches()
    recalibrate(narrowest, [inputs])
    hits = (narrowest(inputs).argmax(1).numpy() == labels).mean()
    assert hits > 0.3, "chance is .1"


def test_the_held_out_part_is_not_trained_on(digits: InputItem, tmp_path: Path) -> None:
    params = {**SUPERNET, "limit_samples": None, "epochs": 1, "architecture": "zoo:conv_tiny", "held_out": 0.5}
    outcome = perform("torch.slim_supernet", tmp_path, {"data": digits}, **params)
    samples = len(open_split(digits, "train"))
    assert f" {samples // 2 // 32} steps of 32 samples" in outcome.lines


def test_an_interrupted_training_ends_with_the_same_file(supernet: Outcome, digits: InputItem, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        perform(
            "torch.slim_supernet",
            tmp_path,
            {"data": digits},
            cancelled=(tmp_path / "checkpoints" / "checkpoint").is_file,
            **SUPERNET,
        )
    resumed = perform("torch.slim_supernet", tmp_path, {"data": digits}, **SUPERNET)
    assert "Resumed after epoch 1" in resumed.lines
    assert digest(resumed.model) == digest(supernet.model)


def test_it_takes_what_every_training_takes(digits: InputItem, tmp_path: Path) -> None:
    extras = {
        "ema_decay": 0.9,
        "accumulation_steps": 2,
        "mixup_alpha": 0.2,
        "label_smoothing": 0.1,
        "optimizer": "adamw",
    }
    params = {**SUPERNET, "learning_rate": 0.003, "mixed_precision": "bf16", **extras}
    assert perform("torch.slim_supernet", tmp_path, {"data": digits}, **params).measured("top1") > 30


def test_it_starts_from_given_weights_even_of_a_pruned_network(
    supernet: Outcome, search: Outcome, digits: InputItem, tmp_path: Path
) -> None:
    ports = {"data": digits, "init": search.item}
    params = {name: value for name, value in SUPERNET.items() if name != "architecture"}
    narrow = perform("torch.slim_supernet", tmp_path / "narrow", ports, **params)
    assert load_weights(narrow.item).architecture == load_weights(search.item).architecture
    ports = {"data": digits, "supernet": narrow.item}
    found = perform("torch.slim_search", tmp_path / "found", ports, **{**SEARCH, "target_ratios": [0.6]})
    weights = load_weights(found.item)
    assert weights.build().eval()(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    assert count_parameters(weights.build()) < count_parameters(load_weights(search.item).build())
    assert set(weights.architecture.widths) >= set(load_weights(search.item).architecture.widths)


def test_a_quantised_network_is_refused(digits: InputItem, tmp_path: Path) -> None:
    plain = fresh_model(tmp_path / "plain")
    ports = {"data": digits, "model": plain}
    quantised = perform("torch.mixed_precision", tmp_path / "mixed", ports, limit_samples=20, max_drop=100)
    params = {name: value for name, value in SUPERNET.items() if name != "architecture"}
    with pytest.raises(InvalidInput, match="quantised zoo:conv_tiny"):
        perform("torch.slim_supernet", tmp_path / "slim", {"data": digits, "init": quantised.item}, **params)


def test_widths_that_rounding_leaves_no_choice_are_refused(digits: InputItem, tmp_path: Path) -> None:
    params = {**SUPERNET, "architecture": "zoo:conv_tiny", "round_to": 256}
    with pytest.raises(InvalidInput, match="Rounded to multiples of 256") as caught:
        perform("torch.slim_supernet", tmp_path, {"data": digits}, **params)
    assert caught.value.facts["field"] == "round_to"


@pytest.mark.parametrize(
    ("params", "message"),
    [({"min_bins": 4}, "min_bins"), ({"compile": "on"}, "compile"), ({"held_out": 1}, "held_out")],
)
def test_wrong_parameters_are_named(digits: InputItem, tmp_path: Path, params: dict, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        perform("torch.slim_supernet", tmp_path, {"data": digits}, **{**SUPERNET, **params})
