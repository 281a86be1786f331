"""Running an operation in this process."""

import json
from pathlib import Path
from typing import Any

import pytest

from zoo_sdk import execution
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import InputItem, Inputs
from zoo_sdk.discovery import find_operation
from zoo_sdk.errors import Cancelled, InvalidInput, OperationError, Unavailable, UnknownName
from zoo_sdk.execution import LocalContext, Workplace, run_operation
from zoo_sdk.messages import MAX_REPORT_BYTES, MAX_REPORTS, EventBody, LogEvent, MetricEvent, ProgressEvent

NOTHING = Inputs(ports={})


def context(folder: Path, operation: str = "example.wait", **changes: Any) -> LocalContext:
    return LocalContext(find_operation(operation), Workplace.under(folder), **changes)


def run(given: LocalContext, **params: Any) -> None:
    run_operation(given.spec, params, NOTHING, given)


def test_an_operation_makes_its_output_and_reports(tmp_path: Path) -> None:
    events: list[EventBody] = []
    given = context(tmp_path, emit=events.append, seed=5)
    run(given, steps=2, seconds=0)
    made = given.artifacts["model"][0]
    assert json.loads((tmp_path / "outputs" / "model" / made.files[0]).read_text())["seed"] == 5
    assert [event.step for event in events if isinstance(event, MetricEvent)] == [1, 2]
    assert [event.done for event in events if isinstance(event, ProgressEvent)][-1] == 2


def test_an_interrupted_operation_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="step 3"):
        run(context(tmp_path), steps=4, seconds=0, failure="raise", fail_at_step=3, fail_once=True)
    events: list[EventBody] = []
    run(context(tmp_path, emit=events.append), steps=4, seconds=0, failure="raise", fail_at_step=3, fail_once=True)
    assert [event.step for event in events if isinstance(event, MetricEvent)] == [3, 4]
    assert [event.message for event in events if isinstance(event, LogEvent)] == ["Resumed after step 2."]


def test_a_checkpoint_that_breaks_while_it_is_written_leaves_the_former_one(tmp_path: Path) -> None:
    given = context(tmp_path)
    given.checkpoint(lambda path: path.write_text("whole"))

    def break_off(path: Path) -> None:
        path.write_text("ha")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        given.checkpoint(break_off)
    restored = given.restore()
    assert restored is not None
    assert restored.read_text() == "whole"


def test_a_cancelled_operation_stops_at_once(tmp_path: Path) -> None:
    given = context(tmp_path, cancelled=lambda: True)
    with pytest.raises(Cancelled):
        run(given, steps=1000, seconds=3600)


def test_an_operation_without_its_promised_output_has_failed(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="without declaring an artifact for its output 'model'"):
        run(context(tmp_path), steps=1, seconds=0, failure="no_output")


@pytest.mark.parametrize(
    ("failure", "error"), [("raise", OperationError), ("unavailable", Unavailable), ("invalid", InvalidInput)]
)
def test_the_operation_s_own_error_comes_through(tmp_path: Path, failure: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="as asked"):
        run(context(tmp_path), steps=1, seconds=0, failure=failure)


def test_a_missing_required_input_is_named_before_anything_runs(tmp_path: Path) -> None:
    given = context(tmp_path, "example.score")
    with pytest.raises(InvalidInput, match="needs the input 'model'"):
        run(given)


def test_an_artifact_whose_file_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match=r"'model\.json'.*did not write"):
        context(tmp_path).artifact(ArtifactDescription(format="json", files=("model.json",)))


def test_an_unknown_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="model"):
        context(tmp_path).output("models")


def test_an_unknown_measure_port_or_value_is_refused(tmp_path: Path) -> None:
    given = context(tmp_path, "example.score")
    with pytest.raises(UnknownName, match="top1"):
        given.measure("topp1", 1)
    with pytest.raises(UnknownName, match="data"):
        given.measure("top1", 1, dataset="daat")
    with pytest.raises(OperationError, match="not a finite number"):
        given.measure("top1", float("nan"))
    assert not given.measurements


def test_progress_is_thinned_out_but_its_end_always_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[EventBody] = []
    monkeypatch.setattr(execution.time, "monotonic", lambda: 100.0)
    given = context(tmp_path, emit=events.append)
    for done in range(1, 101):
        given.progress(done, 100)
    assert [event.done for event in events if isinstance(event, ProgressEvent)] == [1, 100]


def test_a_long_line_is_cut(tmp_path: Path) -> None:
    events: list[EventBody] = []
    context(tmp_path, emit=events.append).log("x" * 10_000)
    assert isinstance(events[0], LogEvent)
    assert len(events[0].message) == 8000


def test_inputs_tell_one_from_many(tmp_path: Path) -> None:
    item = InputItem(
        reference="a/b@1", folder=tmp_path, artifact=ArtifactDescription(format="json", files=("x/m.json",))
    )
    inputs = Inputs(ports={"model": (item, item)})
    assert inputs.one("model").main_file == tmp_path / "x" / "m.json"
    assert len(inputs.many("model")) == 2
    assert inputs.optional("data") is None
    with pytest.raises(InvalidInput, match="'data' is missing"):
        inputs.one("data")


def test_a_data_set_has_no_main_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="data set"):
        _ = InputItem(reference="a/b@1", folder=tmp_path).main_file


def test_a_report_is_kept_with_where_it_was_found(tmp_path: Path) -> None:
    given = context(tmp_path, "example.score")
    given.report("classification", {"samples": 3}, dataset="data", split="test", runtime="numpy", device="cpu")
    (kept,) = given.reports
    assert (kept.kind, kept.content, kept.dataset_port, kept.split) == (
        "classification",
        {"samples": 3},
        "data",
        "test",
    )


@pytest.mark.parametrize(
    ("kind", "content", "fault"),
    [
        ("big", {"text": "x" * MAX_REPORT_BYTES}, "more than"),
        ("nan", {"value": float("nan")}, "cannot be written as JSON"),
        ("array", {"value": object()}, "cannot be written as JSON"),
        ("Wrong kind", {}, "pattern"),
    ],
)
def test_a_report_that_cannot_travel_is_refused(tmp_path: Path, kind: str, content: Any, fault: str) -> None:
    given = context(tmp_path, "example.score")
    with pytest.raises(OperationError, match=fault):
        given.report(kind, content)
    assert given.reports == []


def test_a_job_makes_a_bounded_number_of_reports_about_ports_that_exist(tmp_path: Path) -> None:
    given = context(tmp_path, "example.score")
    with pytest.raises(UnknownName, match="nowhere"):
        given.report("classification", {}, dataset="nowhere")
    for _ in range(MAX_REPORTS):
        given.report("classification", {})
    with pytest.raises(OperationError, match="more than"):
        given.report("classification", {})
