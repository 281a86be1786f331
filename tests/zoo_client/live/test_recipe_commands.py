"""Recipes and pipelines against the real registry, with a worker that only pretends."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.zoo_client.conftest import Zoo
from tests.zoo_client.live.conftest import Registry
from tests.zoo_client.live.stand_in_worker import StandInWorker
from tests.zoo_client.live.test_catalogue_commands import safetensors
from tests.zoo_client.live.test_job_commands import models, worker
from zoo_client import Client
from zoo_client.errors import PipelineFailed

__all__ = ["models", "worker"]
RECIPE = """\
zoo_recipe: 1
name: {name}
summary: Two students, one after the other.
inputs:
  student: {{kind: model}}
  teacher: {{kind: model}}
values:
  temperature: 4
sets:
  warm: {{values: {{temperature: 9}}}}
axes:
  seed: [0]
steps:
  first:
    operation: stand.distill
    for_each: [seed]
    seed: ${{axes.seed}}
    inputs:
      student: ${{inputs.student}}
      teacher: ${{inputs.teacher}}
    params: {{temperature: "${{values.temperature}}"}}
  second:
    operation: stand.distill
    for_each: [seed]
    seed: ${{axes.seed}}
    inputs:
      student: ${{steps.first}}
      teacher: ${{inputs.teacher}}
outputs:
  best: {{from: "${{steps.second}}", model: {name}-best}}
