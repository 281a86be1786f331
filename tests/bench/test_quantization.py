"""A tiny run of the comparison of INT8 with float."""

from pathlib import Path

import pytest

from bench.quantization import Workshop, measure
from tests.zoo_vision.samples import npz_digits


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the frameworks' own deprecations are not ours
def test_a_tiny_run_reports_accuracy_latency_and_size_of_both_precisions(tmp_path: Path) -> None:
    training = {"epochs": 2, "batch_size": 32, "limit_samples": 640, "limit_test_samples": 100}
    workshop = Workshop(npz_digits(tmp_path / "data"), training, tmp_path / "made", 0, 1, 100)
    settings = {"mixed": {"preset": "mixed"}}
    report = measure(workshop, ["zoo:conv_tiny"], settings=settings, batches=(1, 4), rounds=2, seconds=0.01).report()
    difference, onnxruntime, *latencies = report.figures
    assert difference.goal is not None
    assert difference.goal.bound == 0.3
    top1 = report.raw["top1"]["zoo:conv_tiny"]
    assert top1["onnx"] == pytest.approx(top1["fp32"], abs=1)
    assert difference.value == pytest.approx(abs(top1["int8"] - top1["fp32"]))
    assert onnxruntime.value == pytest.approx(abs(top1["ort-int8"] - top1["onnx"]))
    assert [figure.name for figure in latencies] == [f"zoo:conv_tiny: INT8 / FP32 latency, batch {n}" for n in (1, 4)]
    assert all(figure.value > 0 for figure in latencies)
    assert report.tables[2].columns == ("network", "defaults", "mixed")
    assert report.tables[2].rows[0][1] == f"{top1['int8'] - top1['fp32']:+.2f}"
    assert float(report.tables[0].rows[0][-1]) < 0.5  # INT8 weights are a quarter of the float ones, scales added
