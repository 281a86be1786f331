"""Latency and throughput of a callable, and whether the machine was too noisy for the figures to mean much."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo_sdk.context import OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_vision.hardware import describe_hardware, fingerprint_of

MAX_SPREAD = 0.15
"""Largest difference between the medians of independent blocks, relative to the overall median."""
MAX_OTHERS = 0.15
"""Largest share of the machine's processor time that other processes may take meanwhile."""
MAX_STEAL = 0.02
"""Largest share of processor time that the hypervisor may take meanwhile."""
MIN_RUNS_PER_BLOCK = 3
PULSE_SECONDS = 0.2
_PROC_STAT = Path("/proc/stat")
_PROC_LOADAVG = Path("/proc/loadavg")


@dataclass(frozen=True)
class LatencyResult:
    """Times of one batch in ms, and samples per second.

    ``noise`` is the spread between the medians of ``blocks`` independent blocks, relative to the overall median;
    ``reasons`` says in words why the machine was too noisy, and is empty when it was not.
    """

    batch: int
    repeats: int
    blocks: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    mean_ms: float
    throughput: float
    noise: float
    others_share: float
    steal_share: float
    load_average: float
    reasons: tuple[str, ...]

    @property
    def noisy(self) -> bool:
        return bool(self.reasons)


@dataclass(frozen=True)
class ProcessorTimes:
    """Seconds of processor time since boot, over all processors: in total, idle, stolen; and of this process."""

    total: float
    idle: float
    steal: float
    own: float


def read_processor_times() -> ProcessorTimes:
    """Read ``/proc/stat``; where there is none (not Linux), all is idle and noise shows in the spread only."""
    own = sum(os.times()[:2])
    if not _PROC_STAT.exists():
        return ProcessorTimes(total=time.monotonic(), idle=time.monotonic(), steal=0.0, own=own)
    fields = [int(value) / os.sysconf("SC_CLK_TCK") for value in _PROC_STAT.read_text().split("\n", 1)[0].split()[1:9]]
    return ProcessorTimes(total=sum(fields), idle=fields[3] + fields[4], steal=fields[7], own=own)


def threads_to_use(asked: int | None, context: OperationContext) -> int:
    """The threads of a benchmark: those asked for, by default all that the worker gives.

    Raises:
        InvalidInput: more are asked for than the worker gives.

    """
    if asked is not None and asked > context.threads:
        raise InvalidInput(
            f"threads = {asked}, but this worker gives an operation {context.threads}.",
            hint=f"Ask for at most {context.threads}, or send the job to a larger worker.",
            facts={"field": "threads"},
        )
    return asked or context.threads


def measure_latency(
    run: Callable[[], object],
    *,
    batch: int,
    seconds: float,
    warmup: int,
    blocks: int = 5,
    between_runs: Callable[[float, float], None] | None = None,
) -> LatencyResult:
    """Call ``run`` for about ``seconds``, in ``blocks`` blocks, after ``warmup`` calls that do not count.

    Args:
        run: one inference of a whole batch, complete when it returns.
        batch: samples in that batch.
        seconds: time to spend; each block calls ``run`` at least three times, however long that takes.
        warmup: calls before the clock starts.
        blocks: independent blocks, whose medians are compared.
        between_runs: called as ``f(spent, seconds)`` a few times a second and at the end, outside the timed part
            (progress, cancelling).

    """
    pulse = _Pulse(between_runs, seconds)
    for _ in range(warmup):
        run()
        pulse.beat(0.0)
    before = read_processor_times()
    part = seconds / blocks
    times = [_time_block(run, part, pulse, part * block) for block in range(blocks)]
    after = read_processor_times()
    pulse.end()
    return summarise(times, batch=batch, before=before, after=after)


