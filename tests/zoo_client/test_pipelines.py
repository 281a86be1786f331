"""Following pipelines over an unreliable line, and how plans and mistakes are told; against a stand-in transport."""

import io
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from tests.zoo_client.conftest import Zoo
from zoo_client.api import TRIES, Api
from zoo_client.cli import exits
from zoo_client.cli.pipeline_view import PipelineView, live_table
from zoo_client.cli.plans import depths_of, duration_text, parameters_view, plan_view, summary_of
from zoo_client.cli.recipe_commands import read_filling
from zoo_client.errors import PipelineFailed, Unreachable
from zoo_client.pipelines import Pipelines, Recipes, RecipeText, typed_text
from zoo_sdk.errors import InvalidInput

URL = "http://zoo.test"


def step(key: str, state: str, **changes: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "key": key, "name": key, "coordinates": {}, "operation": "toy.train", "state": state, "reason": "",
        "error": None, "params": {}, "seed": 0, "inputs": [], "model": None, "job": None, "result": None, "gates": [],
    }  # fmt: skip
    return facts | changes


def pipeline(state: str, *steps: dict[str, Any]) -> Any:
    counts: dict[str, int] = {}
    for item in steps:
        counts[item["state"]] = counts.get(item["state"], 0) + 1
    return {"id": "p-1", "name": "distil", "state": state, "steps": list(steps), "counts": counts}


def following(*answers: Any) -> tuple[Pipelines, list[float]]:
    """Pipelines whose registry gives these answers in turn; an exception is no answer at all."""
    queue = list(answers)
    now = [0.0]

    def handle(_request: httpx.Request) -> httpx.Response:
        found = queue.pop(0)
        if isinstance(found, Exception):
            raise found
        return httpx.Response(200, json=found)

    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    api = Api(URL, "zoo_secret", transport=httpx.MockTransport(handle), sleep=lambda _seconds: None)
    return Pipelines(api, sleep=sleep, clock=lambda: now[0]), waits


AWAY = [httpx.ConnectError("refused")] * TRIES
"""One request for which nobody is there, with all its tries."""


def test_watching_survives_a_registry_that_is_restarted() -> None:
    silences: list[Exception] = []
    running, ended = pipeline("running", step("a", "running")), pipeline("succeeded", step("a", "succeeded"))
    found, waits = following(running, *AWAY, *AWAY, running, ended)
    states = [item["state"] for item in found.watch("p-1", on_silence=silences.append)]
    assert states == ["running", "running", "succeeded"]
    assert len(silences) == 2
    assert waits == [1, 1, 2, 1]


def test_watching_gives_up_after_its_patience() -> None:
    found, waits = following(*AWAY * 20)
    with pytest.raises(Unreachable):
        list(found.watch("p-1", patience=30))
    assert 30 < sum(waits) < 60


@pytest.mark.parametrize("state", ["failed", "stopped", "cancelled"])
def test_a_pipeline_that_did_not_succeed_says_which_steps_and_why(state: str) -> None:
    bad = step("student", "gated", reason="top1 fell by 1.2, at most 0.5 is allowed")
    found, _ = following(pipeline(state, step("teacher", "succeeded"), bad))
    with pytest.raises(PipelineFailed, match=f"ended {state}. student gated: top1 fell by 1.2") as caught:
        found.wait("p-1")
    assert caught.value.facts == {"pipeline": "p-1", "state": state, "steps": ["student"]}


def test_a_recipe_is_sent_with_its_file_name_and_only_what_was_given() -> None:
    seen: list[Any] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.path, request.headers.get("Idempotency-Key"), request.read()))
        return httpx.Response(200, json={})

    api = Api(URL, "zoo_secret", transport=httpx.MockTransport(handle))
    recipe = RecipeText("zoo_recipe: 1", "r.yaml")
    Recipes(api).plan(recipe, set="small", inputs={}, values={"epochs": 3}, team=None)
    Pipelines(api).start(recipe, priority=0, idempotency_key="once", axes={"seed": [0, 1]})
    (plan, _, plan_body), (start, key, start_body) = seen
    assert (plan, start, key) == ("/api/v1/recipes/plan", "/api/v1/pipelines", "once")
    assert httpx.Response(200, content=plan_body).json() == {
        "recipe": "zoo_recipe: 1", "file": "r.yaml", "set": "small", "values": {"epochs": 3},
    }  # fmt: skip
    assert httpx.Response(200, content=start_body).json() == {
        "recipe": "zoo_recipe: 1", "file": "r.yaml", "priority": 0, "axes": {"seed": [0, 1]},
    }  # fmt: skip


