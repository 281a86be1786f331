"""A benchmark as one job: points of batch and threads, load time, memory, and a baseline that shows a noisy machine."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from zoo_sdk.context import InputItem, OperationContext
from zoo_vision.evaluation import artifact_bytes
from zoo_vision.hardware import describe_hardware, fingerprint_of
from zoo_vision.memory import PeakMemory
from zoo_vision.parameters import TimingParams
from zoo_vision.timing import LatencyResult, latency_facts, measure_latency, report_latency, threads_to_use

MAX_DRIFT = 0.10
"""Largest change of the first point's median until it is measured again at the end."""
BASELINE_SHARE = 0.2
"""Of the time of a point, for measuring the first one again."""


class Point(NamedTuple):
    """What is measured at once."""

    batch: int
    threads: int


class Prepared(NamedTuple):
    """A model that is ready for a point: ``run`` computes one batch; ``details`` belong beside its figures."""

    run: Callable[[], object]
    details: dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """What differs between runtimes.

    ``load``: reads the file and makes the model ready for a point, as if for the first time.  ``prepare``: makes it
    ready for a point with what was loaded, as far as the runtime can.  ``peak_device_bytes``: of an accelerator.
    """

    runtime: str
    load: Callable[[Point], Prepared]
    prepare: Callable[[Point], Prepared]
    device: str = "cpu"
    peak_device_bytes: Callable[[], int] | None = None


@dataclass
class Sweep:
    """The points that were measured, the main one first."""

    points: list[tuple[Point, LatencyResult, dict[str, Any]]] = field(default_factory=list)
    warmup: int = 0
    load_ms: float = 0.0
    drift: float = 0.0
    baseline_ms: float = 0.0

    @property
    def drift_reason(self) -> str | None:
        """Why the machine was too noisy between the points, if it was."""
        if self.drift <= MAX_DRIFT:
            return None
        first = self.points[0][1].p50_ms
        return (
            f"the first point took {first:.4g} ms and {self.baseline_ms:.4g} ms at the end, "
            f"a change of {self.drift:.0%} (more than {MAX_DRIFT:.0%})"
        )


def points_of(params: TimingParams, context: OperationContext, batches: Sequence[int]) -> list[Point]:
    """Every combination, each once; the main point first.

    Raises:
        InvalidInput: more threads than the worker gives.

    """
    threads = [threads_to_use(wanted, context) for wanted in (params.threads, *params.thread_counts)]
    return list(dict.fromkeys(Point(batch, count) for count in threads for batch in batches))


def run_benchmark(
    context: OperationContext, item: InputItem, params: TimingParams, bench: Bench, batches: Sequence[int]
) -> Sweep:
    """Measure every point, report its figures, and those of the main point last, so that they are the newest.

    ``batches``: the main one first; each with every number of threads.
    """
    points = points_of(params, context, batches)
    memory = PeakMemory()
    sweep = Sweep(warmup=params.warmup)
    pulse = _Pulse(context, len(points), params.seconds)
    for position, point in enumerate(points):
        context.raise_if_cancelled()
        prepared = _loaded(bench, point, sweep) if position == 0 else bench.prepare(point)
        result = _measured(prepared, point, params, params.seconds, pulse)
        sweep.points.append((point, result, prepared.details))
    peak = memory.peak()
    _repeat_baseline(bench, params, pulse, sweep)
    _report(context, item, bench, sweep)
    _report_memory(context, bench, memory, peak)
    return sweep


def _loaded(bench: Bench, point: Point, sweep: Sweep) -> Prepared:
    begin = time.perf_counter()
    prepared = bench.load(point)
    sweep.load_ms = (time.perf_counter() - begin) * 1000
    return prepared


def _measured(prepared: Prepared, point: Point, params: TimingParams, seconds: float, pulse: "_Pulse") -> LatencyResult:
    result = measure_latency(
        prepared.run, batch=point.batch, seconds=seconds, warmup=params.warmup, between_runs=pulse.beat
    )
    pulse.point_ended()
    return result


def _repeat_baseline(bench: Bench, params: TimingParams, pulse: "_Pulse", sweep: Sweep) -> None:
    """The first point again: a machine that has become faster or slower meanwhile makes points incomparable."""
    point, first, _ = sweep.points[0]
    again = _measured(bench.prepare(point), point, params, params.seconds * BASELINE_SHARE, pulse)
    sweep.baseline_ms = again.p50_ms
    sweep.drift = abs(again.p50_ms - first.p50_ms) / max(first.p50_ms, 1e-9)
    if sweep.drift_reason:
        sweep.points = [
            (place, replace(result, reasons=(*result.reasons, sweep.drift_reason)), details)
            for place, result, details in sweep.points
        ]


def _report(context: OperationContext, item: InputItem, bench: Bench, sweep: Sweep) -> None:
    baseline = {"baseline_ms": round(sweep.baseline_ms, 6), "baseline_drift": round(sweep.drift, 4)}
    for point, result, details in reversed(sweep.points):
        facts = {"threads": point.threads, "warmup": sweep.warmup, **baseline, **details}
        report_latency(context, result, runtime=bench.runtime, device=bench.device, details=facts)
    where = {"runtime": bench.runtime, "device": bench.device}
    hardware = _hardware_of(bench)
    fingerprint = fingerprint_of(hardware)
    context.measure("load_ms", sweep.load_ms, details={"fingerprint": fingerprint}, **where)
    context.measure("size_bytes", artifact_bytes(item), runtime=bench.runtime)
    content = {
        "fingerprint": fingerprint,
        "hardware": hardware,
        "noisy": any(result.noisy for _, result, _ in sweep.points),
        "load_ms": round(sweep.load_ms, 6),
        **baseline,
        "points": [_row(point, result) for point, result, _ in sweep.points],
        "details": sweep.points[0][2],
    }
    context.report("benchmark", content, **where)
    first = sweep.points[0][1]
    context.log(f"p50 {first.p50_ms:.3f} ms, p95 {first.p95_ms:.3f} ms, {first.throughput:.1f} samples/s")


def _hardware_of(bench: Bench) -> dict[str, Any]:
    return describe_hardware("" if bench.device == "cpu" else bench.device)


def _row(point: Point, result: LatencyResult) -> dict[str, Any]:
    figures = {
        "threads": point.threads,
        "p50_ms": round(result.p50_ms, 6),
        "p95_ms": round(result.p95_ms, 6),
        "p99_ms": round(result.p99_ms, 6),
        "throughput": round(result.throughput, 3),
    }
    return {**latency_facts(result), **figures}


def _report_memory(context: OperationContext, bench: Bench, memory: PeakMemory, peak: int) -> None:
    details: dict[str, Any] = {
        "before_loading": memory.before,
        "since_start": memory.since_start,
        "fingerprint": fingerprint_of(_hardware_of(bench)),
    }
    if bench.peak_device_bytes is not None:
        details |= {"memory_of": "device", "host_bytes": peak}
        peak = bench.peak_device_bytes()
    context.measure("peak_memory_bytes", peak, runtime=bench.runtime, device=bench.device, details=details)


class _Pulse:
    """Progress over all points and the baseline; looks whether the job is cancelled."""

    def __init__(self, context: OperationContext, points: int, seconds: float) -> None:
        self._context = context
        self._total = points * seconds + BASELINE_SHARE * seconds
        self._done = 0.0
        self._last = 0.0

    def beat(self, spent: float, _total: float) -> None:
        self._context.raise_if_cancelled()
        self._last = spent
        self._context.progress(min(self._done + spent, self._total), self._total, "seconds measured")

    def point_ended(self) -> None:
        self._done += self._last
        self._last = 0.0
