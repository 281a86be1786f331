"""The jobs bench: a job's life read from its record, the bare process, and a tiny whole run."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bench.bare import Order
from bench.jobs import life_of, measure
from tests.zoo_vision.samples import npz_digits
from zoo_demo.data import SampleData

TRAINING = {
    "architecture": "zoo:conv_tiny", "epochs": 1, "batch_size": 32, "limit_samples": 64, "limit_test_samples": 50,
}  # fmt: skip


def _event(second: float, kind: str, **body: object) -> dict[str, object]:
    return {"time": f"2026-01-01T00:00:{second:06.3f}Z", "kind": kind, "body": body}


def test_a_jobs_life_is_told_in_seconds_after_its_submission() -> None:
    begin = 1767225600.0  # 2026-01-01T00:00:00Z
    job = {"started_at": "2026-01-01T00:00:00.200Z", "finished_at": "2026-01-01T00:00:04.500+00:00"}
    events = [
        _event(0.25, "state", state="inputs"),
        _event(0.3, "log", message="of the worker, before the child"),
        _event(0.5, "state", state="running"),
        _event(1.5, "metric", name="step", value=1),
        _event(1.75, "progress", done=1, total=1),
        _event(4.0, "state", state="uploading"),
    ]
    life = life_of(begin, begin + 0.125, job, events)
    assert life.answered == 0.125
    assert [life.claimed, life.started, life.spoke, life.uploading, life.finished] == pytest.approx(
        [0.2, 0.5, 1.5, 4.0, 4.5]
    )


def test_an_operation_that_says_nothing_spoke_when_it_returned() -> None:
    job = {"started_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:00:05Z"}
    events = [_event(1, "state", state="running"), _event(4, "state", state="uploading")]
    assert life_of(1767225600.0, 1767225600.0, job, events).spoke == 4


def test_the_bare_process_prints_the_digest_of_what_it_made(tmp_path: Path) -> None:
    digests = []
    for number in range(2):
        order = Order(
            operation="example.make", params={}, inputs={"data": npz_digits(tmp_path / f"data{number}")}, seed=0,
            threads=1, folder=tmp_path / f"run{number}",
        )  # fmt: skip
        path = tmp_path / "order.json"
        path.write_text(order.model_dump_json())
        done = subprocess.run([sys.executable, "-m", "bench.bare", str(path)], check=True, capture_output=True)
        answer = json.loads(done.stdout)
        assert answer["seconds"] > 0
        digests.append(answer["sha256"])
    assert digests[0].startswith("sha256:")
    assert digests[0] == digests[1]


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.timeout(900)
def test_a_tiny_run_measures_latency_and_overhead_and_both_ways_make_the_same_bytes(tmp_path: Path) -> None:
    item = npz_digits(tmp_path / "data")
    assert item.dataset is not None
    files = sorted(item.folder.iterdir())
    data = SampleData("digits", "Digits", "BSD-3-Clause", "npz", files, item.dataset.classes)
    with tempfile.TemporaryDirectory(prefix="zb") as folder:
        report = measure(Path(folder), data, jobs=2, repeats=1, training=TRAINING).report()
    figures = {figure.name: figure.value for figure in report.figures}
    assert 0 < figures["submit to child start, p50"] <= figures["submit to child start, p95"]
    assert figures["training: job / bare function, time"] > 0
    assert figures["rounds in which both made the same bytes"] == 1
    for life in report.raw["latency"]:
        points = [life[name] for name in ("claimed", "started", "spoke", "uploading", "finished")]
        assert points == sorted(points)
