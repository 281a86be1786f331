"""What jobs keep for later jobs of the same worker."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.zoo_worker.conftest import hold_input
from tests.zoo_worker.stand_in_registry import StandInRegistry
from zoo_worker.agent import Agent
from zoo_worker.cache import evict_oldest
from zoo_worker.settings import WorkerSettings
from zoo_worker.state import StateFolder

pytestmark = pytest.mark.usefixtures("probe_plugin")


def said(registry: StandInRegistry, agent: Agent, **params: object) -> list[str]:
    job = registry.submit("probe.remember", params)
    assert agent.run(str(job.id)) == "FINISHED"
    return [body.message for body in job.messages("log")]


def test_a_later_job_finds_what_an_earlier_one_kept(registry: StandInRegistry, agent: Agent) -> None:
    assert said(registry, agent, text="a", count=100) == ["made"]
    assert said(registry, agent, text="a", count=100) == ["found"]


def test_after_each_attempt_what_was_unused_for_longest_goes(
    registry: StandInRegistry, make_agent: Callable[..., Agent], settings: WorkerSettings
) -> None:
    agent = make_agent(shared_cache_bytes=2500)
    for key in ("a", "b", "a", "c"):
        said(registry, agent, text=key, count=1000)
    assert {path.name for path in (settings.state / "shared_cache").iterdir()} == {"a", "c"}


def test_the_worker_tells_the_digest_that_reading_the_files_gives(registry: StandInRegistry, agent: Agent) -> None:
    item = hold_input(registry, b"weights", path="some/model.json")
    job = registry.submit("probe.remember", {"text": "a", "count": 1}, inputs={"weights": (item,)})
    assert agent.run(str(job.id)) == "FINISHED"
    told = json.loads(job.messages("log")[-1].message)
    assert told["given"] == told["read"]


def test_a_half_written_entry_of_a_killed_worker_is_swept(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    (state.shared_cache / "a.x1.partial").write_bytes(b"half")
    (state.shared_cache / "b").write_bytes(b"whole")
    state.sweep()
    assert [path.name for path in state.shared_cache.iterdir()] == ["b"]


def test_eviction_counts_what_a_plugin_put_into_folders_and_follows_no_link(tmp_path: Path) -> None:
    folder, outside = tmp_path / "cache", tmp_path / "outside"
    (folder / "deep").mkdir(parents=True)
    outside.write_bytes(b"x" * 1000)
    for age, name in enumerate(("deep/old", "new")):
        (folder / name).write_bytes(b"x" * 60)
        os.utime(folder / name, (age, age))
    link = folder / "link"
    link.symlink_to(outside)
    evict_oldest(folder, 100 + link.lstat().st_size)
    assert {path.name for path in folder.iterdir()} == {"deep", "new", "link"}
    assert not (folder / "deep" / "old").exists()
    assert outside.exists()
