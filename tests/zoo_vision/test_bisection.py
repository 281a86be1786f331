"""The layer at which two models part is found in few runs, whatever the error is like."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from zoo_vision.bisection import Layer, WorstLayer, find_worst_layer, relative_error

COUNT = 300
LAYERS = [Layer(f"layer{number}", "Conv") for number in range(COUNT)]
OUTPUT = Layer("scores", "Gemm")
Errors = dict[int, float]


class Chain:
    """Values inside a model of 300 layers; ``wrong`` adds an error from that layer on."""

    def __init__(self, wrong: int | None = None, error: float = 0.5, hidden: frozenset[str] = frozenset()) -> None:
        self.wrong, self.error, self.hidden = wrong, error, hidden
        self.asked: list[str] = []
        self.runs = 0

    def __call__(self, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        self.asked += names
        self.runs += 1
        return {name: self.value(int(name.removeprefix("layer"))) for name in names if name not in self.hidden}

    def value(self, number: int) -> NDArray[np.float64]:
        right = np.full(4, 1.0 + number)
        return right if self.wrong is None or number < self.wrong else right * (1 + self.error)


def worst(candidate: Chain, *, error: float = 0.5, source: Chain | None = None) -> WorstLayer | None:
    return find_worst_layer(LAYERS, source or Chain(), candidate, output=OUTPUT, output_error=error)


@pytest.mark.parametrize("wrong", [0, 1, 7, 150, 298, 299])
def test_the_first_wrong_layer_is_found_in_a_few_runs(wrong: int) -> None:
    candidate = Chain(wrong)
    found = worst(candidate)
    assert found is not None
    assert (found.name, found.kind, found.position, found.layers) == (f"layer{wrong}", "Conv", wrong + 1, COUNT + 1)
    assert found.error == pytest.approx(0.5)
    assert found.error_before == 0
    assert found.runs == candidate.runs <= 4
    assert len(candidate.asked) <= 32


def test_an_error_that_begins_after_all_layers_is_the_outputs_own() -> None:
    found = worst(Chain())
    assert found is not None
    assert (found.name, found.kind, found.error, found.error_before) == ("scores", "Gemm", 0.5, 0)


def test_small_differences_before_the_fault_do_not_count() -> None:
    candidate = Chain(120)
    value = candidate.value
    candidate.value = lambda number: value(number) * (1 + 1e-3 * number / COUNT)  # type: ignore[method-assign]
    found = worst(candidate)
    assert found is not None
    assert found.name == "layer120"
    assert 0 < found.error_before < 1e-3


def test_a_value_that_is_not_finite_is_wrong_and_told_without_a_number() -> None:
    found = worst(Chain(42, error=float("nan")), error=float("inf"))
    assert found is not None
    assert found.name == "layer42"
    assert found.facts["error"] is None


def test_layers_that_only_one_model_has_are_passed_over() -> None:
    every_second = frozenset(f"layer{number}" for number in range(0, COUNT, 2))
    found = worst(Chain(100, hidden=every_second))
    assert found is not None
    assert found.name == "layer101"


def test_nothing_is_said_where_no_value_can_be_compared() -> None:
    assert worst(Chain(5, hidden=frozenset(layer.name for layer in LAYERS))) is None
    assert find_worst_layer([], Chain(), Chain(), output=OUTPUT, output_error=1) is None
    assert find_worst_layer(
        LAYERS, Chain(), lambda names: {name: np.zeros(3) for name in names}, output=OUTPUT, output_error=1
    ) is None  # fmt: skip


def test_the_relative_error_is_the_length_of_the_difference_over_that_of_the_source() -> None:
    assert relative_error(np.array([3.0, 4.0]), np.array([3.0, 4.5])) == pytest.approx(0.1)
    assert relative_error(np.zeros(2), np.zeros(2)) == 0
    assert relative_error(np.array([1.0]), np.array([np.nan])) == float("inf")
    assert relative_error(np.float16([60000.0]), np.float16([np.inf])) == float("inf")
