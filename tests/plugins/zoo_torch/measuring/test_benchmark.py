"""Timing PyTorch weights."""

from pathlib import Path

import pytest

from tests.plugins.zoo_torch.samples import fresh_model, perform
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.errors import InvalidInput

SETTINGS = {"seconds": 0.05, "warmup": 1, "batch": 4}


def test_a_benchmark_reports_latency_throughput_and_how_they_were_measured(tmp_path: Path) -> None:
    model = fresh_model(tmp_path / "model", preprocessing=Preprocessing(channels=1, crop=(8, 8)))
    outcome = perform("torch.benchmark", tmp_path / "run", {"model": model}, **SETTINGS)
    assert 0 < outcome.measured("latency_ms") <= outcome.measured("latency_ms_p95")
    assert outcome.measured("throughput") > 0
    details = next(item.details for item in outcome.context.measurements if item.name == "latency_ms")
    assert (details["batch"], details["threads"], details["noisy"] in {True, False}) == (4, 1, True)


def test_weights_of_unknown_input_cannot_be_timed(tmp_path: Path) -> None:
    model = fresh_model(tmp_path / "model", preprocessing=Preprocessing(channels=1, crop=(8, 8)))
    assert model.artifact is not None
    bare = model.model_copy(update={"artifact": model.artifact.model_copy(update={"preprocessing": None})})
    with pytest.raises(InvalidInput, match="does not say how a picture becomes its input"):
        perform("torch.benchmark", tmp_path / "run", {"model": bare}, **SETTINGS)
