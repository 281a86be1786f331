"""Filling a table: real tiny trainings, once each, that a second session does not repeat."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from bench.methods import __main__ as command
from bench.methods.filling import Filling
from bench.methods.making import Making
from bench.methods.records import Ledger
from bench.methods.tables import Arm, MethodTable
from bench.methods.workshop import Workshop
from tests.zoo_vision.samples import npz_digits

TRAINING = {"epochs": 1, "batch_size": 32, "limit_samples": 64, "limit_test_samples": 50, "evaluate_each_epoch": False}
pytestmark = pytest.mark.filterwarnings("ignore")  # torch's own deprecations are not ours


def _alone(seed: int) -> Making:
    return Making("torch.train", {"architecture": "zoo:conv_tiny", **TRAINING}, seed)


def _taught(seed: int) -> Making:
    return Making("torch.distill", TRAINING, seed).with_inputs(student=_alone(seed), teacher=_alone(0))


def _impossible(seed: int) -> Making:
    return Making("torch.train", {"architecture": "zoo:conv_tinny", **TRAINING}, seed)


TABLE = MethodTable("tiny", "", (Arm("alone", _alone), Arm("taught", _taught, "alone")), ())


def _filling(folder: Path, table: MethodTable = TABLE) -> Filling:
    workshop = Workshop(npz_digits(folder / "data"), folder / "cache", 1)
    return Filling(table, Ledger(folder / "results" / "tiny.jsonl"), workshop, (3,))


def test_every_run_is_done_once_and_recorded_with_its_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filling = _filling(tmp_path)
    assert [arm.name for arm, _ in filling.missing()] == ["alone", "taught"]
    filling.fill(float("inf"))
    taught = filling.ledger.current(filling.digests())[1]
    assert {"top1", "parameters", "macs", "size_bytes"} <= taught.measured.keys()
    assert sorted(taught.latency) == [1, 32]
    assert len(taught.latency[1].own) == len(taught.latency[1].baseline) > 0
    assert taught.provenance.threads == 1

    monkeypatch.setattr("bench.methods.workshop.perform", None)  # a second session has nothing to run
    again = _filling(tmp_path)
    assert again.missing() == []
    again.fill(float("inf"))


def test_a_teacher_is_told_once_the_arms_have_needed_it(tmp_path: Path) -> None:
    teacher = _alone(0)
    filling = _filling(tmp_path, replace(TABLE, teachers=(teacher,)))
    assert filling.teachers() == []
    filling.fill(float("inf"))
    (record,) = filling.teachers()
    assert record.arm == "teacher zoo:conv_tiny"
    again = _filling(tmp_path, filling.table)
    assert again.teachers() == [record]
    assert again.ledger.path.read_text().count("teacher") == 1


def test_a_network_that_was_made_before_is_taken_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = _filling(tmp_path).workshop
    made, item = workshop.make(_alone(3))
    monkeypatch.setattr("bench.methods.workshop.perform", None)
    again, same = workshop.make(_alone(3))
    assert again == made
    assert same.main_file.read_bytes() == item.main_file.read_bytes()


def test_a_changed_setting_makes_its_runs_missing(tmp_path: Path) -> None:
    _filling(tmp_path).fill(float("inf"))
    other = Arm("alone", lambda seed: Making("torch.train", {**_alone(seed).params, "learning_rate": 0.05}, seed))
    filling = _filling(tmp_path, replace(TABLE, arms=(other, TABLE.arms[1])))
    assert [arm.name for arm, _ in filling.missing()] == ["alone"]


def test_no_run_begins_when_the_time_is_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filling = _filling(tmp_path)
    filling.fill(time.monotonic())
    assert len(filling.missing()) == 2
    assert "the time is up, 2 runs are left" in capsys.readouterr().err


def test_a_failed_run_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    filling = _filling(tmp_path, replace(TABLE, arms=(Arm("impossible", _impossible), TABLE.arms[0])))
    filling.fill(float("inf"))
    assert len(filling.failures) == 1
    assert "conv_tinny" in filling.failures[0]
    assert [arm.name for arm, _ in filling.missing()] == ["impossible"]


def test_an_unknown_table_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(typer.BadParameter, match="distillation"):
        command.main(table=["distilation"])
