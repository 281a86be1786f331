"""Ranges that are done, in memory and on disk."""

import threading
from pathlib import Path
from random import Random

from zoo_client.transfer.coverage import Coverage, RangeJournal

DIGEST = "sha256:" + "a" * 64


def test_ranges_in_any_order_leave_exactly_what_is_missing() -> None:
    random = Random(3)
    for _ in range(200):
        size = random.randint(1, 40)
        done = [False] * size
        coverage = Coverage()
        for _ in range(random.randint(0, 12)):
            start, end = sorted(random.choices(range(size + 1), k=2))
            coverage.add(start, end)
            done[start:end] = [True] * (end - start)
        missing = [False] * size
        for start, end in coverage.missing(size):
            assert start < end
            missing[start:end] = [True] * (end - start)
        assert missing == [not value for value in done]


def test_a_follower_is_woken_when_its_bytes_arrive() -> None:
    coverage = Coverage()
    coverage.add(10, 20)
    threading.Timer(0.05, coverage.add, (0, 10)).start()
    assert coverage.wait_beyond(0) == 20


def test_a_follower_is_woken_when_nothing_more_will_come() -> None:
    coverage = Coverage()
    threading.Timer(0.05, coverage.stop).start()
    assert coverage.wait_beyond(0) is None


def journal(path: Path, size: int = 100) -> RangeJournal:
    return RangeJournal(path, sha256=DIGEST, size=size)


def test_a_journal_tells_the_next_process_what_is_done(tmp_path: Path) -> None:
    with journal(tmp_path / "j") as first:
        first.start(fresh=True)
        first.add(0, 30)
        first.add(60, 100)
    assert journal(tmp_path / "j").load().missing(100) == [(30, 60)]


def test_a_torn_line_a_foreign_header_and_nonsense_are_ignored(tmp_path: Path) -> None:
    with journal(tmp_path / "j") as first:
        first.start(fresh=True)
        first.add(0, 30)
    with (tmp_path / "j").open("a") as file:
        file.write("90 200\n-5 10\nx y\n40 5")
    assert journal(tmp_path / "j").load().missing(100) == [(30, 100)]
    assert RangeJournal(tmp_path / "j", sha256="sha256:" + "b" * 64, size=100).load().missing(100) == [(0, 100)]
