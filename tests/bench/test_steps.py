"""Races of training steps: turns, ratios, and a tiny whole one with the loops that it compares."""

from pathlib import Path

import pytest

from bench.figures import Goal
from bench.reporting import Findings
from bench.steps import distilling
from bench.steps.__main__ import run_heat
from bench.steps.racing import Arena, Heat, Ratio, race
from tests.zoo_vision.samples import npz_digits


def test_contenders_take_turns_and_the_first_run_of_each_does_not_count() -> None:
    heard: list[str] = []

    def contender(name: str) -> float:
        heard.append(name)
        return float(len(heard))

    found = race({name: lambda name=name: contender(name) for name in "ab"}, rounds=2, threads=1)
    assert "".join(heard) == "abbaab"
    assert found == {"a": [4.0, 5.0], "b": [3.0, 6.0]}


def test_a_ratio_is_of_the_same_rounds_and_absent_without_one_of_its_sides() -> None:
    ratio = Ratio("slow", "fast", Goal(relation="at least", bound=1.3))
    figure = ratio.figure("pair", {"slow": [2.0, 30.0, 4.0], "fast": [1.0, 10.0, 4.0]})
    assert figure is not None
    assert (figure.value, figure.low, figure.high, figure.verdict) == (2, 1, 3, "met")
    assert figure.name == "pair: slow / fast, time"
    assert ratio.figure("pair", {"slow": [2.0]}) is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the frameworks' own deprecations are not ours
def test_a_tiny_race_compares_the_operation_with_every_loop(tmp_path: Path) -> None:
    pytest.importorskip("torchdistill", reason="only compared with: pip install --no-deps torchdistill==1.1.5")
    arena = Arena(npz_digits(tmp_path / "data"), tmp_path / "made", steps=2, threads=1)
    pair = ("zoo:conv_tiny", "zoo:conv_tiny")
    heat = Heat("pair", lambda arena, notes: distilling.contenders(*pair, arena, notes), distilling.RATIOS)
    findings = Findings("steps", "", {}, ())
    run_heat(heat, arena, findings, rounds=1)
    assert findings.notes == []
    assert [row[0] for row in findings.tables[0].rows] == [
        distilling.OURS, distilling.CACHED, distilling.PLAIN, distilling.TUNED, distilling.LIBRARY,
    ]  # fmt: skip
    assert len(findings.figures) == len(distilling.RATIOS)
    assert all(figure.value > 0 for figure in findings.figures)
