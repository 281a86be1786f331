"""When a converted model counts as the same, and what the error says when it does not."""

import numpy as np
import pytest

from zoo_sdk.errors import Cancelled, OperationError, ParityFailed
from zoo_sdk.vocabulary import FailureCause
from zoo_vision.bisection import WorstLayer
from zoo_vision.parity import OutputPart, check_outputs, check_parity, tolerance_for, worst_sample

WORST = WorstLayer("depth", "Conv", error=0.3, error_before=1e-7, position=4, layers=7, runs=2)
REFERENCE, WRONG = np.eye(3), np.eye(3) + np.array([[0, 0, 0], [0, 0, 0.9], [0.1, 0, 0]])


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


def test_a_failure_names_the_layer_where_it_begins_on_the_worst_sample() -> None:
    asked = []

    def locate(sample: int) -> WorstLayer:
        asked.append(sample)
        return WORST

    told = r"begins at 'depth' \(Conv, 4 of 7 layers\): relative error 0.3 there, 1e-07 before it"
    with pytest.raises(ParityFailed, match=told) as caught:
        check_parity(REFERENCE, WRONG, max_abs=0.5, locate=locate)
    assert asked == [1]
    assert caught.value.facts["worst_layer"]["name"] == "depth"
    assert caught.value.facts["max_abs_diff"] == 0.9


def test_nothing_is_searched_while_the_outputs_agree() -> None:
    check_parity(REFERENCE, REFERENCE, max_abs=0.5, locate=lambda _: pytest.fail("was asked"))


def test_a_search_that_fails_leaves_the_figures_and_says_why() -> None:
    def locate(_: int) -> WorstLayer:
        raise OperationError("no such runtime.")

    with pytest.raises(ParityFailed, match=r"largest difference 0.9 .*The layer was not found: no such runtime\."):
        check_parity(REFERENCE, WRONG, max_abs=0.5, locate=locate)
    with pytest.raises(ParityFailed, match="Nothing inside the models can be compared"):
        check_parity(REFERENCE, WRONG, max_abs=0.5, locate=lambda _: None)


def test_a_cancelled_search_is_cancelled() -> None:
    def locate(_: int) -> WorstLayer:
        raise Cancelled("The job was cancelled.")

    with pytest.raises(Cancelled):
        check_parity(REFERENCE, WRONG, max_abs=0.5, locate=locate)


def test_outputs_that_are_not_finite_are_searched_too_unless_the_source_gives_them() -> None:
    broken = np.where(WRONG == 0.9, np.nan, WRONG)
    with pytest.raises(ParityFailed, match=r"not a finite number, where its source gives one\. The difference begins"):
        check_parity(REFERENCE, broken, max_abs=None, locate=lambda _: WORST)
    with pytest.raises(ParityFailed, match="The source gave an output that is not a finite number"):
        check_parity(broken, REFERENCE, max_abs=None, locate=lambda _: pytest.fail("was asked"))
    assert worst_sample(REFERENCE, broken) == 1


def test_the_tolerance_grows_with_the_outputs_and_with_less_precision() -> None:
    assert tolerance_for("fp32", np.array([[0.5]])) == pytest.approx(1e-4)
    assert tolerance_for("fp32", np.array([[-20.0]])) == pytest.approx(2e-3)
    assert tolerance_for("fp16", np.array([[20.0]])) == pytest.approx(0.2)
    with pytest.raises(ParityFailed, match="The source gave"):
        tolerance_for("fp32", np.array([[np.inf]]))


PARTS = (OutputPart("large", 2), OutputPart("small", 3))
SEVERAL = np.hstack([np.full((4, 2), 200.0), np.full((4, 3), 0.5)])


def off(sample: int, column: int, by: float) -> np.ndarray:
    changed = SEVERAL.copy()
    changed[sample, column] += by
    return changed


def test_each_of_several_outputs_is_judged_by_its_own_tolerance_and_none_by_its_top_class() -> None:
    figures = check_outputs(SEVERAL, off(1, 0, 0.015), PARTS, precision="fp32")
    assert [(one.name, round(one.max_abs_diff, 6)) for one in figures.outputs] == [("large", 0.015), ("small", 0)]
    assert [one.allowed_max_abs_diff for one in figures.outputs] == pytest.approx([0.02, 1e-4])
    assert (figures.agreement_top1, figures.required_agreement_top1) == (None, None)
    assert figures.max_abs_diff == pytest.approx(0.015)
    assert figures.mean_abs_diff == pytest.approx(0.015 / 20)
    with pytest.raises(ParityFailed, match=r"1 of the new model's 2 outputs .* 'small': largest difference 0.015"):
        check_outputs(SEVERAL, off(1, 3, 0.015), PARTS, precision="fp32")


def test_a_failure_asks_for_the_layer_behind_the_output_that_is_furthest_off() -> None:
    asked = []

    def locate(sample: int, output: int) -> WorstLayer:
        asked.append((sample, output))
        return WORST

    wrong = off(2, 4, 0.015) + off(1, 0, 0.03) - SEVERAL
    with pytest.raises(ParityFailed, match=r"2 of the new model's 2 outputs .* begins at 'depth'") as caught:
        check_outputs(SEVERAL, wrong, PARTS, precision="fp32", locate=locate)
    assert asked == [(2, 1)]
    assert [one["name"] for one in caught.value.facts["outputs"]] == ["large", "small"]
    with pytest.raises(ParityFailed, match=r"'small': The new model gave an output that is not a finite number"):
        check_outputs(SEVERAL, off(3, 2, np.inf), PARTS, precision="fp32", locate=locate)
    assert asked[1:] == [(3, 1)]


def test_a_given_limit_holds_for_every_output() -> None:
    assert check_outputs(SEVERAL, off(0, 3, 0.2), PARTS, precision="fp32", max_abs=0.3).max_abs_diff == pytest.approx(
        0.2
    )
    with pytest.raises(ParityFailed, match=r"allowed 0.1\)"):
        check_outputs(SEVERAL, off(0, 0, 0.2), PARTS, precision="fp32", max_abs=0.1)
