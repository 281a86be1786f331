"""Costs that are foreseen, and targets that are reached."""

import pytest
import torch

from tests.plugins.zoo_torch.pruning.nets import SHAPE, cut, network_of, pruner_of
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.errors import InvalidInput
from zoo_torch.measuring.scoring import count_macs, count_parameters
from zoo_torch.pruning.costs import Cost, cost_model
from zoo_torch.pruning.search import Goal, smallest_ratio

PREPROCESSING = Preprocessing(channels=3, crop=SHAPE[1:])
CPU = torch.device("cpu")


@pytest.mark.parametrize("kind", ["zoo:resnet_small", "mobile", "grouped", "dense", "flattened"])
def test_the_cost_of_a_choice_is_known_without_building_it(kind: str) -> None:
    network = network_of(kind)
    model = cost_model(network, PREPROCESSING, CPU)
    pruner = pruner_of(network)
    cut(pruner, 0.4)
    counted = Cost(count_macs(network, PREPROCESSING, CPU), count_parameters(network))
    assert model.cost(pruner.channels) == counted
    assert counted.macs < model.full.macs


def test_the_smallest_ratio_that_reaches_the_goal_is_found() -> None:
    ratio = smallest_ratio(lambda share: (1 - share) ** 2, Goal("target_macs", 0.25, "of it"), highest=0.9, steps=24)
    assert ratio == pytest.approx(0.5, abs=1e-6)
    assert (1 - ratio) ** 2 <= 0.25


def test_a_goal_out_of_reach_says_what_could_be_reached() -> None:
    with pytest.raises(InvalidInput, match=r"Even with the ratio 0\.5 the network has 50 parameters") as caught:
        smallest_ratio(
            lambda share: 100 - 100 * share, Goal("target_parameters", 9, "parameters"), highest=0.5, steps=9
        )
    assert caught.value.facts["field"] == "target_parameters"


def test_a_goal_that_is_met_already_is_refused() -> None:
    with pytest.raises(InvalidInput, match="has 100 parameters already"):
        smallest_ratio(lambda _: 100, Goal("target_parameters", 100, "parameters"), highest=0.5, steps=9)
