"""The widths that a group may have."""

import pytest

from tests.plugins.zoo_torch.samples import fresh_model
from zoo_sdk.errors import InvalidInput
from zoo_torch.autoslim.widths import DETAILS_KEY, SlimmableFacts

FACTS = SlimmableFacts(channel_bins=12, min_bins=2, round_to=1, train_split="train", held_out=0.1)


def test_the_widths_are_twelfths_from_two_to_all() -> None:
    assert FACTS.options(48) == (8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48)


def test_widths_are_rounded_to_the_nearest_multiple_and_the_full_width_stays() -> None:
    rounded = FACTS.model_copy(update={"round_to": 8})
    assert rounded.options(48) == (8, 16, 24, 32, 40, 48)
    assert rounded.options(12) == (8, 12)
    assert rounded.options(4) == (4,)


def test_a_coarser_search_keeps_the_narrowest_width() -> None:
    assert FACTS.options(48, max_bins=3) == (8, 16, 32, 48)
    assert FACTS.options(48, max_bins=64) == FACTS.options(48)


def test_every_width_is_between_one_and_all_for_any_number_of_channels() -> None:
    for channels in range(1, 200):
        for round_to in (1, 3, 8):
            options = FACTS.model_copy(update={"round_to": round_to}).options(channels)
            assert options[-1] == channels
            assert options[0] >= 1
            assert list(options) == sorted(set(options))


def test_what_is_no_supernet_is_refused(tmp_path) -> None:
    with pytest.raises(InvalidInput, match="not a slimmable supernet"):
        SlimmableFacts.of(fresh_model(tmp_path / "plain"))


def test_the_facts_are_read_from_the_details(tmp_path) -> None:
    plain = fresh_model(tmp_path / "plain")
    artifact = plain.artifact.model_copy(update={"details": {DETAILS_KEY: FACTS.model_dump()}})
    assert SlimmableFacts.of(plain.model_copy(update={"artifact": artifact})) == FACTS
