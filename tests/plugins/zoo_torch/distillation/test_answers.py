"""Answers that are kept: once for all jobs, and only for what they are true of."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.plugins.zoo_torch.samples import PREPROCESSING, fresh_model, npz_digits
from zoo_sdk.context import InputItem
from zoo_sdk.discovery import find_operation
from zoo_sdk.errors import Cancelled
from zoo_sdk.execution import LocalContext, Workplace
from zoo_sdk.messages import LogEvent
from zoo_torch.distillation import answers as answers_module
from zoo_torch.distillation.answers import AskedAnswers, KeptAnswers, can_be_kept
from zoo_torch.distillation.params import DistillParams
from zoo_torch.distillation.teachers import Classroom, Teachers, load_teachers
from zoo_torch.training.batches import TrainingBatches, as_inputs
from zoo_torch.training.precision import MixedPrecision
from zoo_vision.datasets import open_split

CPU = torch.device("cpu")
LIMITED = {"limit_samples": 150, "batch_size": 50}
VIEWS = {"augmentation": "flip_crop", "augmentation_views": 2}


class Job:
    """What a job has at hand for its teachers' answers."""

    def __init__(self, folder: Path, teachers: list[InputItem], data: InputItem, seed: int = 0, **params: Any) -> None:
        self.params = DistillParams.model_validate({**LIMITED, **params})
        self.events: list[Any] = []
        self.context = LocalContext(find_operation("torch.distill"), Workplace.under(folder), seed=seed)
        self.context.emit = self.events.append
        split = open_split(data, self.params.train_split)
        members = load_teachers(teachers, Classroom(split, PREPROCESSING, CPU))
        self.teachers = Teachers(members, PREPROCESSING, CPU, MixedPrecision.of(self.params, CPU))
        viewers = [member.preprocessing for member in members]
        self.batches = TrainingBatches(split, self.params, PREPROCESSING, seed, viewers)
        self.kept = KeptAnswers(self.teachers, self.batches, data, self.context)

    def epoch(self, number: int = 0, *, kept: bool = True) -> dict[int, np.ndarray]:
        """Each teacher's logits by the sample's place in the split."""
        source = self.kept if kept else AskedAnswers(self.teachers)
        source.begin(number)
        found = {}
        for batch in self.batches.epoch(number):
            answers = torch.stack(source.logits(batch, as_inputs(batch, PREPROCESSING, CPU)), dim=1)
            found |= dict(zip(self.batches.positions[batch.indices].tolist(), answers.numpy(), strict=True))
        return found

    @property
    def lines(self) -> str:
        return "\n".join(event.message for event in self.events if isinstance(event, LogEvent))

    @property
    def entries(self) -> set[str]:
        return {path.name for path in self.context.shared_cache.iterdir()}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return npz_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> list[InputItem]:
    folder = tmp_path_factory.mktemp("teachers")
    other = PREPROCESSING.model_copy(update={"resize": 12, "crop": (12, 12), "label_offset": 1})
    return [fresh_model(folder / "a", seed=1), fresh_model(folder / "b", seed=2, preprocessing=other, classes=11)]


def same(first: dict[int, np.ndarray], second: dict[int, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.allclose(first[k], second[k], atol=1e-5) for k in first)


@pytest.mark.parametrize("params", [{}, VIEWS])
def test_kept_answers_are_those_that_asking_gives(
    tmp_path: Path, data: InputItem, teachers: list[InputItem], params: dict[str, Any]
) -> None:
    job = Job(tmp_path, teachers, data, **params)
    for epoch in range(3):
        assert same(job.epoch(epoch), job.epoch(epoch, kept=False))
    assert len(job.entries) == (4 if params else 2)


def test_a_later_job_asks_nobody(tmp_path: Path, data: InputItem, teachers: list[InputItem]) -> None:
    first = Job(tmp_path, teachers, data).epoch()
    job = Job(tmp_path, teachers, data, temperature=2, combine="mean_probabilities", epochs=3)
    for member in job.teachers.members:
        member.network.register_forward_hook(lambda *_: pytest.fail("a teacher was asked"))
    second = job.epoch()
    assert all(np.array_equal(first[place], second[place]) for place in first)
    assert job.lines.count("were kept by an earlier job") == 2


def test_another_seed_of_a_whole_split_finds_the_same_answers(
    tmp_path: Path, data: InputItem, teachers: list[InputItem]
) -> None:
    whole = {"limit_samples": None, "batch_size": 100}
    for seed in (1, 2):
        job = Job(tmp_path, teachers[:1], data, seed=seed, **whole, **VIEWS)
        job.epoch()
    assert "were kept by an earlier job" in job.lines


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"limit_samples": 100},
        {"train_split": "test"},
        VIEWS,
        {"mixed_precision": "bf16"},
        {"channels_last": False},
    ],
)
def test_what_answers_depend_on_is_part_of_the_key(
    tmp_path: Path, data: InputItem, teachers: list[InputItem], change: dict[str, Any]
) -> None:
    Job(tmp_path, teachers[:1], data).epoch()
    Job(tmp_path, teachers[:1], data).epoch()
    job = Job(tmp_path, teachers[:1], data)
    assert len(job.entries) == 1
    if change == {"channels_last": False}:
        job = Job(tmp_path, teachers[:1], data, **change)
        object.__setattr__(job.teachers, "channels_last", False)
        job.epoch()
    else:
        Job(tmp_path, teachers[:1], data, **change).epoch()
    assert len(job.entries) == 2


