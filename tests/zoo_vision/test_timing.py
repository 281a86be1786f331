"""Percentiles, throughput and the reasons for calling a machine noisy; real times are never asserted on."""

import time

import pytest

from zoo_vision.timing import ProcessorTimes, measure_latency, read_processor_times, summarise

QUIET = ProcessorTimes(total=0, idle=0, steal=0, own=0)
ALONE = ProcessorTimes(total=20, idle=10, steal=0, own=10)


def test_percentiles_and_throughput_come_from_all_runs() -> None:
    times = [[0.001] * 10, [0.001] * 9 + [0.011]]
    result = summarise(times, batch=4, before=QUIET, after=ALONE)
    assert result.p50_ms == pytest.approx(1)
    assert result.p95_ms == pytest.approx(1.5)
    assert result.throughput == pytest.approx(4 * 20 / 0.030)
    assert result.repeats == 20
    assert result.blocks == 2
    assert not result.noisy


def test_blocks_that_disagree_are_noise_with_the_figure_in_words() -> None:
    result = summarise([[0.001] * 5, [0.0013] * 5], batch=1, before=QUIET, after=ALONE)
    assert result.noisy
    assert result.noise == pytest.approx(0.3 / 1.15, rel=1e-6)
    assert "medians of the blocks differ by 26%" in result.reasons[0]


def test_processor_time_taken_by_others_is_noise() -> None:
    busy = ProcessorTimes(total=20, idle=2, steal=0, own=10)
    result = summarise([[0.001] * 5] * 2, batch=1, before=QUIET, after=busy)
    assert result.others_share == pytest.approx(0.4)
    assert result.reasons == ("other processes took 40% of the processors (more than 15%)",)


def test_processor_time_taken_by_the_hypervisor_is_noise() -> None:
    stolen = ProcessorTimes(total=20, idle=8, steal=2, own=10)
    result = summarise([[0.001] * 5] * 2, batch=1, before=QUIET, after=stolen)
    assert result.reasons == ("the hypervisor took 10% of the processors (more than 2%)",)


def test_warmup_runs_do_not_count() -> None:
    runs = []
    result = measure_latency(lambda: runs.append(1), batch=1, seconds=0.02, warmup=7, blocks=4)
    assert len(runs) == result.repeats + 7


def test_progress_is_told_between_runs_and_ends_at_its_total() -> None:
    told = []
    measure_latency(
        lambda: time.sleep(0.01),
        batch=1,
        seconds=0.7,
        warmup=0,
        between_runs=lambda spent, total: told.append((spent, total)),
    )
    assert told[-1] == (0.7, 0.7)
    assert 2 <= len(told) <= 5
    assert told == sorted(told)


def test_a_long_measurement_can_be_cancelled_in_the_middle_of_a_block_and_of_the_warmup() -> None:
    class Stopped(Exception):
        pass

    def stop(spent: float, total: float) -> None:
        raise Stopped

    for warmup in (0, 10_000):
        begin = time.monotonic()
        with pytest.raises(Stopped):
            measure_latency(lambda: time.sleep(0.01), batch=1, seconds=600, warmup=warmup, between_runs=stop)
        assert time.monotonic() - begin < 20


def test_a_run_longer_than_the_time_given_is_still_repeated() -> None:
    result = measure_latency(lambda: time.sleep(0.005), batch=1, seconds=0.001, warmup=0, blocks=2)
    assert result.repeats == 6
    assert result.p50_ms >= 5


def test_own_work_is_seen_as_own_and_not_as_others() -> None:
    before = read_processor_times()
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    after = read_processor_times()
    assert 0.25 < after.own - before.own < 0.6
    assert after.total - before.total > 0
