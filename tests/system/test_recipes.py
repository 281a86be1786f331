"""A recipe of the classification table on a real Zoo: pruning and an ensemble of two teachers, then all of it again."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from zoo_client.pipelines import RecipeText
from zoo_client.records import Pipeline

from .running_zoo import TEAM, RunningZoo

pytestmark = pytest.mark.timeout(600)
RECIPE = Path(__file__).parents[2] / "recipes" / "resnet50-slim.yaml"
TINY: dict[str, Any] = {
    "pictures": {"limit_samples": 256, "limit_test_samples": 128},
    "training": {"epochs": 1, "batch_size": 64, "warmup_epochs": 0},
    "distillation": {"epochs": 2, "milestones": [1]},
    "allowed_drop": 100,
}  # fmt: skip
"""Of the small set: enough for every operation to be run, too little to learn anything."""
STEPS = ("base", "teacher-a", "teacher-b", "prune", "student", "check-base", "check")


def run_recipe(zoo: RunningZoo, digits: str) -> Pipeline:
    recipe = RecipeText.read(RECIPE)
    pipeline = zoo.client.pipelines.start(recipe, set="small", team=TEAM, inputs={"data": digits}, values=TINY)
    return zoo.client.pipelines.wait(pipeline["id"])


@pytest.fixture(scope="module")
def ended(zoo: RunningZoo, digits: str) -> Pipeline:
    """The pipeline, ended well."""
    return run_recipe(zoo, digits)


def test_the_graph_of_operations_runs_to_its_end(ended: Pipeline) -> None:
    assert {step["name"]: step["state"] for step in ended["steps"]} == dict.fromkeys(STEPS, "succeeded")
    assert ended["outputs"]["model"]["versions"] == [f"{TEAM}/resnet50-slim@1"]
    (gate,) = next(step["gates"] for step in ended["steps"] if step["name"] == "check")
    assert gate["passed"] is True


def test_the_model_says_what_it_was_made_from(zoo: RunningZoo, ended: Pipeline) -> None:
    made = {step["name"]: step["result"] for step in ended["steps"]}
    version = zoo.client.models.versions.show(f"{TEAM}/resnet50-slim@1")
    parents = {(item["role"], item["reference"]) for item in version["parents"]}
    assert parents >= {("base", made["prune"]), ("teacher", made["teacher-a"]), ("teacher", made["teacher-b"])}
    assert [step["kind"] for step in version["strategy"]] == ["training", "pruning", "distillation"]
    narrow, whole = (
        next(
            item["value"]
            for item in zoo.client.models.versions.metrics(str(made[name]))
            if item["name"] == "parameters"
        )
        for name in ("prune", "base")
    )
    assert narrow < 0.5 * whole


def test_its_jobs_are_children_of_one_mlflow_run(zoo: RunningZoo, ended: Pipeline) -> None:
    def run(run_id: str) -> Any:
        answer = httpx.get(f"{zoo.mlflow_url}/api/2.0/mlflow/runs/get", params={"run_id": run_id}, timeout=20)
        return answer.json()["run"]

    def parent() -> Any:
        found = zoo.client.pipelines.show(ended["id"])["mlflow_run_id"]
        return run(found) if found and run(found)["info"]["status"] == "FINISHED" else None

    made = zoo.wait(parent, "the pipeline's MLflow run has not ended", 120)
    assert {item["key"]: item["value"] for item in made["data"]["tags"]}["zoo.pipeline"] == ended["id"]
    (job,) = (step["job"] for step in ended["steps"] if step["name"] == "student" and step["job"])
    child = run(zoo.wait(lambda: zoo.job(job["id"])["mlflow_run_id"], "the job has no MLflow run", 60))
    tags = {item["key"]: item["value"] for item in child["data"]["tags"]}
    assert tags["mlflow.parentRunId"] == made["info"]["run_id"]


def test_the_same_recipe_again_runs_nothing(zoo: RunningZoo, digits: str, ended: Pipeline) -> None:
    recipe = RecipeText.read(RECIPE)
    plan = zoo.client.recipes.plan(recipe, set="small", team=TEAM, inputs={"data": digits}, values=TINY)
    assert all(step["cached"] for step in plan["steps"])
    assert plan["estimate"]["seconds"] == 0
    again = run_recipe(zoo, digits)
    assert {step["key"]: step["result"] for step in again["steps"]} == {
        step["key"]: step["result"] for step in ended["steps"]
    }
    for step in again["steps"]:
        job = step["job"]
        assert job is not None
        assert job["cached"]
        assert zoo.job(job["id"])["attempt"] == 0
