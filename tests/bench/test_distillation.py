"""The comparison of distilled students with students alone, and a tiny run of it."""

from pathlib import Path

import pytest

from bench.distillation import Arm, Budget, arms_of, comparisons_of, demo_budget, measure
from tests.zoo_vision.samples import npz_digits

ALONE = Arm("zoo:conv_tiny", None)
TAUGHT = Arm("zoo:conv_tiny", (4.0, 0.9))


def test_a_difference_counts_only_if_it_exceeds_the_larger_spread() -> None:
    found = comparisons_of({ALONE: [80.0, 82.0, 84.0], TAUGHT: [83.0, 84.0, 85.0]})[TAUGHT]
    assert found.difference == 2
    assert found.spread == 2
    assert not found.exceeds
    assert found.wins == 3
    assert comparisons_of({ALONE: [80.0, 82.0, 84.0], TAUGHT: [84.0, 84.1, 85.0]})[TAUGHT].exceeds


def test_a_seed_that_distillation_makes_worse_is_no_win() -> None:
    found = comparisons_of({ALONE: [80.0, 82.0], TAUGHT: [79.0, 82.0]})[TAUGHT]
    assert found.wins == 0
    assert found.difference == -0.5


def test_every_student_is_also_trained_alone_and_no_way_is_run_twice() -> None:
    budget = Budget({}, "zoo:resnet_small", "zoo:conv_small", 4.0, 0.9)
    arms = arms_of(budget, ("zoo:conv_tiny", "zoo:conv_small"), ((4.0, 0.9), (2.0, 0.9)))
    assert [(arm.student, arm.setting) for arm in arms] == [
        ("zoo:conv_small", None),
        ("zoo:conv_small", (4.0, 0.9)),
        ("zoo:conv_tiny", None),
        ("zoo:conv_tiny", (4.0, 0.9)),
        ("zoo:conv_tiny", (2.0, 0.9)),
    ]


def test_the_budget_is_that_of_the_demo() -> None:
    budget = demo_budget(small=False)
    assert budget.teacher.startswith("zoo:")
    assert budget.student.startswith("zoo:")
    assert budget.training["epochs"] >= 1
    assert "architecture" not in budget.training


@pytest.mark.filterwarnings("ignore")  # torch's own deprecations are not ours
def test_a_tiny_run_trains_both_ways_and_reports_every_seed(tmp_path: Path) -> None:
    training = {"epochs": 1, "batch_size": 32, "limit_samples": 64, "limit_test_samples": 50}
    budget = Budget(training, "zoo:conv_tiny", "zoo:conv_tiny", 4.0, 0.9)
    report = measure(npz_digits(tmp_path), budget, seeds=(3, 4), others=(), variants=(), threads=1).report()
    (table,) = report.tables
    assert table.columns[3:5] == ("seed 3", "seed 4")
    assert [row[2] for row in table.rows] == ["alone", "distilled, T = 4, w = 0.9"]
    assert {row[1] for row in table.rows} == {"8,254"}
    assert [len(entry["values"]) for entry in report.raw["top1"]] == [2, 2]
    assert any("distilled above alone" in figure.name and figure.goal for figure in report.figures)
