"""Interleaving: what is compared takes turns, so that a machine that slows down or speeds up favours nobody."""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TypeVar

Item = TypeVar("Item")
MIN_RUNS = 5


def rotated(items: Sequence[Item], turn: int) -> list[Item]:
    """The items beginning with another one each turn, so that each is first, second ... equally often."""
    start = turn % len(items)
    return [*items[start:], *items[:start]]


def timed(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """The seconds that a call takes by that clock."""
    started = clock()
    call()
    return clock() - started


def interleaved_medians(
    calls: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    seconds: float,
    warmup: int = 10,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """The median time in ms of each call in each round; in a round every call has one block of about ``seconds``.

    With ``time.process_time`` for a ``clock`` calls of one thread are compared fairly beside other work, too.
    """
    for call in calls.values():
        for _ in range(warmup):
            call()
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds):
        for name in rotated(list(calls), turn):
            found[name].append(_block_median(calls[name], seconds, clock) * 1000)
    return found


def _block_median(call: Callable[[], object], seconds: float, clock: Callable[[], float]) -> float:
    end = time.perf_counter() + seconds
    times: list[float] = []
    while len(times) < MIN_RUNS or time.perf_counter() < end:
        times.append(timed(call, clock))
    return median(times)
