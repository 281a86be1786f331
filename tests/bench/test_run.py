"""Running benches together: the pinned queries for real, the summary, and what counts as a failure."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.console import Console

from bench import queries, run
from bench.figures import Figure, Goal
from bench.reporting import Findings, read_report, write_report


def test_the_pinned_queries_are_rendered_most_first(tmp_path: Path) -> None:
    pinned = tmp_path / "counts.json"
    pinned.write_text(json.dumps({"b": 3, "a": 3, "c": 20}))
    findings = queries.measure(pinned)
    assert findings.tables[0].rows == (("c", "20"), ("a", "3"), ("b", "3"))
    assert findings.figures[0].value == 3


def test_a_bench_runs_by_name_and_leaves_json_and_markdown(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.run", "queries", "--results", str(tmp_path)],
        check=False, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "routes with a pinned number of queries" in " ".join(done.stdout.split())
    report = read_report(tmp_path / "queries.json")
    assert report.figures[0].value == len(json.loads(queries.PINNED.read_text()))
    assert (tmp_path / "queries.md").read_text().startswith("# queries\n")


def _pretend(monkeypatch: pytest.MonkeyPatch, *, crashes: bool) -> None:
    def run_bench(name: str, _options: object, results: Path) -> bool:
        findings = Findings(name, "", {}, ())
        findings.figures = [Figure(name="speed", value=0.1, goal=Goal(relation="at least", bound=0.7))]
        write_report(findings.report(), results)
        return not crashes

    monkeypatch.setattr(run, "run_bench", run_bench)


@pytest.mark.parametrize(("crashes", "status", "word"), [(False, 0, "missed"), (True, 1, "crashed")])
def test_a_missed_goal_is_a_result_and_a_crash_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    crashes: bool,
    status: int,
    word: str,
) -> None:
    _pretend(monkeypatch, crashes=crashes)
    with pytest.raises(typer.Exit) as ended:
        run.main(["jobs"], results=tmp_path)
    assert ended.value.exit_code == status
    assert word in capsys.readouterr().out


def test_a_bench_that_ends_badly_has_crashed(tmp_path: Path) -> None:
    assert not run.run_bench("queries", ("--pinned", str(tmp_path / "absent")), tmp_path)
    assert not (tmp_path / "queries.json").exists()


def test_a_bench_may_leave_a_report_for_each_of_its_tables(tmp_path: Path) -> None:
    for name in ("methods-b", "methods-a", "other"):
        write_report(Findings(name, "", {}, ()).report(), tmp_path)
    assert [report.bench for report in run.reports_of("methods", tmp_path)] == ["methods-a", "methods-b"]
    assert [report.bench for report in run.reports_of("other", tmp_path)] == ["other"]


def test_an_unknown_bench_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(typer.BadParameter, match="transfer"):
        run.main(["transfers"])


def test_the_summary_names_every_figure_with_goal_and_verdict(tmp_path: Path) -> None:
    findings = Findings("jobs", "", {}, ())
    findings.figures = [Figure.of("speed", [0.7, 0.8, 0.9], "GiB/s", goal=Goal(relation="at least", bound=0.7))]
    console = Console(width=200, record=True, file=(tmp_path / "out").open("w"))
    console.print(run.summary([findings.report()], ["transfer"]))
    text = " ".join(console.export_text().split())
    assert "jobs │ speed │ 0.8000 GiB/s │ 0.7000 to 0.9000 │ at least 0.7000 │ met" in text
    assert "transfer │ crashed" in text
    console.file.close()
