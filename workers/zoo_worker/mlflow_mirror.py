"""Replays journals to MLflow from a thread: in batches, in order, with patience while MLflow is away."""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from zoo_sdk.errors import ZooError
from zoo_sdk.vocabulary import FailureCause, JobState
from zoo_worker.journal import (
    EndEntry,
    Entry,
    MetricEntry,
    RunStatus,
    StartEntry,
    TagEntry,
    close_dead_journals,
    journal_path,
    read_entries,
)
from zoo_worker.parent_runs import PARENT_TAG, AskRegistry, ParentRuns
from zoo_worker.state import write_atomically

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

BATCH_LINES = 1000
LIVE_PAUSE_SECONDS = 2.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 2.0, 60.0
PARAMS_PER_BATCH = 90
FINAL_REFUSALS = frozenset({"INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST"})
"""The content is wrong, or somebody deleted the run: sending it again would be refused again, for ever."""
MLFLOW_VARIABLES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_TRUNCATE_LONG_VALUES": "true",
}
"""Nothing goes anywhere but to the tracking server; patience is ours, MLflow's own retries would block for minutes."""

ReportRun = Callable[[str, int, str], Mapping[str, Any]]
"""``report_run(job, attempt, run_id)`` tells the registry and returns the job; may raise a :class:`ZooError`."""


class Position(BaseModel):
    """How far a journal was replayed; kept beside it."""

    model_config = ConfigDict(extra="forbid")

    offset: int = 0
    run_id: str | None = None
    reported: bool = False


class MlflowMirror:
    """One thread for all journals of a worker.  :meth:`wake` after writing to a journal makes it look at once."""

    def __init__(
        self, folder: Path, tracking_uri: str, report_run: ReportRun, ask_of_pipeline: AskRegistry | None = None
    ) -> None:
        self._folder = folder
        self._tracking_uri = tracking_uri
        self._report_run = report_run
        self._ask_of_pipeline = ask_of_pipeline
        self._client: MlflowClient | None = None
        self._settle_pause = FIRST_PAUSE_SECONDS
        self._settle_at = 0.0
        self._woken = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlflow mirror", daemon=True)

    def start(self) -> None:
        """End what a killed worker left open (as KILLED, unless the registry knows better), and begin."""
        for path in close_dead_journals(self._folder):
            logger.info("journal %s belonged to a killed worker", path.name)
        self._thread.start()

    def wake(self) -> None:
        """There is news in a journal."""
        self._woken.set()

    def close(self, seconds: float) -> None:
        """Replay what can be replayed in that time, and stop; the rest is replayed at the next start."""
        self._closing.set()
        self._woken.set()
        self._thread.join(seconds)

    def run_id(self, job: str, attempt: int) -> str | None:
        """The MLflow run of an attempt, as far as it is known."""
        return _read_position(journal_path(self._folder, job, attempt)).run_id

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            closing = self._closing.is_set()
            self._woken.clear()
            journals = sorted(self._folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
            replayed = [self._replay(path) for path in journals]
            settled = self._settle(at_once=closing)
            if closing:
                return
            if not all(replayed):
                self._closing.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            else:
                pause = FIRST_PAUSE_SECONDS
                if any(self._folder.glob("*.jsonl")):
                    self._closing.wait(LIVE_PAUSE_SECONDS)
                elif not self._woken.wait(None if settled else self._settle_pause):
                    continue
                else:
                    self._settle_pause = FIRST_PAUSE_SECONDS

    def _replay(self, path: Path) -> bool:
        """Replay one journal as far as it goes; False when MLflow (or the registry) did not take it."""
        try:
            JournalReplay(self._connect(), path, self._report_run, self._parents()).run()
        except Exception as error:  # noqa: BLE001 - mlflow and its transport raise many kinds; none may end this thread
            logger.warning("MLflow at %s did not take %s: %s", self._tracking_uri, path.name, str(error)[:300])
            return False
        return True

    def _settle(self, *, at_once: bool) -> bool:
        """Look whether pipelines have ended, now and then; False while one has not."""
        if not any(self._folder.glob("*.pipeline")):
            return True
        if time.monotonic() < self._settle_at and not at_once:
            return False
        try:
            parents = self._parents()
            settled = parents is None or parents.settle()
        except Exception as error:  # noqa: BLE001 - as above
            logger.warning("MLflow at %s did not take the end of a pipeline: %s", self._tracking_uri, str(error)[:300])
            settled = False
        self._settle_at = time.monotonic() + self._settle_pause
        self._settle_pause = min(self._settle_pause * 2, LONGEST_PAUSE_SECONDS)
        return settled

    def _parents(self) -> ParentRuns | None:
        return ParentRuns(self._folder, self._connect(), self._ask_of_pipeline) if self._ask_of_pipeline else None

    def _connect(self) -> "MlflowClient":
        if self._client is None:
            self._client = connect(self._tracking_uri)
        return self._client


def connect(tracking_uri: str) -> "MlflowClient":
    """An MLflow client; the import takes seconds, which is why it is here."""
    for name, value in MLFLOW_VARIABLES.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracking_uri)


