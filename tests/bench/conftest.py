"""Fixtures of the benches' tests."""

import pytest


@pytest.fixture(autouse=True)
def short_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second of looking at the idle machine, twice a report, says nothing in a test."""
    monkeypatch.setattr("bench.machine.LOOK_SECONDS", 0.02)
