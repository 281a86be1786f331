"""Figures per class, confusion, calibration and predictions agree with scikit-learn and with the formulas."""

import base64
import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.errors import Conflict, OperationError, UnknownName
from zoo_sdk.messages import MAX_REPORT_BYTES
from zoo_vision import classification, families
from zoo_vision.calibration import BINS, calibration
from zoo_vision.classification import ClassificationMetrics
from zoo_vision.datasets import ArrayPictures, ImageSplit

SAMPLES, CLASSES = 400, 7


def made_split(labels: NDArray[np.int64], classes: int) -> ImageSplit:
    pictures = ArrayPictures(np.zeros((len(labels), 2, 2), dtype=np.uint8))
    return ImageSplit(pictures, labels, tuple(f"class {index}" for index in range(classes)), "test")


def collected(
    outputs: NDArray[Any], labels: NDArray[np.int64], *, offset: int = 0, batch: int = 64
) -> ClassificationMetrics:
    """The metrics after all batches; ``labels`` as the data set numbers them."""
    how = Preprocessing(channels=1, crop=(2, 2), label_offset=offset)
    metrics = ClassificationMetrics(made_split(labels, outputs.shape[1] - offset), how)
    for start in range(0, len(labels), batch):
        metrics.update(outputs[start : start + batch], labels[start : start + batch] + offset)
    return metrics


