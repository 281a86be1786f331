"""Doing the same thing in many threads at the same moment, each on its own database connection."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from django.db import connections

Result = TypeVar("Result")


def at_once(count: int, action: Callable[[int], Result]) -> list[Result]:
    """Call ``action(0)`` ... ``action(count - 1)``, all starting together; answers their results in order."""
    barrier = Barrier(count)

    def run(number: int) -> Result:
        try:
            barrier.wait(20)
            return action(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
