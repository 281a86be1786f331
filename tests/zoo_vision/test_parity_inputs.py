"""Inputs to compare models on: the same each time, and each of them can be taken out."""

from pathlib import Path

import numpy as np
import pytest

from tests.zoo_vision.samples import PREPROCESSING, npz_digits
from zoo_vision.datasets import open_split
from zoo_vision.parity_inputs import (
    ParityInputs,
    outputs_over,
    parity_inputs_of,
    random_parity_inputs,
    uniform_parity_inputs,
)


@pytest.fixture(params=["random", "uniform", "data"])
def chosen(request: pytest.FixtureRequest, tmp_path: Path) -> ParityInputs:
    if request.param == "random":
        return random_parity_inputs(PREPROCESSING, 70, seed=3)
    if request.param == "uniform":
        return uniform_parity_inputs((1, 4, 6), 70, seed=3)
    return parity_inputs_of(open_split(npz_digits(tmp_path), "test"), PREPROCESSING, 70, seed=3)


def test_they_are_the_same_each_time_and_bounded_in_a_batch(chosen: ParityInputs) -> None:
    first, second = (list(chosen.batches()) for _ in range(2))
    assert [len(batch) for batch in first] == [32, 32, 6]
    assert all(np.array_equal(one, two) for one, two in zip(first, second, strict=True))


def test_one_sample_is_the_input_at_its_position(chosen: ParityInputs) -> None:
    everything = np.concatenate(list(chosen.batches()))
    for index in (0, 31, 32, 69):
        assert np.array_equal(chosen.sample(index), everything[index : index + 1])


def test_they_say_where_they_come_from(tmp_path: Path) -> None:
    assert random_parity_inputs(PREPROCESSING, 1, seed=0).dataset_port is None
    real = parity_inputs_of(open_split(npz_digits(tmp_path), "test"), PREPROCESSING, 1, seed=0)
    assert (real.dataset_port, real.split) == ("data", "test")


def test_outputs_are_collected_in_portions_and_between_them_the_work_may_stop(chosen: ParityInputs) -> None:
    sizes, beats = [], []

    def infer(inputs: np.ndarray) -> np.ndarray:
        sizes.append(len(inputs))
        return inputs.reshape(len(inputs), -1)[:, :3]

    found = outputs_over(infer, chosen.batches(), largest=20, before_batch=lambda: beats.append(1))
    assert found.shape == (70, 3)
    assert sizes == [20, 12, 20, 12, 6]
    assert len(beats) == 3