def test_a_recipe_that_is_too_large_or_no_text_is_refused_here(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"x" * (256 * 1024 + 1))
    with pytest.raises(InvalidInput, match="larger than 256 KiB"):
        RecipeText.read(path)
    path.write_bytes(b"name: \xff")
    with pytest.raises(InvalidInput, match="byte 6"):
        RecipeText.read(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("1e-3", 0.001), ("true", True), ("[0, 1]", [0, 1]), ("resnet50", "resnet50"), ("", "")],
)
def test_values_are_typed_as_json_where_they_are_some(text: str, value: Any) -> None:
    assert typed_text(text) == value


def test_options_become_what_the_routes_take() -> None:
    filling = read_filling(
        "small", "vision", inputs=["data=vision/mnist@1"], values=["epochs=3"], axes=["seed=0,1", "net=[\"a\"]"],
        cache="off",
    )  # fmt: skip
    assert filling == {
        "set": "small", "team": "vision", "inputs": {"data": "vision/mnist@1"}, "values": {"epochs": 3},
        "axes": {"seed": [0, 1], "net": ["a"]}, "cache": "off",
    }  # fmt: skip
    for wrong in (["data"], ["=x"], ["a=1", "a=2"]):
        with pytest.raises(InvalidInput, match="--value"):
            read_filling(None, None, inputs=None, values=wrong, axes=None, cache="use")


def test_members_of_a_value_can_be_given_alone() -> None:
    given = ["training.epochs=3", "training.optimizer=sgd", "heat=4"]
    filling = read_filling(None, None, inputs=None, values=given, axes=None, cache="use")
    assert filling["values"] == {"training": {"epochs": 3, "optimizer": "sgd"}, "heat": 4}
    for both in (["training={}", "training.epochs=3"], ["training.epochs=3", "training={}"]):
        with pytest.raises(InvalidInput, match=r"both training and training\.epochs"):
            read_filling(None, None, inputs=None, values=both, axes=None, cache="use")


def test_mistakes_are_told_as_compilers_tell_them(capsys: pytest.CaptureFixture[str]) -> None:
    errors = [
        {"file": "r.yaml", "line": 12, "column": 5, "key": "steps.a.params.epochs", "message": "'x' is no number",
         "value": "x", "allowed": "a whole number at least 1"},
        {"file": "r.yaml", "line": None, "column": None, "key": "request.inputs.data", "message": "is required"},
    ]  # fmt: skip
    error = InvalidInput("2 mistakes in r.yaml.", facts={"errors": errors})
    exits.tell(error, as_json=False)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "r.yaml:12:5: steps.a.params.epochs: 'x' is no number (allowed: a whole number at least 1)"
    assert lines[1] == "request.inputs.data: is required"
    assert lines[2] == "Error: 2 mistakes in r.yaml."
    assert exits.exit_code_of(error) == 2


def test_a_recipe_file_that_does_not_exist_is_wrong_usage(zoo: Zoo) -> None:
    found = zoo("recipe", "run", "nowhere.yaml")
    assert found.code == 2
    assert "nowhere.yaml" in found.err


def drawn(renderable: Any, width: int = 200) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(renderable)
    return stream.getvalue()


def planned(key: str, **changes: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "key": key, "name": key.partition("[")[0], "operation": "toy.train", "available": True, "waiting_for": None,
        "inputs": [], "model": None, "gates": [], "params": {}, "seed": 0, "gpus": 0, "cached": None,
        "left_out": False, "estimate_seconds": None, "estimate_basis": "",
    }  # fmt: skip
    return facts | changes


