"""``zoo convert`` against the real registry, with a worker that only pretends."""

import threading
from pathlib import Path

from tests.zoo_client.conftest import Zoo
from tests.zoo_client.live.stand_in_worker import StandInWorker
from tests.zoo_client.live.test_job_commands import models, worker
from tests.zoo_client.live.test_recipe_commands import Hand, hand
from zoo_client import Client

__all__ = ["hand", "models", "worker"]
TO_HALF = ("--to", "safetensors", "--precision", "fp16")


def test_a_dry_run_shows_the_path_and_starts_nothing(
    admin: Zoo, worker: StandInWorker, models: tuple[str, str], client: Client
) -> None:
    before = len(list(client.jobs.iterate()))
    found = admin("convert", models[0], *TO_HALF, "--dry-run", "--option", "stand.halve.samples=16")
    assert found.code == 0, found.err
    assert "stand.halve" in found.out
    assert "samples=16" in found.out
    assert "safetensors fp16" in found.out
    told = admin("convert", models[0], *TO_HALF, "--dry-run", "--json").json
    assert (told["found"], told["cost"], len(told["steps"])) == (True, 10, 1)
    assert len(list(client.jobs.iterate())) == before


def test_a_conversion_runs_to_its_end(admin: Zoo, models: tuple[str, str], client: Client, hand: Hand) -> None:
    started = admin("convert", models[0], *TO_HALF, "--model", "halved", "--detach", "--json")
    assert started.code == 0, started.err
    thread = threading.Thread(target=hand.work, args=(started.json["id"],), kwargs={"jobs": 1})
    thread.start()
    pipeline = client.pipelines.wait(started.json["id"])
    thread.join(30)
    assert pipeline["state"] == "succeeded"
    (version,) = pipeline["outputs"]["converted"]["versions"]
    assert version.rpartition("/")[2] == "halved@1"
    assert models[0] in admin("lineage", version).out


def test_what_no_machine_can_do_is_told_with_its_reason_and_exit_code_2(
    admin: Zoo, worker: StandInWorker, models: tuple[str, str]
) -> None:
    found = admin("convert", models[0], "--to", "tensorrt-plan")
    assert found.code == 2
    assert "worker stand-in-worker has no GPU (a plan is built for the device at hand)" in " ".join(found.out.split())
    assert "not all of its edges can be taken" in found.err
    told = admin("convert", models[0], "--to", "tensorrt-plan", "--json")
    assert told.code == 2
    assert told.json["error"]["facts"]["unavailable"][0]["operation"] == "stand.halve"


def test_what_is_there_already_is_said(admin: Zoo, worker: StandInWorker, models: tuple[str, str]) -> None:
    found = admin("convert", models[0], "--to", "safetensors")
    assert found.code == 0
    assert "Nothing to do" in found.out


def test_wrong_words_are_refused_by_name(admin: Zoo, worker: StandInWorker, models: tuple[str, str]) -> None:
    for words, told in (
        (["--to", "onxx"], "onnx"),
        (["--to", "onnx", "--option", "samples=3"], "operation.name=value"),
        ([*TO_HALF, "--option", "stand.halve.samples=0"], "samples"),
    ):
        found = admin("convert", models[0], *words)
        assert found.code == 2, (words, found.out)
        assert told in found.err


def test_every_conversion_is_listed(admin: Zoo, worker: StandInWorker, tmp_path: Path) -> None:
    edges = admin("conversions", "--json").json
    assert [(edge["operation"], edge["target"], edge["available"]) for edge in edges] == [
        ("stand.halve", "safetensors", True),
        ("stand.halve", "tensorrt-plan", False),
    ]
    assert "has no GPU" in " ".join(admin("conversions").out.split())
