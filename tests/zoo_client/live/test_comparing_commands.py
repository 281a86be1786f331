"""``zoo compare`` and ``zoo reports`` against the real registry, with versions that a job made and measured."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.zoo_client.conftest import Zoo
from tests.zoo_client.live.conftest import Registry
from tests.zoo_client.live.stand_in_worker import DISTILL, StandInWorker, stand_in_worker
from tests.zoo_client.live.test_catalogue_commands import safetensors
from zoo_client import Client
from zoo_sdk.messages import Measurement, Report

FINGERPRINT = "sha256:" + "c" * 64
POINT = {
    "batch": 1, "threads": 2, "p50_ms": 2.5, "p95_ms": 2.75, "p99_ms": 3.25, "throughput": 400.0, "repeats": 99,
    "noisy": True, "noise_reasons": ["other processes took 40% of the processors"],
}  # fmt: skip
BENCHMARK = {
    "fingerprint": FINGERPRINT, "hardware": {"processor": "Z80", "processors": 2.0}, "noisy": True, "load_ms": 12.0,
    "baseline_ms": 2.6, "baseline_drift": 0.04, "points": [POINT],
}  # fmt: skip
CLASSIFICATION = {
    "samples": 4, "top1": 75.0, "confusion": [[0, 0, 2], [1, 0, 1], [1, 1, 1]],
    "per_class": [
        {"class": 0, "name": "cat", "support": 2, "precision": 0.6667, "recall": 1.0, "f1": 0.8},
        {"class": 1, "name": "tabby dog", "support": 2, "precision": 1.0, "recall": 0.5, "f1": 0.6667},
    ],
    "calibration": {"error": 0.125, "bins": [
        {"low": 0.8, "high": 0.9, "samples": 4, "confidence": 0.875, "accuracy": 0.75},
    ]},
}  # fmt: skip


@pytest.fixture(scope="module")
def worker(registry: Registry) -> Iterator[StandInWorker]:
    with stand_in_worker(registry.url, registry.worker_token) as made:
        yield made


@pytest.fixture(scope="module")
def compared(registry: Registry, worker: StandInWorker, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two versions: one more accurate, one quicker."""
    from zoo_client.describing import collect_files, describe_artifacts
    from zoo_client.publishing import Draft, publish

    folder = tmp_path_factory.mktemp("weights")
    weights = folder / "model.safetensors"
    weights.write_bytes(safetensors(31))
    references = []
    with Client(registry.url, registry.admin_token) as client:
        files = collect_files([folder])
        draft = Draft(files=files, artifacts=describe_artifacts(files), seal=True)
        start = publish(client, "models", f"{registry.team}/compare-start", draft)["reference"]
        for name, top1, latency in (("exact", 92.5, 4.0), ("quick", 90.25, 2.5)):
            inputs = {"student": start, "teacher": [start]}
            outputs = {"model": f"{registry.team}/compare-{name}"}
            job = client.jobs.submit(DISTILL.name, inputs=inputs, outputs=outputs, cache="off")["id"]
            worker.claim(job)
            details = {
                "fingerprint": FINGERPRINT,
                "batch": 1,
                "threads": 2,
                "noisy": True,
                "hardware": {"processor": "Z80"},
            }
            worker.finish(
                job,
                weights,
                measurements=[
                    Measurement(name="top1", value=top1, split="test", runtime="torch"),
                    Measurement(name="latency_ms", value=latency, runtime="torch", details=details),
                ],
                reports=[
                    Report(kind="classification", content=CLASSIFICATION, split="test", runtime="torch"),
                    Report(kind="benchmark", content=BENCHMARK, runtime="torch"),
                ],
            )
            references.append(str(client.jobs.show(job)["result"]))
    return references[0], references[1]


def test_versions_are_shown_side_by_side_with_their_front(admin: Zoo, compared: tuple[str, str]) -> None:
    shown = admin("compare", *compared)
    assert shown.code == 0, shown.err
    for text in (
        "92.50",
        "90.25",
        "(noisy)",
        "top1 / latency_ms, measured",
        f"* {compared[0]}",
        f"* {compared[1]}",
        "Z80",
    ):
        assert text in shown.out
    assert "only within one hardware fingerprint" in shown.err
    found = admin("compare", *compared, "--json").json
    assert [row["reference"] for row in found["versions"]] == [*compared]


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_fronts_are_drawn_the_same_each_time(
    suffix: str, admin: Zoo, compared: tuple[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="the extra zoo-client[plot] is not installed")
    paths = [tmp_path / f"{number}.{suffix}" for number in (1, 2)]
    for path in paths:
        drawn = admin("compare", *compared, "--plot", str(path))
        assert drawn.code == 0, drawn.err
        assert "top1 against latency_ms, measured" in drawn.err
    content = paths[0].read_bytes()
    assert content == paths[1].read_bytes()
    if suffix == "png":
        assert content.startswith(b"\x89PNG")
    else:
        assert b"compare-quick@1" in content
        assert b"#767676" in content


def test_a_plot_that_cannot_be_made_is_refused_before_anything_is_asked(
    admin: Zoo, compared: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = admin("compare", *compared, "--plot", str(tmp_path / "front.gif"))
    assert (wrong.code, ".png or .svg" in wrong.err) == (2, True)
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    absent = admin("compare", *compared, "--plot", str(tmp_path / "front.svg"))
    assert absent.code == 1
    assert "zoo-client[plot]" in absent.err
    assert not (tmp_path / "front.svg").exists()


def test_versions_without_comparable_figures_cannot_be_drawn(
    admin: Zoo, compared: tuple[str, str], registry: Registry, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="the extra zoo-client[plot] is not installed")
    found = admin("compare", compared[0], f"{registry.team}/compare-start", "--plot", str(tmp_path / "x.png"))
    assert found.code == 2
    assert "no two versions have comparable figures" in found.err


def test_reports_are_listed_and_shown(admin: Zoo, compared: tuple[str, str]) -> None:
    listed = admin("reports", compared[0], "--json").json["results"]
    assert sorted(row["kind"] for row in listed) == ["benchmark", "classification"]
    shown = admin("reports", "show", compared[0], "--kind", "classification")
    for text in ("tabby dog", "66.7 %", "was taken for", "12.50 %", "0.80 to 0.90"):
        assert text in shown.out
    sweep = admin("reports", "show", compared[0], "--kind", "benchmark")
    for text in ("2.500", "3.250", "other processes took 40%", FINGERPRINT):
        assert text in sweep.out
    found = admin("reports", "show", compared[0], listed[0]["id"], "--json").json
    assert found["content"] in (CLASSIFICATION, BENCHMARK)
    assert admin("reports", "show", compared[0], "--kind", "detection").code == 4
