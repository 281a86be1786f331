"""Taking turns."""

import time

from bench.timing import MIN_RUNS, interleaved_medians, rotated


def test_each_item_is_first_once_in_as_many_turns() -> None:
    turns = [rotated("abc", turn) for turn in range(3)]
    assert turns == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]]


def test_calls_take_turns_in_blocks_and_each_round_has_a_median_of_each() -> None:
    heard: list[str] = []
    found = interleaved_medians(
        {"a": lambda: heard.append("a"), "b": lambda: heard.append("b")}, rounds=2, seconds=0, warmup=1
    )
    block = MIN_RUNS
    assert "".join(heard) == "ab" + "a" * block + "b" * 2 * block + "a" * block
    assert {name: len(values) for name, values in found.items()} == {"a": 2, "b": 2}
    assert all(value >= 0 for values in found.values() for value in values)


def test_by_the_processors_time_waiting_takes_none() -> None:
    found = interleaved_medians({"wait": lambda: time.sleep(0.01)}, rounds=1, seconds=0.01, clock=time.process_time)
    assert found["wait"][0] < 5
    assert interleaved_medians({"wait": lambda: time.sleep(0.01)}, rounds=1, seconds=0.01)["wait"][0] >= 10