"""
Words = list[str]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "two.yaml"
    path.write_text(RECIPE.format(name=f"two-{time.time_ns() % 10**9}"))
    return path


@pytest.fixture
def filled(models: tuple[str, str], registry: Registry) -> Words:
    return ["--input", f"student={models[0]}", "--input", f"teacher={models[1]}", "--team", registry.team]


class Hand:
    """Does the jobs of a pipeline, as they come, in a thread."""

    def __init__(self, client: Client, worker: StandInWorker, folder: Path) -> None:
        self._client, self._worker, self._folder = client, worker, folder
        self._done = 0

    def work(self, pipeline: str, *, fail: str = "", jobs: int = 2) -> None:
        seen: set[str] = set()
        while len(seen) < jobs:
            for step in self._client.pipelines.show(pipeline)["steps"]:
                job = step["job"]
                if step["state"] == "running" and job and job["id"] not in seen and job["state"] == "queued":
                    seen.add(job["id"])
                    self._do(job["id"], fails=step["name"] == fail)
            time.sleep(0.05)

    def _do(self, job: str, *, fails: bool) -> None:
        attempt = self._worker.claim(job)["attempt"]
        if fails:
            self._worker.fail(job, "The loss is not a number.")
            return
        self._done += 1
        path = self._folder / "model.safetensors"
        path.write_bytes(safetensors(time.time_ns() % 10**6 + self._done))
        self._worker.finish(job, path, attempt)


@pytest.fixture
def hand(client: Client, worker: StandInWorker, tmp_path: Path) -> Hand:
    return Hand(client, worker, tmp_path)


def test_a_recipe_is_checked_and_its_plan_shown_before_anything_runs(
    admin: Zoo, worker: StandInWorker, recipe: Path, filled: Words, client: Client
) -> None:
    checked = admin("recipe", "validate", str(recipe))
    assert checked.code == 0, checked.err
    assert "first (stand.distill)" in checked.out
    before = len(list(client.jobs.iterate()))
    plan = admin("recipe", "plan", str(recipe), *filled, "--set", "warm", "--axis", "seed=0,1", "--json")
    assert plan.code == 0, plan.err
    assert [step["key"] for step in plan.json["steps"]] == [
        "first[seed=0]", "first[seed=1]", "second[seed=0]", "second[seed=1]",
    ]  # fmt: skip
    assert {step["params"]["temperature"] for step in plan.json["steps"][:2]} == {9}
    shown = admin("recipe", "plan", str(recipe), *filled).out
    assert "└─ second[seed=0]" in shown
    assert "2 steps, 0 of them in the cache" in shown
    assert len(list(client.jobs.iterate())) == before


def test_mistakes_are_printed_with_file_line_column_and_key(
    admin: Zoo, worker: StandInWorker, recipe: Path, filled: Words
) -> None:
    text = recipe.read_text()
    recipe.write_text(
        text.replace("temperature: 4\n", "temperature: hot\n").replace("operation: stand.", "operations: stand.", 1)
    )
    for words in (["validate", str(recipe)], ["run", str(recipe), *filled]):
        found = admin("recipe", *words)
        assert found.code == 2
        assert any(
            line.startswith(f"{recipe}:") and ": steps.first.operations: " in line for line in found.err.splitlines()
        ), found.err
    recipe.write_text(text.replace("temperature: 4\n", "temperature: hot\n"))
    found = admin("recipe", "plan", str(recipe), *filled, "--json")
    assert found.code == 2
    (error,) = found.json["error"]["facts"]["errors"]
    assert (error["file"], error["line"]) == (str(recipe), 8)
    recipe.write_text(text)
    missing = admin("recipe", "run", str(recipe), *filled[:2], *filled[4:])
    assert missing.code == 2
    assert "request.inputs.teacher" in missing.err


def test_several_recipes_are_checked_at_once(admin: Zoo, worker: StandInWorker, recipe: Path) -> None:
    wrong = recipe.with_name("wrong.yaml")
    wrong.write_text(recipe.read_text().replace("zoo_recipe: 1", "zoo_recipe: 7"))
    found = admin("recipe", "validate", str(recipe), str(wrong))
    assert found.code == 2
    assert f"{wrong}:1:" in found.err
    assert len(admin("recipe", "validate", str(recipe), str(recipe), "--json").json) == 2


def test_a_recipe_runs_to_its_end_and_is_shown(admin: Zoo, recipe: Path, filled: Words, hand: Hand) -> None:
    started = admin("recipe", "run", str(recipe), *filled, "--detach", "--json")
    assert started.code == 0, started.err
    pipeline = started.json["id"]
    thread = threading.Thread(target=hand.work, args=(pipeline,))
    thread.start()
    watched = admin("recipe", "watch", str(recipe), "--json")
    thread.join(30)
    assert watched.code == 0, watched.err
    assert watched.json["state"] == "succeeded"
    name = started.json["name"]
    assert watched.json["outputs"]["best"]["versions"] == [f"{filled[5]}/{name}-best@1"]
    assert "second[seed=0]: succeeded" in watched.err
    listed = admin("pipelines", "--name", name, "--json").json["results"]
    assert [(row["id"], row["counts"]) for row in listed] == [(pipeline, {"succeeded": 2})]
    shown = admin("pipelines", "show", pipeline).out
    assert f"{filled[5]}/{name}-best@1" in shown
    assert admin("pipelines", "cancel", pipeline).code == 1


def test_a_failed_pipeline_is_exit_code_1_and_goes_on_from_there(
    admin: Zoo, client: Client, recipe: Path, filled: Words, hand: Hand
) -> None:
    pipeline = admin("recipe", "run", str(recipe), *filled, "--detach", "--json").json["id"]
    thread = threading.Thread(target=hand.work, args=(pipeline,), kwargs={"fail": "second"})
    thread.start()
    watched = admin("pipelines", "watch", pipeline, "--json")
    thread.join(30)
    assert watched.code == 1
    assert watched.json["error"]["code"] == "pipeline-failed"
    assert "The loss is not a number." in watched.err
    with pytest.raises(PipelineFailed, match=r"second\[seed=0\] failed"):
        client.pipelines.wait(pipeline)
    assert admin("pipelines", "retry", pipeline, "--json").json["state"] == "running"
    thread = threading.Thread(target=hand.work, args=(pipeline,), kwargs={"jobs": 1})
    thread.start()
    assert client.pipelines.wait(pipeline)["state"] == "succeeded"
    thread.join(30)


def test_a_pipeline_is_cancelled_and_the_same_key_answers_the_same_one(
    admin: Zoo, worker: StandInWorker, recipe: Path, filled: Words
) -> None:
    def start() -> Any:
        return admin("recipe", "run", str(recipe), *filled, "--detach", "--key", f"once-{recipe.parent.name}", "--json")

    first = start().json
    assert start().json["id"] == first["id"]
    assert admin("pipelines", "cancel", first["id"], "--json").json["state"] == "cancelled"
    watched = admin("recipe", "watch", first["id"])
    assert watched.code == 1
    assert "cancelled" in watched.err


def test_a_pipeline_or_recipe_that_is_not_there_is_exit_code_4(admin: Zoo, worker: StandInWorker, recipe: Path) -> None:
    assert admin("pipelines", "show", "0198f0c2-0000-7000-8000-000000000000").code == 4
    found = admin("recipe", "watch", str(recipe))
    assert found.code == 4
    assert "zoo recipe run" in found.err
    assert json.loads(admin("pipelines", "--state", "failed", "--name", "nobody", "--json").out)["results"] == []
