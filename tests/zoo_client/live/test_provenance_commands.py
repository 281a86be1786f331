"""``zoo provenance``, ``bom`` and ``reproduce`` against the real registry, with a worker that only pretends."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.zoo_client.conftest import Zoo
from tests.zoo_client.live.conftest import Registry
from tests.zoo_client.live.stand_in_worker import DISTILL, StandInWorker, stand_in_worker
from tests.zoo_client.live.test_catalogue_commands import safetensors
from zoo_client import Client
from zoo_client.records import Job
from zoo_sdk.vocabulary import JobState


@pytest.fixture
def worker(registry: Registry) -> Iterator[StandInWorker]:
    with stand_in_worker(registry.url, registry.worker_token) as made:
        yield made


@contextmanager
def working(client: Client, worker: StandInWorker, folder: Path, weights: Callable[[], bytes]) -> Iterator[None]:
    """Finish every job that is submitted meanwhile, as a worker of one's own would; what goes wrong cancels it."""
    ended = threading.Event()
    # The registry is shared, and jobs that other tests left queued are not for this worker.
    known = {job["id"] for job in queued(client)}
    errors: list[Exception] = []

    def work() -> None:
        while not ended.wait(0.05):
            for job in queued(client):
                if job["id"] in known:
                    continue
                known.add(job["id"])
                try:
                    worker.claim(job["id"])
                    (folder / "model.safetensors").write_bytes(weights())
                    worker.finish(job["id"], folder / "model.safetensors")
                except Exception as error:  # noqa: BLE001 - raised below; without an end of its job, the test would hang
                    errors.append(error)
                    client.jobs.cancel(job["id"])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert errors == []


def queued(client: Client) -> list[Job]:
    return client.jobs.list(state=JobState.QUEUED, operation=DISTILL.name)["results"]


@pytest.fixture
def distilled(admin: Zoo, registry: Registry, client: Client, worker: StandInWorker, tmp_path: Path) -> str:
    """A version that a job made."""
    name = f"{registry.team}/told-{tmp_path.name[-12:].strip('_').lower()}"
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.safetensors").write_bytes(safetensors(5))
    assert admin("push", f"{name}-base", str(source), "--seal").code == 0
    words = [
        "--student",
        f"{name}-base@1",
        "--teacher",
        f"{name}-base@1=0.5",
        "--seed",
        "3",
        "--param",
        "temperature=4",
    ]
    with working(client, worker, tmp_path, lambda: safetensors(50)):
        done = admin("submit", DISTILL.name, *words, "--output", name, "--watch", "--no-cache", "--json")
    assert done.code == 0, done.err
    return str(done.json["result"])


def test_the_story_and_the_bill_of_a_version_are_printed(admin: Zoo, distilled: str, tmp_path: Path):
    text = admin("provenance", distilled).out
    assert f"2. {distilled}" in text
    assert "distillation (kd) by stand.distill v1" in text
    assert "seed 3; " in text
    assert "temperature=4" in text
    assert admin("provenance", distilled, "--json").json["versions"][0]["reference"] == distilled
    assert admin("provenance", distilled, "--format", "mermaid").out.startswith("flowchart TD")
    picture = tmp_path / "story.dot"
    assert admin("provenance", distilled, "--format", "dot", "--output", str(picture)).code == 0
    assert picture.read_text().startswith("digraph provenance {")
    assert json.loads(admin("bom", distilled).out)["bomFormat"] == "CycloneDX"
    file = tmp_path / "bom.json"
    assert admin("bom", distilled, "--format", "spdx", "-o", str(file)).code == 0
    assert "@graph" in json.loads(file.read_text())


def test_the_same_result_is_a_reproduction_byte_for_byte(
    admin: Zoo, client: Client, worker: StandInWorker, distilled: str, tmp_path: Path
):
    with working(client, worker, tmp_path, lambda: safetensors(50)):
        again = admin("reproduce", distilled, "--json")
    assert again.code == 0, again.err
    assert (again.json["identical"], again.json["environment"]) == (True, [])
    assert again.json["again"] == f"{distilled.split('@', maxsplit=1)[0]}-reproduced@1"
    first, second = (client.jobs.show(str(client.find(ref)[1]["job"])) for ref in (distilled, again.json["again"]))
    for name in ("operation", "params", "seed", "inputs"):
        assert first[name] == second[name]  # type: ignore[literal-required]


def test_another_result_without_any_metric_is_none(
    admin: Zoo, client: Client, worker: StandInWorker, distilled: str, tmp_path: Path
):
    with working(client, worker, tmp_path, lambda: safetensors(51)):
        again = admin("reproduce", distilled, "--tolerance", "0.5", "--json")
    assert again.code == 1
    assert "no metric was measured" in again.err
    assert again.json["error"]["facts"]["differing"] == ["model.safetensors"]


def test_a_version_that_was_brought_cannot_be_reproduced(admin: Zoo, distilled: str):
    found = admin("reproduce", f"{distilled.split('@', maxsplit=1)[0]}-base@1")
    assert found.code == 2
    assert "no job made it" in found.err
