"""What counts as a reproduction: the same files, or metrics within the tolerance under the same circumstances."""

from typing import Any, cast

import pytest

from zoo_client.records import Job, Metric, Version
from zoo_client.reproduction import Reproduction, _compared, _differing, _inputs


def metric(name: str, value: float, **changes: Any) -> Metric:
    plain = {"name": name, "value": value, "dataset": "a/d@1", "split": "test", "runtime": "torch", "created_at": "1"}
    return cast("Metric", plain | changes)


def version(reference: str = "a/m@1", **files: str) -> Version:
    listed = [{"path": path, "sha256": digest} for path, digest in files.items()]
    return cast("Version", {"reference": reference, "files": listed})


def outcome(differing: list[str], first: list[Metric], again: list[Metric], tolerance: float) -> bool:
    compared = _compared(first, again, tolerance)
    return Reproduction(version(), version(), cast("Job", {}), differing, compared).agrees


def test_files_are_compared_by_path_and_digest():
    assert _differing(version(a="1", b="2"), version(a="1", b="2")) == []
    assert _differing(version(a="1", b="2", c="3"), version(a="1", b="9", d="4")) == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("again", "tolerance", "agrees"),
    [(90.0, 0.0, True), (89.5, 0.0, False), (89.5, 0.01, True), (90.8, 0.01, True), (91.0, 0.01, False)],
)
def test_a_metric_may_differ_by_the_tolerance_of_its_value(again: float, tolerance: float, agrees: bool):
    assert outcome(["w"], [metric("top1", 90.0)], [metric("top1", again)], tolerance) is agrees


def test_one_metric_that_was_not_measured_again_is_no_agreement():
    first = [metric("top1", 90.0), metric("top5", 99.0)]
    assert not outcome(["w"], first, [metric("top1", 90.0)], 0.5)
    assert not outcome(["w"], first, [*first[:1], metric("top5", 99.0, dataset="a/other@1")], 0.5)


def test_the_same_files_need_no_metric_and_other_files_need_one():
    assert outcome([], [], [], 0.0)
    assert not outcome(["w"], [], [], 1.0)


def test_the_newest_value_counts():
    first = [metric("top1", 10.0, created_at="1"), metric("top1", 90.0, created_at="2")]
    assert outcome(["w"], first, [metric("top1", 90.0, created_at="3"), metric("top1", 5.0, created_at="2")], 0.0)


def test_inputs_are_written_as_they_were_submitted_with_the_measured_model_replaced():
    job = cast(
        "Job",
        {
            "inputs": [
                {"port": "model", "reference": "a/m@1", "artifact": "m.onnx", "weight": None},
                {"port": "teacher", "reference": "a/t@1", "artifact": "w", "weight": 0.5},
                {"port": "teacher", "reference": "a/t@2", "artifact": None, "weight": None},
                {"port": "data", "reference": "a/d@1", "artifact": None, "weight": None},
            ]
        },
    )
    plain = {"teacher": [{"version": "a/t@1#w", "weight": 0.5}, "a/t@2"], "data": "a/d@1"}
    assert _inputs(job) == {"model": "a/m@1#m.onnx", **plain}
    assert _inputs(job, "a/m@1", version("a/n@4", **{"m.onnx": "1"})) == {"model": "a/n@4#m.onnx", **plain}
    assert _inputs(job, "a/m@1", version("a/n@4", other="1")) == {"model": "a/n@4", **plain}