class JournalReplay:
    """Brings one journal's run up to date.

    The position is saved after each batch.  If the worker dies between the two, the batch is sent again: MLflow keeps
    equal points, parameters and tags once.  A run is looked for by its job's tag before one is made: one run per job.
    """

    def __init__(
        self, client: "MlflowClient", path: Path, report_run: ReportRun, parents: ParentRuns | None = None
    ) -> None:
        self._client = client
        self._parents = parents
        self._path = path
        self._report_run = report_run
        self._position = _read_position(path)
        first = next(read_entries(path, 0, 1), (None, 0))[0]
        self._start = first if isinstance(first, StartEntry) else None

    def run(self) -> None:
        """Replay all complete lines; the journal is removed when its end has been replayed."""
        if self._start is None:
            logger.warning("%s has no beginning; removed", self._path)
            self._remove()
            return
        if self._position.run_id is None:
            self._position.run_id = self._open_run(self._start)
            self._save()
        self._report()
        while batch := list(read_entries(self._path, self._position.offset, BATCH_LINES)):
            entries = [entry for entry, _ in batch if entry is not None]
            self._send(entries)
            self._position.offset = batch[-1][1]
            self._save()
            if any(isinstance(entry, EndEntry) for entry in entries) and self._position.reported:
                self._remove()
                return
        if self._position.reported and self._has_ended():
            self._remove()

    def _open_run(self, start: StartEntry) -> str:
        experiment = self._experiment(start.experiment)
        run_id = self._existing_run(start, experiment)
        parent = self._parents.run_of(start.pipeline, experiment) if self._parents and start.pipeline else None
        tags = {"zoo.job": start.job} | ({PARENT_TAG: parent} if parent else {})
        if run_id is None:
            run = self._client.create_run(experiment, start_time=start.time_ms, run_name=start.run_name, tags=tags)
            run_id = str(run.info.run_id)
        else:
            self._client.update_run(run_id, status="RUNNING")
            for name, value in tags.items():
                self._client.set_tag(run_id, name, value)
        return run_id

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id) if found else "0"

    def _existing_run(self, start: StartEntry, experiment: str) -> str | None:
        from mlflow.exceptions import MlflowException

        if start.run_id is not None:
            try:
                return str(self._client.get_run(start.run_id).info.run_id)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
        found = self._client.search_runs([experiment], f"tags.`zoo.job` = '{start.job}'", max_results=1)
        return str(found[0].info.run_id) if found else None

    def _report(self) -> None:
        if self._start is None or self._position.run_id is None or self._position.reported:
            return
        try:
            self._report_run(self._start.job, self._start.attempt, self._position.run_id)
        except ZooError as error:
            if error.retryable:
                logger.warning("the registry was not told of MLflow run %s: %s", self._position.run_id, error)
                return
            logger.warning("the registry does not want to know MLflow run %s: %s", self._position.run_id, error)
        self._position.reported = True
        self._save()

    def _send(self, entries: list[Entry]) -> None:
        from mlflow.entities import Metric, RunTag

        metrics: list[Any] = []
        tags: dict[str, str] = {}
        end: EndEntry | None = None
        for entry in entries:
            match entry:
                case StartEntry():
                    self._send_start(entry)
                case MetricEntry():
                    metrics.append(Metric(entry.name, entry.value, entry.time_ms, entry.step))
                case TagEntry():
                    tags[entry.name] = entry.value
                case EndEntry():
                    end = entry
        if metrics or tags:
            self._log(metrics=metrics, tags=[RunTag(name, value) for name, value in tags.items()])
        if end is not None:
            self._unless_refused(lambda: self._end(end))

    def _send_start(self, start: StartEntry) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

        self._log(tags=[RunTag(name, value) for name, value in start.tags.items()])
        params = [Param(name, value) for name, value in start.params.items()]
        for first in range(0, len(params), PARAMS_PER_BATCH):
            self._log(params=params[first : first + PARAMS_PER_BATCH])
        if start.datasets:
            inputs = [
                DatasetInput(
                    Dataset(name=note.name, digest=note.digest, source_type="http", source=note.source),
                    [InputTag("mlflow.data.context", note.context)],
                )
                for note in start.datasets
            ]
            self._unless_refused(lambda: self._client.log_inputs(self._run_id, inputs))

    def _log(self, **what: Any) -> None:
        self._unless_refused(lambda: self._client.log_batch(self._run_id, **what))

    def _unless_refused(self, call: Callable[[], object]) -> None:
        from mlflow.exceptions import MlflowException

        try:
            call()
        except MlflowException as error:
            if error.error_code not in FINAL_REFUSALS:
                raise
            logger.warning("MLflow refused a part of %s: %s", self._path.name, str(error)[:300])

    def _end(self, end: EndEntry) -> None:
        if self._is_overtaken():
            return
        status = self._learned_status(end) if end.presumed else end.status
        self._client.set_terminated(self._run_id, status, end_time=end.time_ms)

    def _learned_status(self, end: EndEntry) -> RunStatus:
        """How the attempt of a killed worker ended: its report may have arrived although it never heard the answer."""
        if self._start is None:
            return end.status
        try:
            job = self._report_run(self._start.job, self._start.attempt, self._run_id)
        except ZooError as error:
            if error.retryable:
                raise
            return end.status
        if job["attempt"] != self._start.attempt:
            return end.status
        if job["state"] == JobState.SUCCEEDED:
            if job["result"]:
                self._client.set_tag(self._run_id, "zoo.version", job["result"])
            return "FINISHED"
        reported_failure = job["state"] == JobState.FAILED and job["cause"] != FailureCause.WORKER_LOST
        return "FAILED" if reported_failure else end.status

    def _is_overtaken(self) -> bool:
        """Whether a later attempt goes on with the run, whose end is then not ours to tell."""
        tags: Mapping[str, str] = self._client.get_run(self._run_id).data.tags
        latest = tags.get("zoo.attempt", "0")
        return self._start is not None and latest.isdigit() and int(latest) > self._start.attempt

    def _has_ended(self) -> bool:
        return self._path.stat().st_size == self._position.offset and _last_line_is_end(self._path)

    @property
    def _run_id(self) -> str:
        return self._position.run_id or ""

    def _save(self) -> None:
        write_atomically(_position_path(self._path), self._position.model_dump_json())

    def _remove(self) -> None:
        self._path.unlink(missing_ok=True)
        _position_path(self._path).unlink(missing_ok=True)


def _position_path(journal: Path) -> Path:
    return journal.with_suffix(".position")


def _read_position(journal: Path) -> Position:
    try:
        return Position.model_validate_json(_position_path(journal).read_bytes())
    except (OSError, ValidationError):
        return Position()


def _last_line_is_end(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        lines = file.read().splitlines()
    try:
        return bool(lines) and json.loads(lines[-1]).get("kind") == "end"
    except ValueError:
        return False
