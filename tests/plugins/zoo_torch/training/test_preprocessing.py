"""How pictures become inputs is a field of the artifact: asked for in training, honoured by whatever comes after."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.plugins.zoo_torch.samples import PREPROCESSING, Outcome, fresh_model, perform
from tests.plugins.zoo_torch.training.conftest import Train
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput
from zoo_torch.networks.weights import load_weights
from zoo_torch.training.data import settle_preprocessing
from zoo_torch.training.params import DataParams
from zoo_vision.datasets import ImageSplit, open_split
from zoo_vision.preprocessing import native_preprocessing


def made(outcome: Outcome) -> Preprocessing:
    found = outcome.context.artifacts["model"][0].preprocessing
    assert found is not None
    return found


@pytest.fixture(scope="module")
def split(digits: InputItem) -> ImageSplit:
    return open_split(digits, "train")


def settled(split: ImageSplit, inherited: Preprocessing | None = None, **given: Any) -> Preprocessing:
    return settle_preprocessing(split, DataParams.model_validate(given), inherited)


def test_without_any_wish_it_follows_from_the_pictures(split: ImageSplit) -> None:
    assert settled(split) == native_preprocessing(split)
    assert settled(split, PREPROCESSING) == PREPROCESSING


def test_raw_pixels_are_taken_as_they_are(split: ImageSplit) -> None:
    raw = settled(split, input_scale=1, mean=[0], std=[1])
    assert (raw.scale, raw.mean, raw.std) == (1, (0,), (1,))
    measured = settled(split, input_scale=1)
    assert measured.mean[0] == pytest.approx(255 * native_preprocessing(split).mean[0], abs=0.05)


def test_adlik_s_normalisation_is_written_as_its_figures_are(split: ImageSplit) -> None:
    adlik = {"input_scale": 1, "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
    colour = PREPROCESSING.model_copy(update={"channels": 3})
    found = settled(split, colour, **adlik, resize=12)
    assert (found.mean[1], found.std[2], found.scale, found.resize) == (116.28, 57.375, 1, 12)


def test_a_resize_may_exceed_the_crop(split: ImageSplit) -> None:
    found = settled(split, resize=16, image_size=14, interpolation="bicubic")
    assert (found.resize, found.crop, found.interpolation) == (16, (14, 14), "bicubic")
    assert settled(split, image_size=14).resize == 14


def test_one_wish_leaves_the_rest_of_what_is_inherited(split: ImageSplit) -> None:
    inherited = Preprocessing(channels=1, crop=(8, 8), mean=(0.25,), std=(0.5,), label_offset=1)
    found = settled(split, inherited, image_size=12)
    assert found == inherited.model_copy(update={"crop": (12, 12), "resize": 12})
    assert settled(split, inherited, label_offset=0).label_offset == 0


def test_another_scale_measures_the_mean_anew_instead_of_mixing_units(split: ImageSplit) -> None:
    inherited = Preprocessing(channels=1, crop=(8, 8), mean=(0.25,), std=(0.5,))
    found = settled(split, inherited, input_scale=1)
    assert found.mean[0] > 10
    assert settled(split, inherited, input_scale=1, mean=[3], std=[4]).mean == (3,)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"mean": [1, 2]}, "mean must have 1 or 1"),
        ({"resize": 4}, "resize"),
        ({"resize": 9, "image_size": 10}, "resize"),
    ],
)
def test_what_does_not_fit_together_is_refused(split: ImageSplit, given: dict[str, Any], reason: str) -> None:
    with pytest.raises((InvalidInput, ValueError), match=reason):
        settled(split, PREPROCESSING, **given)


def test_a_training_with_a_background_class_is_evaluated_and_exported_with_it(
    train: Train, digits: InputItem, tmp_path: Path
) -> None:
    wishes = {"label_offset": 1, "input_scale": 1, "mean": [8], "std": [64], "learning_rate": 0.2}
    outcome = train(epochs=8, limit_samples=None, batch_size=32, limit_test_samples=None, **wishes)
    assert (made(outcome).label_offset, made(outcome).scale, made(outcome).mean) == (1, 1, (8,))
    assert load_file(outcome.model)["classifier.weight"].shape[0] == 11
    assert outcome.measured("top1") > 85
    ports = {"model": outcome.item, "data": digits}
    evaluated = perform("torch.evaluate", tmp_path / "evaluated", ports)
    assert evaluated.measured("top1") == outcome.measured("top1")
    exported = perform("torch.export_onnx", tmp_path / "exported", ports, parity_samples=4)
    assert made(exported) == made(outcome)
    # By hand: raw pixels, minus 8, over 64; the answer counts from the background class.
    split = open_split(digits, "test")
    inputs = ((split.images.astype(np.float32) - 8) / 64)[:, None]
    session = onnxruntime.InferenceSession(exported.model, providers=["CPUExecutionProvider"])
    answers = session.run(None, {"input": inputs})[0].argmax(axis=1) - 1
    assert 100 * (answers == split.labels).mean() == pytest.approx(outcome.measured("top1"))


def test_a_larger_resize_than_the_crop_is_seen_in_training_and_after(
    train: Train, digits: InputItem, tmp_path: Path
) -> None:
    wishes = {"resize": 12, "image_size": 10, "interpolation": "bicubic"}
    outcome = train(epochs=1, limit_test_samples=None, **wishes)
    assert outcome.context.artifacts["model"][0].signature.inputs[0].shape == (None, 1, 10, 10)  # type: ignore[union-attr]
    evaluated = perform("torch.evaluate", tmp_path / "evaluated", {"model": outcome.item, "data": digits})
    assert evaluated.measured("top1") == outcome.measured("top1")
    # By hand: Pillow's bicubic to 12 x 12, the centre of 10 x 10, the mean and the deviation of the artifact.
    split, found = open_split(digits, "test"), made(outcome)
    large = [np.asarray(Image.fromarray(one).resize((12, 12), Image.Resampling.BICUBIC)) for one in split.images]
    centre = np.stack(large)[:, None, 1:11, 1:11].astype(np.float32) * np.float32(found.scale)
    network = load_weights(outcome.item).build().eval()
    with torch.inference_mode():
        answers = network(torch.from_numpy((centre - found.mean[0]) / found.std[0])).argmax(dim=1).numpy()
    assert 100 * (answers == split.labels).mean() == pytest.approx(outcome.measured("top1"), abs=0.5)


def test_a_teacher_with_a_background_class_and_raw_input_teaches_a_student_without(
    train: Train, digits: InputItem, tmp_path: Path
) -> None:
    wishes = {"label_offset": 1, "input_scale": 1, "mean": [8], "std": [64], "learning_rate": 0.2}
    teacher = train("teacher", epochs=8, limit_samples=None, batch_size=32, **wishes)
    ports = {"student": fresh_model(tmp_path / "student"), "teacher": teacher.item, "data": digits}
    # With all the weight on the teacher, a student that learns proves that its outputs and its eyes were understood.
    outcome = perform(
        "torch.distill", tmp_path / "out", ports, epochs=8, batch_size=32, learning_rate=0.1, kd_weight=1.0
    )
    assert made(outcome).label_offset == 0
    assert outcome.measured("top1") > 80


def test_weights_with_a_background_class_go_on_without_it(train: Train) -> None:
    start = train("start", label_offset=1, epochs=3, limit_samples=None)
    outcome = train("out", init=start.item, label_offset=0, classifier="shift", epochs=1, learning_rate=1e-9)
    assert load_file(outcome.model)["classifier.weight"].shape[0] == 10
    assert outcome.measured("top1") == pytest.approx(start.measured("top1"), abs=15)
    assert "made anew" not in outcome.lines
    fresh = train("fresh", init=start.item, label_offset=0, epochs=1, learning_rate=1e-9)
    assert fresh.measured("top1") < outcome.measured("top1") - 20
    assert "made anew" in fresh.lines
