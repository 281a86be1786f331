"""The conformance suite finds what it is there to find."""

import tempfile
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from zoo_sdk import conformance
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.conformance import Case, PluginConformance, Run, folder_digests, perform, tiny_dataset
from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import Cancelled
from zoo_sdk.execution import Workplace
from zoo_sdk.operations import OperationParams, OperationSpec, Port

NOTHING = Inputs(ports={})


class Careless(OperationParams):
    width: int = Field(1, ge=1)
    depth: int = Field(1, ge=1, le=2, description="Depth.")
    share: float | None = Field(None, le=1, description="Share.")


class Suite(PluginConformance):
    distribution: ClassVar[str] = "zoo-example"
    cases: ClassVar[tuple[Case, ...]] = (Case("example.wait"),)


def bad_spec(function: str) -> OperationSpec:
    return OperationSpec(
        name="bad.work",
        version=1,
        summary="",
        params=Careless,
        implementation=f"{__name__}:{function}",
        inputs=(Port(name="data"),),
        outputs=(Port(name="model", formats=("onnx",)),),
        strategy="training",
        deterministic=True,
    )


def make_json_and_litter(_params: Any, _inputs: Inputs, context: OperationContext) -> None:
    (context.output() / "model.json").write_text("{}")
    (context.output() / "left-over.txt").write_text("x")
    context.artifact(ArtifactDescription(format="json", files=("model.json",)))
    (context.scratch.parent / "outside.txt").write_text("x")
    context.progress(1, 2)


@pytest.fixture
def bad_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("zoo_sdk.execution.load_implementation", lambda _spec: make_json_and_litter)
    spec = bad_spec("make_json_and_litter")
    return perform(spec, {}, Inputs(ports={"data": (tiny_dataset(tmp_path),)}), Workplace.under(tmp_path / "place"))


def test_careless_parameters_are_found() -> None:
    with pytest.raises(AssertionError) as caught:
        Suite().test_every_parameter_is_described_and_every_number_bounded(bad_spec("run"))
    text = str(caught.value)
    for fault in ("width has no description", "width has no upper bound", "share has no lower bound"):
        assert fault in text
    assert "depth" not in text


def test_silent_specs_are_found() -> None:
    with pytest.raises(AssertionError, match="no summary"):
        Suite().test_summary_and_ports_are_described(bad_spec("run"))


def test_an_operation_without_a_case_is_found() -> None:
    with pytest.raises(AssertionError):
        Suite().test_every_operation_is_found_and_has_a_case()


def test_a_framework_behind_the_specs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("bad.work", "numpy:array", "zoo.operations")
    monkeypatch.setattr(conformance, "entry_points_of", lambda _name: [point])
    with pytest.raises(AssertionError, match="imports numpy"):
        Suite().test_specs_import_no_framework()


def test_a_file_outside_the_workplace_is_found(bad_run: Run) -> None:
    assert [Path(path).name for path in bad_run.written] == ["outside.txt"]
    with pytest.raises(AssertionError):
        Suite().test_it_writes_below_its_workplace_only(bad_run)


def test_an_output_of_another_format_is_found(bad_run: Run) -> None:
    with pytest.raises(AssertionError, match="promises"):
        Suite().test_it_makes_what_its_outputs_promise(bad_run.context.spec, bad_run)


def test_a_left_over_output_file_is_found(bad_run: Run) -> None:
    with pytest.raises(AssertionError):
        Suite().test_every_output_file_belongs_to_an_artifact(bad_run)


def test_progress_that_never_ends_is_found(bad_run: Run) -> None:
    with pytest.raises(AssertionError):
        Suite().test_its_progress_reaches_its_total(bad_run)


def test_deafness_to_cancellation_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_sdk.execution.load_implementation", lambda _spec: make_json_and_litter)
    inputs = Inputs(ports={"data": (tiny_dataset(tmp_path),)})
    with pytest.raises(pytest.fail.Exception, match=Cancelled.__name__):
        Suite().test_a_cancelled_job_stops_before_it_makes_anything(
            Case("bad.work"), bad_spec("run"), inputs, tmp_path / "place"
        )


def test_temporary_files_lie_in_the_scratch_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = []
    monkeypatch.setattr(
        "zoo_sdk.execution.load_implementation",
        lambda _spec: lambda _params, _inputs, _context: folders.append(tempfile.gettempdir()),
    )
    spec = bad_spec("run").model_copy(update={"inputs": (), "outputs": ()})
    place = Workplace.under(tmp_path)
    perform(spec, {}, NOTHING, place)
    assert folders == [str(place.scratch)]
    assert tempfile.gettempdir() != str(place.scratch)


def test_the_tiny_data_set_is_always_the_same(tmp_path: Path) -> None:
    first, second = tiny_dataset(tmp_path / "a"), tiny_dataset(tmp_path / "b")
    assert folder_digests(first.folder) == folder_digests(second.folder)
    assert first.dataset is not None
    assert set(first.dataset.splits) == {"train", "test"}
