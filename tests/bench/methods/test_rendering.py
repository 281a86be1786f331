"""The page of a table: means, spreads and differences of the seeds that both sides have, and what is missing."""

import pytest

from bench.methods.making import Making
from bench.methods.records import Record
from bench.methods.rendering import new_findings, render
from bench.methods.tables import Arm, Claim, MethodTable
from bench.reporting import Findings, markdown
from tests.bench.methods.test_records import record_of

SEEDS = (1, 2, 3)


def _making(seed: int) -> Making:
    return Making("torch.train", {"epochs": 2}, seed)


TABLE = MethodTable(
    name="sample",
    compares="Which is better?",
    arms=(Arm("alone", _making), Arm("taught", _making, "alone"), Arm("narrow", _making, "alone")),
    claims=(Claim("taught", "alone"), Claim("narrow", "alone", within=0.5)),
)


def _rendered(records: list[Record]) -> Findings:
    findings = new_findings(TABLE, {})
    render(TABLE, records, findings, seeds=SEEDS, epochs={"alone": 2, "taught": 2, "narrow": 4})
    return findings


def _records(arm: str, *top1: float) -> list[Record]:
    return [record_of(arm, seed, value, size_bytes=2048) for seed, value in zip(SEEDS, top1, strict=False)]


def test_a_claim_holds_where_the_difference_exceeds_the_larger_spread() -> None:
    better, _ = _rendered(
        _records("alone", 80, 81, 82) + _records("taught", 82, 83, 84) + _records("narrow", 80)
    ).figures
    assert better.name == "taught above alone (goal: the spread), 3 seeds"
    assert (better.value, better.low, better.high) == (2, 2, 2)
    assert better.goal is not None
    assert better.goal.bound == 1
    assert better.verdict == "met"


def test_a_difference_that_is_no_larger_than_the_spread_is_a_missed_claim() -> None:
    (better,) = _rendered(_records("alone", 80, 81, 82) + _records("taught", 81, 82, 83)).figures
    assert better.verdict == "missed"


@pytest.mark.parametrize(("top1", "verdict"), [(79.5, "met"), (79.4, "missed"), (85, "met")])
def test_a_network_may_lose_at_most_so_many_points(top1: float, verdict: str) -> None:
    (figure,) = _rendered(_records("alone", 80) + _records("narrow", top1)).figures
    assert figure.name == "narrow minus alone, 1 seed"
    assert figure.verdict == verdict


def test_one_seed_has_no_spread_and_gives_no_verdict() -> None:
    findings = _rendered(_records("alone", 80) + _records("taught", 90))
    assert findings.figures[0].verdict == ""
    assert findings.tables[0].rows[1][-1] == "one seed"


def test_only_seeds_that_both_sides_have_are_compared() -> None:
    findings = _rendered(_records("alone", 80, 90, 90) + _records("taught", 81))
    assert findings.tables[0].rows[0][3:7] == ("80.00", "90.00", "90.00", "86.667")
    assert findings.tables[0].rows[1] == (
        "taught",
        "2",
        "alone",
        "81.00",
        "",
        "",
        "81.000",
        "",
        "+1.000",
        "1 of 1",
        "one seed",
    )


def test_the_cost_has_the_ratio_of_rounds_and_the_size() -> None:
    findings = _rendered(_records("alone", 80))
    assert findings.tables[1].rows == (("alone", "", "", "2.0", "", "80.00", "2.000", "0.50", "8.000", ""),)


def test_what_is_missing_and_where_the_runs_were_made_is_told() -> None:
    findings = _rendered(_records("alone", 80, 81, 82) + _records("taught", 80))
    page = markdown(findings.report())
    assert "5 of 9 runs are missing: taught, narrow." in page
    assert "4 runs of 8 s in all" in page
    assert "commits abc; threads 1; load average 0.5000 to 0.5000" in page


def test_a_table_without_a_record_says_only_what_is_missing() -> None:
    findings = _rendered([])
    assert findings.figures == []
    assert findings.notes == ["9 of 9 runs are missing: alone, taught, narrow."]
