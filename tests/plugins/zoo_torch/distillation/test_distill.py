"""``torch.distill`` on real digits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.plugins.zoo_torch.samples import PREPROCESSING, SMALL, Outcome, digest, fresh_model, npz_digits, perform
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.conformance import folder_digests
from zoo_sdk.context import InputItem
from zoo_sdk.errors import Cancelled, InvalidInput
from zoo_torch.distillation import operation as distill_module
from zoo_torch.distillation.teachers import Teachers, load_teacher
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.weights import METADATA_KEY
from zoo_vision.datasets import open_split

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return npz_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, data: InputItem) -> InputItem:
    outcome = perform(
        "torch.train",
        tmp_path_factory.mktemp("teacher"),
        {"data": data},
        architecture="zoo:conv_small",
        **{**SMALL, "epochs": 6, "limit_samples": None, "batch_size": 32},
    )
    assert outcome.measured("top1") > 90
    return outcome.item


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return fresh_model(tmp_path_factory.mktemp("base") / "student", seed=3)


def distill(
    folder: Path, data: InputItem, student: InputItem, teachers: InputItem | Sequence[InputItem], **changes: Any
) -> Outcome:
    params = {**SMALL, **changes}
    context = {name: params.pop(name) for name in ("seed", "cancelled") if name in params}
    ports = {"data": data, "student": student, "teacher": teachers}
    return perform("torch.distill", folder, ports, **context, **params)


def test_a_student_learns_from_its_teacher_alone(
    tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem
) -> None:
    # kd_weight 1: the labels are not used at all.
    outcome = distill(tmp_path, data, student, teacher, kd_weight=1, epochs=6, limit_samples=None, batch_size=32)
    assert outcome.measured("top1") > 80


def test_a_teacher_is_never_changed(tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem) -> None:
    before = folder_digests(teacher.folder), folder_digests(student.folder)
    state = load_teacher(teacher, open_split(data, "train"), PREPROCESSING, CPU).network.state_dict()
    distill(tmp_path, data, student, teacher)
    assert (folder_digests(teacher.folder), folder_digests(student.folder)) == before
    after = load_teacher(teacher, open_split(data, "train"), PREPROCESSING, CPU)
    torch.testing.assert_close(after.network.state_dict(), state)
    assert not after.network.training
    assert not any(parameter.requires_grad for parameter in after.network.parameters())


def test_a_teacher_s_running_statistics_stay_as_they_are(data: InputItem, teacher: InputItem) -> None:
    split = open_split(data, "train")
    member = load_teacher(teacher, split, PREPROCESSING, CPU)
    before = {key: value.clone() for key, value in member.network.state_dict().items()}
    answer = Teachers((member,), 2.0, "mean_logits", CPU).answer(split.images[:32])
    assert not answer.requires_grad
    torch.testing.assert_close(member.network.state_dict(), before, rtol=0, atol=0)


def test_without_kd_weight_it_is_plain_training(tmp_path: Path, data: InputItem, teacher: InputItem) -> None:
    trained = perform("torch.train", tmp_path / "alone", {"data": data}, seed=4, architecture="zoo:conv_tiny", **SMALL)
    distilled = distill(tmp_path / "kd", data, trained.item, teacher, kd_weight=0, seed=4)
    torch.testing.assert_close(load_file(distilled.model), load_file(trained.model))


def test_the_same_seed_gives_the_same_file(
    tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem
) -> None:
    files = [
        digest(distill(tmp_path / name, data, student, teacher, seed=seed).model)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert files[0] == files[1] != files[2]


def test_an_interrupted_distillation_ends_with_the_weights_of_an_undisturbed_one(
    tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem
) -> None:
    whole = distill(tmp_path / "whole", data, student, teacher)
    checkpoint = tmp_path / "broken/checkpoints/checkpoint"
    with pytest.raises(Cancelled):
        distill(tmp_path / "broken", data, student, teacher, cancelled=checkpoint.exists)
    assert digest(distill(tmp_path / "broken", data, student, teacher).model) == digest(whole.model)


def test_answers_that_are_kept_equal_those_asked_for_at_each_step(
    tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = distill(tmp_path / "kept", data, student, teacher)
    monkeypatch.setattr(distill_module, "cache_fits", lambda _samples, _classes: False)
    asked = distill(tmp_path / "asked", data, student, teacher)
    torch.testing.assert_close(load_file(asked.model), load_file(kept.model), rtol=1e-3, atol=1e-4)


def test_the_student_s_weights_count_only_when_asked_for(
    tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem
) -> None:
    still = {"learning_rate": 1e-12, "weight_decay": 0, "epochs": 1}
    name = "features.0.0.weight"
    own = load_file(student.main_file)[name]
    kept = distill(tmp_path / "a", data, student, teacher, initialise="from_student", **still)
    torch.testing.assert_close(load_file(kept.model)[name], own)
    fresh = distill(tmp_path / "b", data, student, teacher, **still)
    assert (load_file(fresh.model)[name] - own).abs().max() > 0.01


def test_several_teachers_answer_by_weight(tmp_path: Path, data: InputItem) -> None:
    split = open_split(data, "train")
    first, second = (
        load_teacher(fresh_model(tmp_path / str(seed), seed=seed, weight=seed), split, PREPROCESSING, CPU)
        for seed in (1, 3)
    )
    pictures = split.images[:16]
    logits = [
        Teachers((member,), 1.0, "mean_probabilities", CPU).answer(pictures).double().exp()
        for member in (first, second)
    ]
    both = Teachers((first, second), 1.0, "mean_probabilities", CPU).answer(pictures).double().exp()
    torch.testing.assert_close(both, (logits[0] + 3 * logits[1]) / 4, rtol=1e-4, atol=1e-6)


def test_a_teacher_sees_raw_pictures_through_its_own_preprocessing(tmp_path: Path, data: InputItem) -> None:
    split = open_split(data, "train")
    other = Preprocessing(channels=1, resize=12, crop=(12, 12), mean=(0.5,), std=(0.5,))
    member = load_teacher(fresh_model(tmp_path / "m", preprocessing=other), split, PREPROCESSING, CPU)
    answer = Teachers((member,), 1.0, "mean_logits", CPU).answer(split.images[:16])
    images, _ = next(split.batches(other, 16))
    with torch.no_grad():
        expected = member.network(torch.from_numpy(images)).log_softmax(dim=1)
    torch.testing.assert_close(answer.clone(), expected, rtol=1e-4, atol=1e-5)


def test_a_teacher_s_background_class_is_left_out(tmp_path: Path, data: InputItem) -> None:
    split = open_split(data, "train")
    shifted = PREPROCESSING.model_copy(update={"label_offset": 1})
    member = load_teacher(fresh_model(tmp_path / "m", classes=11, preprocessing=shifted), split, PREPROCESSING, CPU)
    answer = Teachers((member,), 1.0, "mean_logits", CPU).answer(split.images[:4])
    assert answer.shape == (4, 10)
    np.testing.assert_allclose(answer.exp().sum(dim=1).numpy(), 1, atol=1e-5)


def test_a_teacher_for_other_classes_is_refused_before_training(
    tmp_path: Path, data: InputItem, student: InputItem
) -> None:
    with pytest.raises(InvalidInput, match="knows 7 classes, but the data set has 10"):
        distill(tmp_path / "out", data, student, fresh_model(tmp_path / "teacher", classes=7))
    assert not (tmp_path / "out/outputs/model").exists()


def test_a_student_for_other_classes_is_refused(tmp_path: Path, data: InputItem, teacher: InputItem) -> None:
    with pytest.raises(InvalidInput, match="has 7 outputs, but the data set needs 10"):
        distill(tmp_path / "out", data, fresh_model(tmp_path / "student", classes=7), teacher)


@pytest.mark.parametrize("weights", [(0.0, 0.0), (-1.0, 2.0)])
def test_weights_that_are_no_shares_are_refused(
    tmp_path: Path, data: InputItem, student: InputItem, weights: tuple[float, float]
) -> None:
    teachers = [fresh_model(tmp_path / str(number), weight=weight) for number, weight in enumerate(weights)]
    with pytest.raises(InvalidInput, match="weights"):
        distill(tmp_path / "out", data, student, teachers)


def test_a_teacher_whose_weights_are_not_its_own_is_refused(
    tmp_path: Path, data: InputItem, student: InputItem
) -> None:
    item = fresh_model(tmp_path / "teacher", name="zoo:conv_small")
    wrong = Architecture(name="zoo:conv_tiny", num_classes=10, in_chans=1)
    save_file(load_file(item.main_file), item.main_file, metadata={METADATA_KEY: wrong.model_dump_json()})
    with pytest.raises(InvalidInput, match="do not fit zoo:conv_tiny"):
        distill(tmp_path / "out", data, student, item)
