"""The MLflow runs of pipelines: each is the parent of its jobs' runs, made by the worker that first needs it.

The registry keeps the run's id and lets the first one win, so that the workers of a pipeline agree without knowing each
other.  A pipeline may end while nobody works for it (a gate stops it, somebody cancels it), so every worker that had a
job of it keeps a note and looks again until the pipeline has ended; ending a run twice changes nothing.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_sdk.errors import ZooError
from zoo_sdk.messages import PIPELINE_TAG, ParentRunReply
from zoo_worker.journal import mlflow_key
from zoo_worker.state import write_atomically

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

PARENT_TAG = "mlflow.parentRunId"
KIND_TAG, KIND = "zoo.kind", "pipeline"
"""Tells a pipeline's own run from its jobs' runs, which carry the pipeline's tag as well."""
MAX_PARAMS = 90

AskRegistry = Callable[[str, str | None], ParentRunReply]
"""``ask(pipeline, run_id)`` reports a run that was made (None: only asks); may raise a :class:`ZooError`."""


class ParentRuns:
    """``folder`` holds one note for each pipeline whose end is still to be told."""

    def __init__(self, folder: Path, client: "MlflowClient", ask: AskRegistry) -> None:
        self._folder = folder
        self._client = client
        self._ask = ask

    def run_of(self, pipeline: str, experiment: str) -> str | None:
        """The pipeline's run, made if there is none; None if the registry does not know the pipeline (any more).

        Raises:
            Unavailable: the registry does not answer: try again later.
            MlflowException: MLflow does not.

        """
        try:
            answer = self._ask(pipeline, None)
            run_id = answer.mlflow_run_id
            if run_id is None:
                run_id = self._agreed(pipeline, experiment, answer)
            elif answer.status == "RUNNING":
                self._unless_gone(lambda: self._client.update_run(run_id, status="RUNNING"))  # it is being retried
        except ZooError as error:
            if error.retryable:
                raise
            logger.warning("pipeline %s has no parent run: %s", pipeline, error)
            return None
        write_atomically(self._note(pipeline), run_id)
        return run_id

    def settle(self) -> bool:
        """End the runs of pipelines that have ended; True if none is left to be ended."""
        settled = [self._settle(note) for note in sorted(self._folder.glob("*.pipeline"))]
        return all(settled)

    def _settle(self, note: Path) -> bool:
        run_id = note.read_text("utf-8").strip()
        try:
            answer = self._ask(note.stem, None)
        except ZooError as error:
            if error.retryable:
                return False
            logger.warning("nobody knows pipeline %s any more: %s", note.stem, error)
            note.unlink(missing_ok=True)
            return True
        if answer.status == "RUNNING":
            return False
        self._unless_gone(lambda: self._end(answer.mlflow_run_id or run_id, answer))
        note.unlink(missing_ok=True)
        return True

    def _end(self, run_id: str, answer: ParentRunReply) -> None:
        self._tag(run_id, answer)
        self._client.set_terminated(run_id, answer.status, end_time=_milliseconds(answer.finished_at))

    def _agreed(self, pipeline: str, experiment: str, answer: ParentRunReply) -> str:
        """The run that the registry keeps: ours, unless somebody was faster."""
        found = self._client.search_runs(
            [experiment], f"tags.`{PIPELINE_TAG}` = '{pipeline}' AND tags.`{KIND_TAG}` = '{KIND}'", max_results=1
        )
        if found:  # made by a worker that died, or has not yet told the registry
            mine, run_id = False, str(found[0].info.run_id)
        else:
            mine, run_id = True, self._made(pipeline, experiment, answer)
        kept = self._ask(pipeline, run_id).mlflow_run_id or run_id
        if mine and kept != run_id:
            self._client.delete_run(run_id)
        return kept

    def _made(self, pipeline: str, experiment: str, answer: ParentRunReply) -> str:
        from mlflow.entities import Param

        run = self._client.create_run(
            experiment,
            start_time=_milliseconds(answer.started_at),
            run_name=answer.name,
            tags={PIPELINE_TAG: pipeline, KIND_TAG: KIND, "mlflow.source.type": "JOB"},
        )
        run_id = str(run.info.run_id)
        self._tag(run_id, answer)
        params = [Param(mlflow_key(name), value) for name, value in answer.params.items()][:MAX_PARAMS]
        self._client.log_batch(run_id, params=params)
        return run_id

    def _tag(self, run_id: str, answer: ParentRunReply) -> None:
        from mlflow.entities import RunTag

        tags = [RunTag(mlflow_key(name), value) for name, value in answer.tags.items()]
        self._client.log_batch(run_id, tags=tags)

    def _unless_gone(self, call: Callable[[], object]) -> None:
        """Whoever deleted the run in MLflow does not want to hear of it."""
        from mlflow.exceptions import MlflowException

        try:
            call()
        except MlflowException as error:
            if error.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "INVALID_STATE"}:
                raise
            logger.warning("MLflow refused to change a pipeline's run: %s", str(error)[:300])

    def _note(self, pipeline: str) -> Path:
        return self._folder / f"{pipeline}.pipeline"


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
