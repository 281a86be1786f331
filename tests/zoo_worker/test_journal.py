"""Journals: what is told to MLflow, written line by line and readable after a crash."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.zoo_worker.conftest import hold_input
from tests.zoo_worker.stand_in_registry import StandInRegistry
from zoo_sdk.artifacts import DatasetDescription
from zoo_sdk.messages import Assignment
from zoo_worker.journal import (
    EndEntry,
    Entry,
    Journal,
    MetricEntry,
    StartEntry,
    close_dead_journals,
    mlflow_key,
    read_entries,
    start_entry,
)

OpenJournal = Callable[[Path, StartEntry], Journal]


def start(job: str = "j", attempt: int = 1) -> StartEntry:
    return StartEntry(job=job, attempt=attempt, experiment="vision", run_name="r")


def entries_of(path: Path) -> list[Entry | None]:
    return [entry for entry, _ in read_entries(path, 0, 1000)]


def test_points_without_a_step_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "j-1.jsonl"
    journal = Journal(path, start())
    for value in (0.5, 0.25):
        journal.metric("loss", value)
    journal.metric("loss", float("nan"), step=7)
    journal.end("FINISHED")
    points = [(entry.value, entry.step) for entry in entries_of(path) if isinstance(entry, MetricEntry)]
    assert str(points) == "[(0.5, 0), (0.25, 1), (nan, 7)]"
    assert isinstance(entries_of(path)[-1], EndEntry)


def test_nothing_is_written_after_the_end(tmp_path: Path) -> None:
    path = tmp_path / "j-1.jsonl"
    journal = Journal(path, start())
    journal.end("FAILED")
    journal.metric("late", 1)
    journal.end("FINISHED")
    assert [entry.kind for entry in entries_of(path) if entry] == ["start", "end"]


def test_a_journal_is_bounded_and_still_has_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_worker.journal.MAX_JOURNAL_BYTES", 2000)
    path = tmp_path / "j-1.jsonl"
    journal = Journal(path, start())
    for number in range(1000):
        journal.metric("loss", number)
    journal.end("FINISHED")
    assert path.stat().st_size < 2500
    assert isinstance(entries_of(path)[-1], EndEntry)


def test_a_journal_left_open_by_a_killed_worker_ends_as_killed_even_after_half_a_line(
    tmp_path: Path, open_journal: OpenJournal
) -> None:
    path = tmp_path / "j-1.jsonl"
    open_journal(path, start()).metric("loss", 0.5)
    with path.open("ab") as file:
        file.write(b'{"kind":"metric","na')
    complete = tmp_path / "k-1.jsonl"
    Journal(complete, start("k")).end("FINISHED")
    assert close_dead_journals(tmp_path) == [path]
    found = entries_of(path)
    assert [entry.kind if entry else None for entry in found] == ["start", "metric", None, "end"]
    last = found[-1]
    assert isinstance(last, EndEntry)
    assert last.status == "KILLED"
    assert close_dead_journals(tmp_path) == []


def test_half_a_line_is_not_read_yet(tmp_path: Path, open_journal: OpenJournal) -> None:
    path = tmp_path / "j-1.jsonl"
    open_journal(path, start()).metric("loss", 0.5)
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b'{"kind":"metric","na')
    assert [offset for _, offset in read_entries(path, 0, 100)][-1] == size


@pytest.mark.parametrize(
    ("name", "key"),
    [("loss/train", "loss/train"), ("a//b/../c", "a/b/c"), ("top1 (%)", "top1 ___"), ("/x", "x"), ("", "_")],
)
def test_names_are_made_acceptable_to_mlflow(name: str, key: str) -> None:
    assert mlflow_key(name) == key


def test_the_beginning_holds_parameters_tags_and_data_sets(registry: StandInRegistry) -> None:
    data = hold_input(registry, b"pictures", path="train.npz", kind="npz").model_copy(
        update={
            "reference": "vision/digits@2",
            "artifact": None,
            "dataset": DatasetDescription(format="npz", classes=("a", "b"), splits={"train": {"archive": "train.npz"}}),
        }
    )
    assignment = Assignment(
        job_id=uuid4(), attempt=2, team="vision", operation="example.make", operation_version=1,
        params={"passes": 3, "blend": {"share": 0.5}}, seed=7, inputs={"data": (data,)}, lease_seconds=60,
        time_limit_seconds=60, mlflow_experiment="vision", mlflow_run_id="abc", tags={"mlflow.runName": "named"},
    )  # fmt: skip
    entry = start_entry(assignment, worker="w", url="http://zoo")
    assert entry.params == {"seed": "7", "passes": "3", "blend": '{"share": 0.5}'}
    assert entry.run_name == "named"
    assert entry.run_id == "abc"
    assert entry.tags["zoo.job"] == str(assignment.job_id)
    assert entry.tags["zoo.url"] == f"http://zoo/api/v1/jobs/{assignment.job_id}"
    assert entry.tags["zoo.input.data"] == "vision/digits@2"
    (note,) = entry.datasets
    assert (note.name, note.context) == ("vision/digits@2", "data")
    assert note.source == '{"url": "http://zoo/api/v1/datasets/vision/digits/versions/2"}'
