"""Which channels go, within each scope, with limits and rounding."""

import pytest
import torch

from zoo_sdk.errors import InvalidInput
from zoo_torch.pruning.choice import Candidate, Rule
from zoo_torch.pruning.groups import ChannelGroup
from zoo_torch.pruning.params import ScopeName


def candidate(
    name: str, scores: list[float], *, classes: int = 1, kept: list[int] | None = None, kind: str = ""
) -> Candidate:
    """A group of as many channels as there are scores, or with ``kept`` one that had more."""
    size = len(scores) if kept is None else 10
    share = size // classes
    parts = tuple(tuple(range(k * share, (k + 1) * share)) for k in range(classes))
    return Candidate(ChannelGroup(name, size, (), parts, (kind,)), tuple(kept or range(size)), torch.tensor(scores))


def rule(scope: ScopeName = "uniform", max_ratio: float = 0.9, round_to: int = 1) -> Rule:
    return Rule(scope, max_ratio, round_to)


def test_uniform_removes_the_least_important_of_each_group() -> None:
    groups = [candidate("a", [4.0, 1, 3, 2]), candidate("b", [10.0, 40, 20, 30])]
    assert rule().choose(groups, 0.5) == {"a": (0, 2), "b": (1, 3)}


def test_global_compares_all_channels() -> None:
    groups = [candidate("a", [4.0, 1, 3, 2]), candidate("b", [10.0, 40, 20, 30])]
    assert rule("global").choose(groups, 0.5) == {"a": (0,), "b": (1, 2, 3)}
    assert rule("global", max_ratio=0.5).choose(groups, 0.5) == {"a": (0, 2), "b": (1, 3)}


def test_isomorphic_compares_channels_of_groups_of_the_same_kind() -> None:
    wide = [candidate("a", [1.0, 2, 3, 4]), candidate("b", [1.0, 2], kind="other"), candidate("c", [2.5, 6, 7, 8])]
    assert rule("isomorphic").choose(wide, 0.5) == {"a": (3,), "b": (1,), "c": (1, 2, 3)}


def test_a_ratio_for_each_group_leaves_the_others_alone() -> None:
    groups = [candidate("a", [4.0, 1, 3, 2]), candidate("b", [10.0, 40, 20, 30])]
    assert rule("per_layer").choose(groups, {"b": 0.25}) == {"a": (0, 1, 2, 3), "b": (1, 2, 3)}


def test_shares_are_counted_exactly_in_spite_of_floats() -> None:
    groups = [candidate("a", list(map(float, range(10))))]
    assert [len(rule().choose(groups, ratio)["a"]) for ratio in (0.1, 0.3, 0.6, 0.7)] == [9, 7, 4, 3]


def test_equally_important_channels_go_in_their_order() -> None:
    assert rule().choose([candidate("a", [1.0, 1, 1, 1])], 0.5) == {"a": (2, 3)}


def test_the_ratio_counts_in_channels_of_the_base_network() -> None:
    later = candidate("a", [5.0, 1, 2, 3, 4], kept=[0, 2, 4, 6, 8])
    assert rule().choose([later], 0.2) == {"a": (0, 6, 8)}
    assert rule(max_ratio=0.6).choose([later], 0.5) == {"a": (0, 4, 6, 8)}


def test_widths_are_rounded_to_the_nearest_multiple() -> None:
    groups = [candidate("a", list(map(float, range(20))))]
    widths = [len(rule(round_to=8).choose(groups, ratio)["a"]) for ratio in (0.1, 0.3, 0.45, 0.7, 0.85)]
    assert widths == [16, 16, 8, 8, 8]
    assert len(rule(round_to=8).choose([candidate("b", [1.0, 2, 3, 4])], 0.5)["b"]) == 4


def test_each_class_keeps_equally_many_and_its_best() -> None:
    group = candidate("a", [4.0, 1, 3, 2, 10, 20, 30, 40], classes=2)
    assert rule().choose([group], 0.5) == {"a": (0, 2, 6, 7)}
    assert len(rule(round_to=4).choose([group], 0.3)["a"]) == 8


@pytest.mark.parametrize("scope", ["uniform", "global"])
def test_a_ratio_that_would_empty_a_layer_is_refused(scope: ScopeName) -> None:
    groups = [candidate("features.0", [1.0, 2]), candidate("b", [3.0, 4, 5, 6])]
    with pytest.raises(InvalidInput, match=r"All 2 channels of features\.0 would be removed"):
        rule(scope, max_ratio=1).choose(groups, 1.0 if scope == "uniform" else 0.4)