def test_other_weights_or_another_data_set_are_other_entries(
    tmp_path: Path, data: InputItem, teachers: list[InputItem]
) -> None:
    job = Job(tmp_path / "place", teachers[:1], data)
    job.epoch()
    Job(tmp_path / "place", [fresh_model(tmp_path / "other", seed=9)], data).epoch()
    assert len(job.entries) == 2
    changed = npz_digits(tmp_path / "data")
    path = next(path for path in changed.folder.rglob("*") if path.is_file())
    with np.load(path) as archive:
        arrays = {name: archive[name].copy() for name in archive.files}
    next(values for values in arrays.values() if values.ndim == 3)[0, 0, 0] ^= 1
    np.savez(path, **arrays)
    Job(tmp_path / "place", teachers[:1], changed).epoch()
    assert len(job.entries) == 3


def test_a_damaged_entry_is_asked_for_again(tmp_path: Path, data: InputItem, teachers: list[InputItem]) -> None:
    first = Job(tmp_path, teachers[:1], data)
    expected = first.epoch()
    path = next(first.context.shared_cache.iterdir())
    path.write_bytes(path.read_bytes()[:-100])
    again = Job(tmp_path, teachers[:1], data)
    assert same(again.epoch(), expected)
    assert "were kept" not in again.lines


def test_a_cancelled_job_leaves_no_half_of_an_entry(tmp_path: Path, data: InputItem, teachers: list[InputItem]) -> None:
    job = Job(tmp_path, teachers, data)
    job.context.cancelled = lambda: True
    with pytest.raises(Cancelled):
        job.kept.begin(0)
    assert job.entries == set()


def test_where_nothing_can_be_written_the_answers_are_held_in_memory(
    tmp_path: Path, data: InputItem, teachers: list[InputItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Job(tmp_path / "other", teachers[:1], data).epoch()
    job = Job(tmp_path / "place", teachers[:1], data)

    def full(*_: Any) -> memoryview:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(answers_module.SharedCache, "put", full)
    assert same(job.epoch(), expected)
    assert "cannot be kept for later jobs" in job.lines


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, True),
        (VIEWS, True),
        ({"augmentation": "flip"}, False),
        ({"mixup_alpha": 0.2}, False),
        ({"augmentation_policy": "randaugment"}, False),
    ],
)
def test_only_pictures_that_come_again_are_worth_keeping_answers_to(
    tmp_path: Path, data: InputItem, teachers: list[InputItem], params: dict[str, Any], *, expected: bool
) -> None:
    job = Job(tmp_path, teachers, data, **params)
    assert can_be_kept(job.teachers, job.batches, 10, job.context) is expected


def test_answers_that_are_too_many_or_find_no_room_are_asked_for_each_time(
    tmp_path: Path, data: InputItem, teachers: list[InputItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(tmp_path, teachers, data)
    monkeypatch.setattr(
        answers_module.shutil, "disk_usage", lambda _: answers_module.shutil._ntuple_diskusage(10, 9, 1)
    )
    assert not can_be_kept(job.teachers, job.batches, 10, job.context)
    assert "needs 0.0 GiB of disk" in job.lines
    monkeypatch.undo()
    monkeypatch.setattr(answers_module, "MAX_KEPT_BYTES", 150 * 10 * 4 * 2 - 1)
    assert not can_be_kept(job.teachers, job.batches, 10, job.context)
