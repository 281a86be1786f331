"""Recipes, and the pipelines that run them."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack, cast
from uuid import uuid4

from zoo_client.api import Api, path_of
from zoo_client.errors import PipelineFailed
from zoo_client.records import CheckedRecipe, Page, Pipeline, Plan
from zoo_sdk.errors import InvalidInput, Unavailable
from zoo_sdk.vocabulary import PipelineState

POLL_SECONDS = 1.0
MAX_WAIT_SECONDS = 10.0
WATCH_PATIENCE_SECONDS = 600.0
"""How long a registry that does not answer is waited for: its pipelines go on without it."""
PLAN_PATIENCE_SECONDS = 120.0
MAX_RECIPE_BYTES = 256 * 1024
SHOWN_STEPS = 5


class Filling(TypedDict, total=False):
    """What a recipe is filled in with; what is left out keeps the recipe's defaults.

    ``set``: a parameter set; ``inputs``: by name a version (``team/name@3``); ``axes``: other values of the matrix;
    ``cache``: as for a job, for every step.
    """

    set: str | None
    team: str | None
    inputs: Mapping[str, str]
    values: Mapping[str, Any]
    axes: Mapping[str, Sequence[Any]]
    cache: str


class RecipeText:
    """A recipe's text, and the name by which errors call it."""

    def __init__(self, text: str, file: str = "recipe.yaml") -> None:
        self.text = text
        self.file = file

    @classmethod
    def read(cls, path: Path) -> "RecipeText":
        """The recipe in a file; raises :class:`InvalidInput` for one that is too large or no UTF-8 text."""
        if path.stat().st_size > MAX_RECIPE_BYTES:
            raise InvalidInput(f"The recipe {path} is larger than {MAX_RECIPE_BYTES // 1024} KiB.")
        try:
            return cls(path.read_text("utf-8"), str(path)[-200:])
        except UnicodeDecodeError as error:
            raise InvalidInput(f"The recipe {path} is no UTF-8 text: byte {error.start}.") from error

    def body(self) -> dict[str, Any]:
        """As the routes take it."""
        return {"recipe": self.text, "file": self.file}


class Recipes:
    """``client.recipes``: check a recipe, and see what it would do."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def validate(self, recipe: RecipeText) -> CheckedRecipe:
        """Check the recipe itself.

        Raises:
            InvalidInput: ``facts["errors"]`` lists every mistake with file, line, column and key.

        """
        return cast("CheckedRecipe", self._api.post("recipes/validate", recipe.body(), repeatable=True))

    def plan(self, recipe: RecipeText, **filling: Unpack[Filling]) -> Plan:
        """The graph, what the result cache has of it, and what the rest will cost; starts nothing.  Raises as above."""
        body = recipe.body() | _given(filling)
        answer = self._api.post("recipes/plan", body, repeatable=True, patience=PLAN_PATIENCE_SECONDS)
        return cast("Plan", answer)


class Pipelines:
    """``client.pipelines``: start, follow, cancel, try again."""

    def __init__(
        self,
        api: Api,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._sleep = sleep
        self._clock = clock

    def start(
        self,
        recipe: RecipeText,
        *,
        priority: int | None = None,
        idempotency_key: str | None = None,
        **filling: Unpack[Filling],
    ) -> Pipeline:
        """Run a recipe.  The same ``idempotency_key`` answers the same pipeline.

        Raises:
            InvalidInput: something is wrong with the recipe or with what it was filled in with.

        """
        body = recipe.body() | _given(filling) | ({} if priority is None else {"priority": priority})
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        answer = self._api.send(
            "POST", "pipelines", body=body, headers=headers, repeatable=True, patience=PLAN_PATIENCE_SECONDS
        )
        return cast("Pipeline", answer)

    def list(self, **filters: Any) -> Page:
        """One page, newest first; ``filters``: state, team, name, limit, cursor."""
        return cast("Page", self._api.get("pipelines", filters))

    def iterate(self, **filters: Any) -> Iterator[Pipeline]:
        """All pipelines, newest first."""
        return cast("Iterator[Pipeline]", self._api.pages("pipelines", filters))

    def show(self, pipeline_id: str) -> Pipeline:
        """One pipeline with its steps."""
        return cast("Pipeline", self._api.get(path_of("pipelines", pipeline_id)))

    def cancel(self, pipeline_id: str) -> Pipeline:
        """Stop it: what waits is cancelled at once, what runs at its next safe point."""
        return cast("Pipeline", self._api.post(path_of("pipelines", pipeline_id, "cancel"), repeatable=True))

    def retry(self, pipeline_id: str) -> Pipeline:
        """Go on from what failed; what succeeded is kept."""
        return cast("Pipeline", self._api.post(path_of("pipelines", pipeline_id, "retry")))

    def watch(
        self,
        pipeline_id: str,
        *,
        patience: float = WATCH_PATIENCE_SECONDS,
        on_silence: Callable[[Unavailable], None] = lambda _error: None,
    ) -> Iterator[Pipeline]:
        """The pipeline as it is, about every second until it has ended (the last item is the ended pipeline).

        A registry that is being restarted is waited for: up to ``patience`` seconds without an answer, each silence
        told to ``on_silence``; then :class:`Unavailable` is raised.
        """
        heard_at, pause = self._clock(), POLL_SECONDS
        while True:
            try:
                pipeline = self.show(pipeline_id)
            except Unavailable as error:
                if self._clock() - heard_at > patience:
                    raise
                on_silence(error)
                self._sleep(pause)
                pause = min(pause * 2, MAX_WAIT_SECONDS)
                continue
            heard_at, pause = self._clock(), POLL_SECONDS
            yield pipeline
            if pipeline["state"] != PipelineState.RUNNING:
                return
            self._sleep(POLL_SECONDS)

    def wait(self, pipeline_id: str, *, check: bool = True) -> Pipeline:
        """Wait for its end.

        Raises:
            PipelineFailed: it did not succeed (with ``check``).

        """
        pipeline: Pipeline | None = None
        for pipeline in self.watch(pipeline_id):  # noqa: B007  the last one is wanted
            pass
        if pipeline is None:
            raise AssertionError("watch gives at least one")  # pragma: no cover
        if check:
            raise_if_pipeline_failed(pipeline)
        return pipeline


def raise_if_pipeline_failed(pipeline: Pipeline) -> None:
    """Raise :class:`PipelineFailed` unless the pipeline succeeded."""
    if pipeline["state"] == PipelineState.SUCCEEDED:
        return
    causes = [step for step in pipeline["steps"] if step["state"] in {"failed", "gated", "cancelled"}]
    told = "; ".join(f"{step['key']} {step['state']}: {why_of(step)}" for step in causes[:SHOWN_STEPS])
    raise PipelineFailed(
        f"The pipeline {pipeline['id']} ({pipeline['name']}) ended {pipeline['state']}. {told}".strip(),
        hint=f"`zoo pipelines show {pipeline['id']}` shows every step, `zoo pipelines retry` goes on from there.",
        facts={"pipeline": pipeline["id"], "state": pipeline["state"], "steps": [step["key"] for step in causes]},
    )


def why_of(step: Mapping[str, Any]) -> str:
    """Why a step is as it is, in one line."""
    error = step.get("error") or {}
    return str(step.get("reason") or error.get("message") or (step.get("job") or {}).get("cause") or "")


def _given(filling: Filling) -> dict[str, Any]:
    return {name: value for name, value in filling.items() if value not in (None, {})}


def typed_text(text: str) -> Any:
    """A value as people type it: JSON where it is some (``3``, ``1e-3``, ``true``, ``[0, 1]``), else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