class _Pulse:
    """Calls a function at most a few times a second, so that very short runs are not disturbed."""

    def __init__(self, call: Callable[[float, float], None] | None, seconds: float) -> None:
        self._call = call
        self._seconds = seconds
        self._last = time.perf_counter()

    def beat(self, spent: float) -> None:
        now = time.perf_counter()
        if self._call and now - self._last >= PULSE_SECONDS:
            self._last = now
            self._call(min(spent, self._seconds), self._seconds)

    def end(self) -> None:
        if self._call:
            self._call(self._seconds, self._seconds)


def _time_block(run: Callable[[], object], seconds: float, pulse: _Pulse, spent: float) -> list[float]:
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < MIN_RUNS_PER_BLOCK or time.perf_counter() < begin + seconds:
        start = time.perf_counter()
        run()
        end = time.perf_counter()
        times.append(end - start)
        pulse.beat(spent + end - begin)
    return times


def summarise(times: list[list[float]], *, batch: int, before: ProcessorTimes, after: ProcessorTimes) -> LatencyResult:
    """Figures from the seconds of each run by block, and from what the processors did meanwhile."""
    flat = np.concatenate([np.asarray(block) for block in times])
    medians = np.asarray([np.median(block) for block in times])
    median = float(np.median(flat))
    noise = float((medians.max() - medians.min()) / median) if median else 0.0
    total = max(after.total - before.total, 1e-9)
    steal = (after.steal - before.steal) / total
    busy = total - (after.idle - before.idle) - (after.steal - before.steal)
    others = min(max((busy - (after.own - before.own)) / total, 0.0), 1.0)
    return LatencyResult(
        batch=batch,
        repeats=len(flat),
        blocks=len(times),
        p50_ms=median * 1000,
        p95_ms=float(np.percentile(flat, 95)) * 1000,
        p99_ms=float(np.percentile(flat, 99)) * 1000,
        mean_ms=float(flat.mean()) * 1000,
        throughput=batch * len(flat) / float(flat.sum()),
        noise=noise,
        others_share=others,
        steal_share=steal,
        load_average=float(_PROC_LOADAVG.read_text().split()[0]) if _PROC_LOADAVG.exists() else 0.0,
        reasons=_reasons(noise, others, steal),
    )


def _reasons(noise: float, others: float, steal: float) -> tuple[str, ...]:
    found = []
    if noise > MAX_SPREAD:
        found.append(f"the medians of the blocks differ by {noise:.0%} of the median (more than {MAX_SPREAD:.0%})")
    if others > MAX_OTHERS:
        found.append(f"other processes took {others:.0%} of the processors (more than {MAX_OTHERS:.0%})")
    if steal > MAX_STEAL:
        found.append(f"the hypervisor took {steal:.0%} of the processors (more than {MAX_STEAL:.0%})")
    return tuple(found)


def latency_facts(result: LatencyResult) -> dict[str, Any]:
    """What belongs beside the figures of one point."""
    return {
        "batch": result.batch,
        "repeats": result.repeats,
        "blocks": result.blocks,
        "mean_ms": round(result.mean_ms, 6),
        "noise": round(result.noise, 4),
        "others_share": round(result.others_share, 4),
        "steal_share": round(result.steal_share, 4),
        "load_average": result.load_average,
        "noisy": result.noisy,
        "noise_reasons": list(result.reasons),
    }


def report_latency(
    context: OperationContext, result: LatencyResult, *, runtime: str, device: str, details: Mapping[str, Any]
) -> None:
    """Measure ``latency_ms``, its 95th and 99th percentile and ``throughput``, with the hardware they belong to.

    Logs why the machine was too noisy, if it was.
    """
    hardware = describe_hardware("" if device == "cpu" else device)
    facts = {**latency_facts(result), "hardware": hardware, "fingerprint": fingerprint_of(hardware), **details}
    for name, value in (
        ("latency_ms", result.p50_ms),
        ("latency_ms_p95", result.p95_ms),
        ("latency_ms_p99", result.p99_ms),
        ("throughput", result.throughput),
    ):
        context.measure(name, value, runtime=runtime, device=device, details=facts)
    if result.noisy:
        context.log(f"The machine was too noisy for exact figures: {'; '.join(result.reasons)}.")
