"""A tiny run of the agreement bench: every form of a small network, measured on the same pictures."""

from pathlib import Path

import pytest

from bench.agreement import LSQ_TRAINING, Workbench, measure
from bench.operations import perform
from bench.photographs import Photography
from tests.zoo_vision.samples import npz_digits

TRAINING = {"architecture": "zoo:conv_tiny", "epochs": 2, "batch_size": 32, "limit_samples": 640}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the frameworks' own deprecations are not ours
def test_every_form_is_compared_on_the_same_pictures_and_only_lsq_has_a_packed_size(tmp_path: Path) -> None:
    data = npz_digits(tmp_path / "data")
    made = perform("torch.train", TRAINING, {"data": data}, folder=tmp_path / "float", seed=0, threads=1).made
    assert made is not None
    training = {**LSQ_TRAINING, "epochs": 1, "limit_samples": 64}
    workbench = Workbench(Photography(made, data, 500), tmp_path / "made", 1, ((8, 8),), training)
    report = measure(workbench).report()
    rows = {row[0]: row for row in report.tables[0].rows}
    assert [name.split(",")[0].split(" (")[0] for name in rows] == [
        "float", "INT8", "INT8", "LSQ W8A8", "LSQ W8A8", "LSQ W8A8",
    ]  # fmt: skip
    assert [bool(row[4]) for row in rows.values()] == [False, False, False, True, True, True]
    assert len(report.figures) == 6
    assert all("agreement with float on 500 crops" in figure.name for figure in report.figures)
