"""A benchmark of several points: which figures it reports, in which order, and when it calls the machine noisy."""

import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.zoo_vision.samples import context_for, onnx_item
from zoo_onnxruntime.specs import BENCHMARK
from zoo_sdk.context import InputItem
from zoo_sdk.errors import Cancelled, InvalidInput
from zoo_sdk.execution import LocalContext
from zoo_vision.benchmark import Bench, Point, Prepared, points_of, run_benchmark
from zoo_vision.hardware import describe_hardware, fingerprint_of
from zoo_vision.memory import PeakMemory
from zoo_vision.parameters import BenchmarkParams

QUICK = {"seconds": 0.02, "warmup": 1}


@pytest.fixture
def item(tmp_path: Path) -> InputItem:
    (tmp_path / "model.onnx").write_bytes(b"x" * 123)
    return onnx_item(tmp_path / "model.onnx")


def bench(delays: dict[Point, list[float]] | None = None, prepared: list[Point] | None = None) -> Bench:
    """A runtime that sleeps; ``delays`` by point and turn."""

    def prepare(point: Point) -> Prepared:
        turns = (delays or {}).get(point, [0.001])
        delay = turns.pop(0) if len(turns) > 1 else turns[0]
        if prepared is not None:
            prepared.append(point)
        return Prepared(lambda: time.sleep(delay), {"versions": {"sleep": "1"}})

    return Bench(runtime="onnxruntime", load=prepare, prepare=prepare)


def measured(context: LocalContext, name: str) -> list[tuple[Any, ...]]:
    found = [entry for entry in context.measurements if entry.name == name]
    return [(entry.details["batch"], entry.details["threads"], entry.value) for entry in found]


def test_every_combination_is_measured_and_the_main_point_is_reported_last(item: InputItem, tmp_path: Path) -> None:
    params = BenchmarkParams(batch=4, batches=(1, 4), threads=1, thread_counts=(2,), **QUICK)
    context = context_for(BENCHMARK, tmp_path, threads=2)
    run_benchmark(context, item, params, bench(), params.every_batch)
    assert [row[:2] for row in measured(context, "latency_ms")] == [(1, 2), (4, 2), (1, 1), (4, 1)]
    (report,) = context.reports
    assert report.kind == "benchmark"
    assert [(row["batch"], row["threads"]) for row in report.content["points"]] == [(4, 1), (1, 1), (4, 2), (1, 2)]
    row = report.content["points"][0]
    assert row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
    assert measured(context, "latency_ms_p99")[-1][2] == pytest.approx(row["p99_ms"], abs=1e-5)


def test_load_time_memory_and_size_are_reported_with_the_hardware(item: InputItem, tmp_path: Path) -> None:
    context = context_for(BENCHMARK, tmp_path)

    def load(point: Point) -> Prepared:
        time.sleep(0.05)
        return bench().prepare(point)

    run_benchmark(context, item, BenchmarkParams(**QUICK), Bench("onnxruntime", load, bench().prepare), [1])
    values = {entry.name: entry for entry in context.measurements}
    assert 50 <= values["load_ms"].value < 5000
    assert values["size_bytes"].value == 123
    assert values["peak_memory_bytes"].value >= values["peak_memory_bytes"].details["before_loading"] * 0.9
    fingerprint = fingerprint_of(describe_hardware())
    assert values["latency_ms"].details["fingerprint"] == fingerprint
    assert values["load_ms"].details["fingerprint"] == fingerprint
    assert context.reports[0].content["hardware"] == describe_hardware()


def test_a_machine_that_became_slower_between_the_points_is_called_noisy_in_words(
    item: InputItem, tmp_path: Path
) -> None:
    context = context_for(BENCHMARK, tmp_path)
    slower = bench({Point(1, 1): [0.002, 0.02]})
    run_benchmark(context, item, BenchmarkParams(threads=1, **QUICK), slower, [1])
    details = next(entry.details for entry in context.measurements if entry.name == "latency_ms")
    assert details["noisy"]
    assert any("ms at the end, a change of" in reason for reason in details["noise_reasons"])
    assert details["baseline_drift"] > 1
    assert context.reports[0].content["noisy"] is True


def test_the_first_point_is_measured_again_at_the_end(item: InputItem, tmp_path: Path) -> None:
    prepared: list[Point] = []
    params = BenchmarkParams(batches=(2, 3), threads=1, **QUICK)
    run_benchmark(context_for(BENCHMARK, tmp_path), item, params, bench(prepared=prepared), params.every_batch)
    assert prepared == [Point(1, 1), Point(2, 1), Point(3, 1), Point(1, 1)]


def test_too_many_points_and_threads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="make 121 points"):
        BenchmarkParams(batches=tuple(range(2, 12)), thread_counts=tuple(range(1, 11)))
    with pytest.raises(InvalidInput, match="threads = 3"):
        points_of(BenchmarkParams(thread_counts=(3,)), context_for(BENCHMARK, tmp_path, threads=2), [1])


def test_a_cancelled_sweep_stops_before_the_next_point(item: InputItem, tmp_path: Path) -> None:
    prepared: list[Point] = []
    context = context_for(BENCHMARK, tmp_path, cancelled=lambda: bool(prepared))
    with pytest.raises(Cancelled):
        run_benchmark(context, item, BenchmarkParams(threads=1, **QUICK), bench(prepared=prepared), [1, 2])
    assert prepared == [Point(1, 1)]
    assert context.measurements == []


def test_the_fingerprint_changes_with_the_hardware_and_with_nothing_else() -> None:
    hardware = describe_hardware()
    assert fingerprint_of(hardware) == fingerprint_of(dict(reversed(hardware.items())))
    assert hardware["processors"] > 0
    assert hardware["memory_gib"] > 0
    for name, other in {
        "processor": "Z80",
        "processors": 96.0,
        "accelerator": "NVIDIA H100",
        "instructions": [],
    }.items():
        assert fingerprint_of({**hardware, name: other}) != fingerprint_of(hardware)


def test_peak_memory_counts_what_was_given_back_already() -> None:
    memory = PeakMemory()
    block = bytearray(b"\x01" * 80_000_000)
    del block
    assert memory.since_start or memory.peak() - memory.before > 70_000_000
