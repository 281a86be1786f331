"""The arithmetic of the benches: medians, ratios, ranks, goals and how numbers are written."""

import math

import pytest

from bench.figures import Figure, Goal, Sample, number_text, percentile, ratios


def test_a_figure_of_repeats_is_their_median_with_the_smallest_and_the_largest() -> None:
    figure = Figure.of("speed", [3.0, 1.0, 10.0], "MiB/s")
    assert (figure.value, figure.low, figure.high) == (3.0, 1.0, 10.0)
    assert figure.text == "3 MiB/s"
    assert figure.range_text == "1 to 10"


@pytest.mark.parametrize(
    ("relation", "value", "verdict"),
    [
        ("at least", 0.7, "met"),
        ("at least", 0.69, "missed"),
        ("at most", 0.7, "met"),
        ("at most", 0.71, "missed"),
        ("above", 0.7, "missed"),
        ("above", 0.71, "met"),
        ("at least", math.nan, "missed"),
    ],
)
def test_a_goal_is_met_or_missed(relation: str, value: float, verdict: str) -> None:
    goal = Goal.model_validate({"relation": relation, "bound": 0.7})
    assert Figure(name="x", value=value, goal=goal).verdict == verdict


def test_a_figure_without_a_goal_has_no_verdict() -> None:
    assert Figure(name="x", value=1).verdict == ""


def test_ratios_are_of_the_same_round() -> None:
    assert ratios([1.0, 20.0], [2.0, 10.0]) == [0.5, 2.0]
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_the_percentile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(30, 0, -1)]
    assert percentile(values, 50) == 15
    assert percentile(values, 95) == 29
    assert percentile(values, 100) == 30
    assert percentile([7.0], 95) == 7


def test_the_standard_deviation_is_that_of_a_sample() -> None:
    sample = Sample(values=(1.0, 2.0, 3.0))
    assert (sample.mean, sample.deviation) == (2.0, 1.0)
    assert Sample(values=(5.0,)).deviation == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3.0, "3"),
        (1234567.0, "1,234,567"),
        (1234.56, "1,235"),
        (91.234, "91.23"),
        (0.123456, "0.1235"),
        (0.00001234, "0.000012"),
        (-2.5, "-2.500"),
        (math.nan, "nan"),
    ],
)
def test_numbers_have_four_significant_digits(value: float, text: str) -> None:
    assert number_text(value) == text
