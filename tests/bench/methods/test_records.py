"""Records: kept at once, found again only for the very same settings, and safe against a killed run."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.methods.records import Ledger, Record, Times
from bench.methods.workshop import Provenance


def record_of(arm: str, seed: int, top1: float, *, digest: str = "d", **measured: float) -> Record:
    provenance = Provenance(
        finished_at=datetime(2026, 1, 2, tzinfo=UTC), seconds=2, commit="abc", versions={"torch": "2"},
        processor="Test", threads=1, load=0.5,
    )  # fmt: skip
    return Record(
        arm=arm, seed=seed, digest=digest, measured={"top1": top1, **measured}, provenance=provenance,
        latency={1: Times(own=(1.0, 2.0, 3.0), baseline=(2.0, 4.0, 6.0)), 32: Times(own=(8.0,), baseline=())},
    )  # fmt: skip


def test_a_record_is_on_disk_as_soon_as_it_is_added(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.jsonl"
    Ledger(path).add(record_of("alone", 1, 80))
    assert Ledger(path).find("alone", 1, "d") == record_of("alone", 1, 80)
    assert path.read_text().count("\n") == 1


def test_a_record_of_other_settings_is_not_found_and_not_lost(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "table.jsonl")
    ledger.add(record_of("alone", 1, 80, digest="old"))
    ledger.add(record_of("alone", 1, 82, digest="new"))
    ledger = Ledger(ledger.path)
    assert ledger.find("alone", 1, "newer") is None
    assert [record.measured["top1"] for record in ledger.current({("alone", 1): "new", ("alone", 2): "new"})] == [82]
    assert ledger.find("alone", 1, "old") == record_of("alone", 1, 80, digest="old")


def test_the_newest_of_several_records_counts(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "table.jsonl")
    for top1 in (80, 81):
        ledger.add(record_of("alone", 1, top1))
    found = Ledger(ledger.path).find("alone", 1, "d")
    assert found is not None
    assert found.measured["top1"] == 81


def test_a_line_that_a_killed_run_left_unfinished_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "table.jsonl"
    Ledger(path).add(record_of("alone", 1, 80))
    with path.open("a") as file:
        file.write('{"arm": "alone", "se')
    ledger = Ledger(path)
    assert ledger.find("alone", 1, "d") is not None
    ledger.add(record_of("KD", 1, 81))
    assert Ledger(path).find("KD", 1, "d") is not None
    assert "line 2 is not a record" in capsys.readouterr().err