@pytest.fixture(scope="module")
def sample() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits that are right about half of the time; class 6 never occurs, class 5 is never predicted."""
    random = np.random.default_rng(4)
    labels = random.integers(0, CLASSES - 1, SAMPLES)
    outputs = random.normal(size=(SAMPLES, CLASSES))
    outputs[np.arange(SAMPLES), labels] += 1.2
    outputs[:, 5] = -50
    return outputs, labels


def values_of(metrics: ClassificationMetrics) -> dict[str, float]:
    return {finding.name: finding.value for finding in metrics.findings()}


def test_precision_recall_and_f1_of_each_class_are_those_of_scikit_learn(sample: Any) -> None:
    outputs, labels = sample
    metrics = collected(outputs, labels)
    figures = metrics.figures()
    wanted = precision_recall_fscore_support(labels, outputs.argmax(1), labels=range(CLASSES), zero_division=np.nan)
    for name, column in zip(("precision", "recall", "f1", "support"), wanted, strict=True):
        np.testing.assert_allclose(getattr(figures, name), column, err_msg=name)
    assert np.isnan(figures.precision[5])
    assert np.isnan(figures.recall[6])
    assert values_of(metrics)["f1_macro"] == pytest.approx(100 * np.nanmean(wanted[2]))


def test_the_confusion_holds_every_pair_that_occurs_with_its_count(sample: Any) -> None:
    outputs, labels = sample
    matrix = np.zeros((CLASSES, CLASSES), dtype=int)
    for truth, predicted, count in collected(outputs, labels).report()["confusion"]:
        matrix[truth, predicted] = count
    np.testing.assert_array_equal(matrix, confusion_matrix(labels, outputs.argmax(1), labels=range(CLASSES)))


def test_figures_do_not_depend_on_the_size_of_the_batches(sample: Any) -> None:
    outputs, labels = sample
    assert collected(outputs, labels, batch=400).report() == collected(outputs, labels, batch=7).report()


def test_the_calibration_error_is_the_mean_gap_between_accuracy_and_confidence_of_the_bins() -> None:
    confidences = np.array([0.95, 0.95, 0.9, 0.55, 0.5, 1.0, 0.0])
    correct = np.array([True, False, True, True, False, True, False])
    found = calibration(confidences, correct, bins=10)
    # (0.9, 1]: two of three right at a mean of 2.9/3; (0.8, 0.9]: right at .9; (0.5, 0.6]: right at .55;
    # (0.4, 0.5]: wrong at .5; the first one holds 0.
    gaps = {9: abs(2 - 2.9), 8: abs(1 - 0.9), 5: abs(1 - 0.55), 4: 0.5, 0: 0.0}
    assert found.error == pytest.approx(sum(gaps.values()) / 7)
    assert found.largest == pytest.approx(0.5)
    assert [row.samples for row in found.bins] == [1, 0, 0, 0, 1, 1, 0, 0, 1, 3]
    assert found.bins[1].accuracy is None


def test_a_model_that_is_as_right_as_it_is_sure_is_calibrated_and_an_overconfident_one_is_not() -> None:
    random = np.random.default_rng(1)
    confidences = random.uniform(0.3, 1, 200_000)
    honest = random.uniform(size=len(confidences)) < confidences
    boasting = random.uniform(size=len(confidences)) < confidences - 0.2
    assert calibration(confidences, honest).error < 0.01
    assert calibration(confidences, boasting).error == pytest.approx(0.2, abs=0.01)


def test_probabilities_are_taken_as_they_are_and_logits_through_a_softmax(sample: Any) -> None:
    outputs, labels = sample
    exponents = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    from_logits, from_probabilities = collected(outputs, labels), collected(probabilities, labels)
    assert from_probabilities.report()["outputs"] == "probabilities"
    one, other = from_logits.calibration(), from_probabilities.calibration()
    assert one.error == pytest.approx(other.error, abs=1e-6)
    assert len(one.bins) == BINS
    assert sum(row.samples for row in one.bins) == SAMPLES


def decoded(report: dict[str, Any]) -> NDArray[Any]:
    kept = report["predictions"]
    return np.frombuffer(base64.b64decode(kept["data"]), dtype=np.dtype(kept["dtype"]).newbyteorder("<"))


def test_predictions_are_kept_as_class_numbers_of_the_data_set(sample: Any) -> None:
    outputs, labels = sample
    np.testing.assert_array_equal(decoded(collected(outputs, labels).report()), outputs.argmax(1))
    shifted = np.hstack([np.full((SAMPLES, 1), -60.0), outputs])
    shifted[0, 0] = 99
    report = collected(shifted, labels, offset=1).report()
    assert decoded(report)[0] == classification.BACKGROUND_CODE
    np.testing.assert_array_equal(decoded(report)[1:], outputs.argmax(1)[1:])
    assert report["per_class"][0]["name"] == classification.BACKGROUND
    assert report["per_class"][1]["name"] == "class 0"


def test_agreement_counts_the_same_class_of_the_data_set_across_label_offsets(sample: Any) -> None:
    outputs, labels = sample
    plain = collected(outputs, labels)
    shifted = collected(np.hstack([np.full((SAMPLES, 1), -60.0), outputs]), labels, offset=1)
    found = plain.agreement(shifted)
    assert found is not None
    assert (found.value, found.details["same"]) == (100, SAMPLES)
    changed = outputs.copy()
    changed[:40] = np.roll(outputs[:40], 1, axis=1)
    other = plain.agreement(collected(changed, labels))
    assert other is not None
    assert other.value == pytest.approx(90)


def test_models_over_different_samples_are_not_compared(sample: Any) -> None:
    outputs, labels = sample
    with pytest.raises(OperationError, match="same samples"):
        collected(outputs, labels).agreement(collected(outputs[:100], labels[:100]))


def test_a_report_of_many_classes_is_bounded_and_says_what_it_leaves_out() -> None:
    random = np.random.default_rng(2)
    classes, samples = 3000, 60_000
    labels = random.integers(0, classes, samples)
    predicted = np.where(random.uniform(size=samples) < 0.5, labels, random.integers(0, classes, samples))
    how = Preprocessing(channels=1, crop=(2, 2))
    metrics = ClassificationMetrics(made_split(labels, classes), how)
    for start in range(0, samples, 1000):
        part = slice(start, start + 1000)
        outputs = np.zeros((1000, classes), dtype=np.float32)
        outputs[np.arange(1000), predicted[part]] = 9
        metrics.update(outputs, labels[part])
    report = metrics.report()
    assert len(report["per_class"]) == classification.MAX_CLASSES_LISTED
    assert report["per_class_left_out"] == classes - classification.MAX_CLASSES_LISTED
    worst_left_out = max(row["f1"] for row in report["per_class"])
    assert np.sum(metrics.figures().f1 < worst_left_out - 1e-4) <= classification.MAX_CLASSES_LISTED
    assert len(report["confusion"]) == classification.MAX_CONFUSIONS_LISTED
    assert report["confusion_left_out"] == len(metrics.confusion()) - classification.MAX_CONFUSIONS_LISTED
    assert len(json.dumps(report)) < MAX_REPORT_BYTES


def test_predictions_of_too_many_samples_are_not_kept(monkeypatch: pytest.MonkeyPatch, sample: Any) -> None:
    monkeypatch.setattr(classification, "MAX_PREDICTIONS_KEPT", SAMPLES - 1)
    assert collected(*sample).report()["predictions"] is None


def test_an_evaluation_of_nothing_is_an_error() -> None:
    with pytest.raises(OperationError, match="Nothing was scored"):
        collected(np.zeros((0, 3)), np.zeros(0, dtype=np.int64)).findings()


def test_a_task_without_metrics_is_refused_and_a_plugin_may_register_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "_FAMILIES", dict(families._FAMILIES))
    with pytest.raises(UnknownName, match="image-classification"):
        families.family_for("object-detection")
    families.register_family("object-detection", ClassificationMetrics)
    families.register_family("object-detection", ClassificationMetrics)
    assert families.family_for("object-detection") is ClassificationMetrics
    with pytest.raises(Conflict, match="already"):
        families.register_family("image-classification", made_split)  # type: ignore[arg-type]