def test_a_plan_shows_the_graph_the_cache_and_the_cost() -> None:
    steps = [
        planned("teacher", cached="vision/teacher@3", inputs=[{"port": "data", "source": "vision/mnist@1"}]),
        planned("base", estimate_seconds=600, estimate_basis="median of 4 jobs"),
        planned(
            "student",
            inputs=[{"port": "teacher", "source": "steps.teacher", "weight": 0.5}],
            gates=["top1 at most 0.5 below teacher"],
            model="vision/student",
        ),
        planned("fallback", left_out=True),
        planned("timed", available=False, gpus=2, waiting_for="a worker with 2 GPUs: the largest has 1"),
    ]
    edges = [
        {"source": "teacher", "target": "student", "kind": "input"},
        {"source": "base", "target": "student", "kind": "input"},
        {"source": "student", "target": "timed", "kind": "input"},
    ]
    plan: Any = {
        "steps": steps,
        "edges": edges,
        "estimate": {"seconds": 600, "critical_path_seconds": 60, "unknown": 2},
    }
    assert depths_of(steps, edges) == {"teacher": 0, "base": 0, "student": 1, "fallback": 0, "timed": 2}
    text = drawn(plan_view(plan))
    for words in (
        "✓ in the cache: vision/teacher@3", "about 10 min (median of 4 jobs)", "└─ student", "   └─ timed",
        "teacher: teacher x 0.5", "toy.train, 2 GPUs (no worker)", "left out", "4 steps, 1 of them in the cache",
        "10 min of one worker at a time, 60 s with workers", "of 2 nothing is known yet",
        "timed will wait for a worker with 2 GPUs: the largest has 1",
    ):  # fmt: skip
        assert words in text, text


def test_parameters_are_shown_as_merged_once_for_instances_that_have_the_same() -> None:
    merged = {"epochs": 4, "mean": [0.5], "augmentation": "none", "resize": None}
    steps = [planned(f"student[seed={number}]", params=merged, seed=number, gpus=2) for number in range(6)]
    steps += [planned("base", params={"epochs": 90}), planned("fallback", params={"epochs": 1}, left_out=True)]
    plan: Any = {"steps": steps, "edges": [], "estimate": {}}
    lines = [line.rstrip() for line in drawn(parameters_view(plan)).splitlines()]
    assert lines[1] == ("student[seed=0], student[seed=1], student[seed=2], student[seed=3] and 2 more (toy.train)")
    shown = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[2:8]}
    assert shown == {
        "seed": "0, 1, 2, 3, 4, 5", "GPUs": "2", "epochs": "4", "mean": "[0.5]", "augmentation": '"none"',
        "resize": "null",
    }  # fmt: skip
    assert "base (toy.train)" in lines
    assert not any("fallback" in line for line in lines)


def test_a_plan_without_any_history_says_no_duration() -> None:
    estimate = {"seconds": 0, "critical_path_seconds": 0, "unknown": 2}
    plan: Any = {"steps": [planned("a"), planned("b"), planned("c", cached="vision/c@1")], "estimate": estimate}
    assert summary_of(plan) == "3 steps, 1 of them in the cache; how long the others take is not known yet."


@pytest.mark.parametrize(("seconds", "text"), [(3, "3 s"), (600, "10 min"), (3 * 3600, "3.0 h"), (200_000, "2.3 d")])
def test_durations_are_told_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_without_a_terminal_each_change_of_a_step_is_a_line() -> None:
    stream = io.StringIO()
    with PipelineView(Console(file=stream, width=200)) as view:
        view.show(pipeline("running", step("a", "running"), step("b", "waiting")))
        view.silence(Unreachable("gone"))
        view.silence(Unreachable("gone"))
        waiting = {"state": "queued", "waiting_for": "a worker with 4 GPUs"}
        view.show(pipeline("running", step("a", "running", job=waiting), step("b", "waiting")))
        cached = step("b", "succeeded", job={"cached": True}, result="vision/b@1")
        view.show(pipeline("running", step("a", "running"), cached))
        view.show(pipeline("failed", step("a", "failed", reason="It broke."), cached))
    lines = [line[9:] for line in stream.getvalue().splitlines()]
    assert lines == [
        "a: running",
        "waiting for the registry; the pipeline goes on without it (gone)",
        "the registry answers again",
        "a: waiting for a worker with 4 GPUs",
        "b: succeeded, from the cache, vision/b@1",
        "a: failed, It broke.",
    ]


def test_of_many_steps_a_terminal_shows_those_that_matter_in_the_recipes_order() -> None:
    steps = [step(f"s{number}", "waiting") for number in range(100)]
    steps[40] = step(
        "s40", "running", job={"state": "running", "progress": {"done": 1, "total": 4, "message": "epoch 1"}}
    )
    steps[7] = step("s7", "failed", reason="It broke.")
    text = drawn(live_table(pipeline("running", *steps), 5))
    keys = [line.split()[0] for line in text.splitlines()[1:]]
    assert keys == ["s0", "s1", "s2", "s7", "s40"]
    assert "epoch 1" in text
    assert "98 waiting" in text
