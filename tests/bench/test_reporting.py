"""Reports: what is written can be read again, and says under which conditions it was found."""

from pathlib import Path

import pytest

from bench.figures import Figure, Goal
from bench.machine import busy_share, instruction_sets
from bench.reporting import Findings, load_note, markdown, read_report, write_report
from zoo_vision.timing import ProcessorTimes


def _findings() -> Findings:
    findings = Findings("sample", "What is\n    compared.\n", {"size": 3}, ("pydantic", "no-such-distribution"))
    findings.figures = [Figure(name="a|b", value=0.5, low=0.25, high=1.5, goal=Goal(relation="at least", bound=0.7))]
    findings.table("Details", ("x", "y"), [["1", "2"]])
    findings.notes = ["Mind this."]
    return findings


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    report = _findings().report()
    path = write_report(report, tmp_path / "new")
    assert read_report(path) == report
    assert report.machine["versions"]["no-such-distribution"] == "not installed"
    assert report.machine["versions"]["pydantic"][0].isdigit()


def test_the_page_shows_figures_tables_conditions_and_notes() -> None:
    page = markdown(_findings().report())
    assert r"| a\|b | 0.5000 | 0.2500 to 1.500 | at least 0.7000 | missed |" in page
    assert "## Details\n\n| x | y |\n|---|---|\n| 1 | 2 |" in page
    assert "What is\ncompared." in page
    assert "size = 3" in page
    assert "Load average" in page
    assert "- Mind this." in page


def test_a_busy_machine_is_told() -> None:
    report = _findings().report()
    quiet = {**report.conditions, "others_before": 0.05, "others_after": 0.1}
    busy = {**report.conditions, "others_before": 0.05, "others_after": 0.75}
    assert load_note(report.model_copy(update={"conditions": quiet})) == ""
    assert "75%" in load_note(report.model_copy(update={"conditions": busy}))
    assert "75% just after this: repeat it" in markdown(report.model_copy(update={"conditions": busy}))
    assert load_note(report.model_copy(update={"conditions": busy, "load_matters": False})) == ""


def test_the_share_is_of_the_time_between_two_readings() -> None:
    before = ProcessorTimes(total=100, idle=50, steal=1, own=0)
    after = ProcessorTimes(total=200, idle=80, steal=3, own=40)
    assert busy_share(before, after) == pytest.approx(0.7)


def test_the_instruction_sets_that_count_are_named(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512_vnni sha_ni\nflags\t\t: other\n")
    assert instruction_sets(path) == ["avx2", "avx512_vnni", "sha_ni"]
    assert instruction_sets(tmp_path / "absent") == []
