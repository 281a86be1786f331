"""Top-1, top-5 and loss against hand-made cases, and outputs that must not be scored."""

import numpy as np
import pytest
from sklearn.metrics import log_loss, top_k_accuracy_score

from zoo_sdk.errors import InvalidInput, OperationError
from zoo_vision.scoring import ClassificationScore


def test_scores_over_batches_equal_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(500, 10)).astype(np.float32)
    labels = random.integers(0, 10, 500)
    score = ClassificationScore()
    for start in range(0, 500, 64):
        score.update(logits[start : start + 64], labels[start : start + 64])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = list(range(10))
    assert score.samples == 500
    assert score.correct == int((logits.argmax(axis=1) == labels).sum())
    assert score.top1 == pytest.approx(100 * top_k_accuracy_score(labels, logits, k=1, labels=names))
    assert score.top5 == pytest.approx(100 * top_k_accuracy_score(labels, logits, k=5, labels=names))
    assert score.loss == pytest.approx(log_loss(labels, probabilities, labels=names), rel=1e-5)


def test_the_fifth_place_counts_for_top5_and_the_sixth_does_not() -> None:
    score = ClassificationScore()
    score.update(np.array([[6.0, 5, 4, 3, 2, 1], [6.0, 5, 4, 3, 2, 1]]), np.array([4, 5]))
    assert score.top5 == 50
    assert score.top1 == 0


def test_there_is_no_top5_under_six_classes() -> None:
    score = ClassificationScore()
    score.update(np.eye(5), np.arange(5))
    assert score.top5 is None
    assert score.top1 == 100


def test_equal_outputs_count_as_argmax_places_them() -> None:
    score = ClassificationScore()
    score.update(np.zeros((2, 6)), np.array([0, 3]))
    assert score.correct == 1


def test_a_model_that_ends_in_a_softmax_is_not_given_a_second_one() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]])
    score = ClassificationScore()
    score.update(probabilities, np.array([0, 2]))
    assert score.output_kind == "probabilities"
    assert score.loss == pytest.approx(-(np.log(0.7) + np.log(0.25)) / 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_output_that_is_no_number_is_an_error_and_not_a_hit(bad: float) -> None:
    logits = np.zeros((1, 6))
    logits[0, 2] = bad
    with pytest.raises(OperationError, match="not a finite number"):
        ClassificationScore().update(logits, np.array([2]))


def test_a_label_beyond_the_outputs_is_refused() -> None:
    with pytest.raises(InvalidInput, match="A label is 6, but the model has 6 outputs"):
        ClassificationScore().update(np.zeros((1, 6)), np.array([6]))


def test_no_sample_is_an_error_and_not_a_score() -> None:
    with pytest.raises(OperationError, match="Nothing was scored"):
        _ = ClassificationScore().top1
