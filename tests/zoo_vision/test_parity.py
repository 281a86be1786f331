"""When a converted model counts as the same, and what the error says when it does not."""

import numpy as np
import pytest

from zoo_sdk.errors import ParityFailed
from zoo_sdk.vocabulary import FailureCause
from zoo_vision.parity import check_parity


def test_figures_are_those_of_the_differences() -> None:
    reference = np.array([[1.0, 0.0], [0.0, 1.0]])
    figures = check_parity(reference, reference + np.array([[0.25, 0], [0, 0]]), max_abs=0.3)
    assert figures.max_abs_diff == 0.25
    assert figures.mean_abs_diff == 0.0625
    assert figures.agreement_top1 == 100
    assert figures.samples == 2


def test_a_difference_beyond_the_limit_fails_with_the_figures() -> None:
    with pytest.raises(ParityFailed, match=r"largest difference 0.5 \(allowed 0.4\)") as caught:
        check_parity(np.array([[1.0, 0.0]]), np.array([[1.5, 0.0]]), max_abs=0.4)
    assert caught.value.cause is FailureCause.PARITY_FAILED
    assert caught.value.facts["max_abs_diff"] == 0.5
    assert caught.value.facts["samples"] == 1


def test_too_little_agreement_fails_even_without_a_limit_of_the_difference() -> None:
    reference = np.eye(4)
    candidate = reference[[1, 1, 2, 3]]
    with pytest.raises(ParityFailed, match=r"same top class 75.00 % \(required 90 %\)"):
        check_parity(reference, candidate, max_abs=None, min_agreement=90)
    assert check_parity(reference, candidate, max_abs=None, min_agreement=75).agreement_top1 == 75


@pytest.mark.parametrize("candidate", [np.zeros((2, 3)), np.zeros((0, 2)), np.full((2, 2), np.nan)])
def test_outputs_that_cannot_be_compared_fail(candidate: np.ndarray) -> None:
    with pytest.raises(ParityFailed):
        check_parity(np.zeros((2, 2)), candidate, max_abs=1.0)
