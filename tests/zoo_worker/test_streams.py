"""Lines of bounded length at a bounded rate."""

import os
import threading

import pytest

from zoo_worker.streams import RateLimit, bounded_lines


def lines_of(data: bytes, limit: int = 10) -> list[bytes]:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    found = list(bounded_lines(reading, limit))
    thread.join()
    os.close(reading)
    return found


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"a\nb\r\nc", [b"a", b"b", b"c"]),
        (b"10%\r20%\r\n", [b"10%", b"20%"]),
        (b"x" * 25 + b"\nnext\n", [b"x" * 10, b"next"]),
        (b"", []),
        (b"\n\n", []),
    ],
)
def test_lines_end_at_newlines_and_carriage_returns_and_are_cut(data: bytes, lines: list[bytes]) -> None:
    assert lines_of(data) == lines


def test_the_rate_has_a_burst_and_then_a_pace() -> None:
    now = 0.0
    rate = RateLimit(per_second=2, burst=3, clock=lambda: now)
    assert [rate.allows() for _ in range(5)] == [True, True, True, False, False]
    assert rate.take_refused() == 2
    now = 1.0
    assert [rate.allows() for _ in range(3)] == [True, True, False]
