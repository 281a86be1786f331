"""One attempt at a job: inputs, child, outputs, report."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from zoo_sdk.artifacts import FileEntry
from zoo_sdk.context import InputItem, Inputs
from zoo_sdk.discovery import find_operation
from zoo_sdk.errors import Conflict, InvalidInput, LeaseLost, OperationError, Unavailable, ZooError
from zoo_sdk.messages import (
    Assignment,
    EventBody,
    FailureReport,
    FinishReport,
    MetricEvent,
    OutputReport,
    StateEvent,
)
from zoo_sdk.operations import Resources
from zoo_sdk.shared_cache import digest_of_files
from zoo_sdk.vocabulary import FINAL_JOB_STATES, FailureCause, JobState
from zoo_worker.cache import InputCache, evict_oldest
from zoo_worker.confinement import Confinement
from zoo_worker.determinants import determinants_of, digest_of
from zoo_worker.events import EventSender
from zoo_worker.failures import make_failure
from zoo_worker.gpus import Gpu
from zoo_worker.handover import ChildOrder, ChildResult, Failure
from zoo_worker.journal import Journal, RunStatus
from zoo_worker.machine import plugin_of, usable_memory_bytes, usable_threads
from zoo_worker.registry import AttemptRoutes, persistently
from zoo_worker.state import StateFolder, remove_tree
from zoo_worker.stopping import FENCED, Stop, Stopped, StopReason
from zoo_worker.streams import RateLimit
from zoo_worker.supervisor import Limits, Supervisor
from zoo_worker.uploads import output_files, upload_file
from zoo_worker.vital_signs import VitalSigns

logger = logging.getLogger(__name__)

REPORT_PATIENCE_SECONDS = 900.0
RELEASE_PATIENCE_SECONDS = 10.0
FLUSH_SECONDS = 10.0
MEMORY_SHARE = 0.95
"""Of the machine's memory: beyond it the operation is ended, before the kernel picks a victim among all processes."""
POINTS_PER_SECOND, POINTS_AT_ONCE = 20, 2000
"""Curve points that go to the registry's events; MLflow gets all of them."""
UPLOAD_STOPS = frozenset({StopReason.CANCELLED, StopReason.LEASE_LOST})
"""A finished child's outputs are worth sending even while the worker shuts down or the registry was away for long."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What an attempt uses of its worker."""

    state: StateFolder
    cache: InputCache
    shared_cache_bytes: int
    grace_seconds: float
    machine: dict[str, Any]
    secrets: tuple[str, ...]
    confinement: Confinement = field(default_factory=Confinement)
    mlflow_run_id: Callable[[str, int], str | None] = lambda _job, _attempt: None


@dataclass(kw_only=True)
class Attempt:
    """Carries out one assignment; :meth:`run` never raises for what may go wrong with a job.

    ``gpus``: the ones that are set aside for it; none: it runs on the CPU.
    """

    assignment: Assignment
    gpus: tuple[Gpu, ...] = ()
    routes: AttemptRoutes
    stop: Stop
    events: EventSender
    journal: Journal
    tools: Tools
    _points: RateLimit = field(default_factory=lambda: RateLimit(POINTS_PER_SECOND, POINTS_AT_ONCE))
    _determinants: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self._determinants = self._determinants_now()

    @property
    def job(self) -> str:
        """The job's id."""
        return str(self.assignment.job_id)

    @property
    def mark(self) -> str:
        """The attempt's name in files and processes."""
        return f"{self.job}-{self.assignment.attempt}"

    @property
    def folder(self) -> Path:
        """The attempt's own folder."""
        return self.tools.state.attempts / self.mark

    def run(self) -> RunStatus:
        """Work and report; the answer is what becomes of the MLflow run."""
        try:
            outcome = self._outcome()
            if isinstance(outcome, FinishReport):
                return self._finish(outcome)
            self._fail(outcome)
        except Stopped as stopped:
            self._end_stopped(stopped.reason)
            return "KILLED"
        except Conflict as error:
            logger.warning("attempt %s is no longer ours: %s", self.mark, error)
            return "KILLED"
        except Exception as error:
            logger.exception("attempt %s met a fault of the worker's own", self.mark)
            self._fail_last(error)
        finally:
            remove_tree(self.folder)
            evict_oldest(self.tools.state.shared_cache, self.tools.shared_cache_bytes)
        return "FAILED"

    def _outcome(self) -> FinishReport | Failure:
        try:
            files = [entry for items in self.assignment.inputs.values() for item in items for entry in item.files]
            with self.tools.cache.holding(files):
                self._say("inputs", f"{len(files)} files")
                order = self._order(self._materialise())
                result = self._supervise(order)
        except LeaseLost:
            raise
        except (ZooError, OSError) as error:
            return _own_failure(error, "The inputs could not be prepared")
        if result.failure is not None:
            return result.failure
        try:
            return self._upload(order, result)
        except LeaseLost:
            raise
        except (OperationError, InvalidInput) as error:
            return make_failure(FailureCause.PLUGIN_ERROR, error.code, str(error), error.facts)
        except (ZooError, OSError) as error:
            return _own_failure(error, "The outputs could not be sent")

    def _materialise(self) -> Inputs:
        ports: dict[str, tuple[InputItem, ...]] = {}
        for port, items in self.assignment.inputs.items():
            made = []
            for position, item in enumerate(items):
                folder = self.folder / "inputs" / port / str(position)
                folder.mkdir(parents=True)
                for entry in item.files:
                    self.stop.check()
                    self.tools.cache.materialise(entry, folder / entry.path, self.routes.blob, self.stop.check)
                made.append(
                    InputItem(
                        reference=item.reference,
                        folder=folder,
                        artifact=item.artifact,
                        dataset=item.dataset,
                        weight=item.weight,
                        digest=digest_of_files((entry.path, entry.sha256) for entry in item.files),
                    )
                )
            ports[port] = tuple(made)
        return Inputs(ports=ports)

    def _order(self, inputs: Inputs) -> ChildOrder:
        resources = _resources(self.assignment.operation)
        for name in ("scratch", "outputs", "report"):
            (self.folder / name).mkdir(parents=True)
        checkpoints = self.tools.state.checkpoints(self.job)
        shared_cache = self.tools.state.shared_cache
        mine = (*(self.folder / name for name in ("scratch", "outputs", "report")), checkpoints, shared_cache)
        return ChildOrder(
            operation=self.assignment.operation,
            operation_version=self.assignment.operation_version,
            params=self.assignment.params,
            inputs=inputs,
            seed=self.assignment.seed,
            # The child sees its own GPUs only, so for it they are the first ones, whichever they are.
            devices=tuple(f"cuda:{number}" for number in range(len(self.gpus))) or ("cpu",),
            gpus=tuple(gpu.uuid for gpu in self.gpus),
            threads=min(usable_threads(), resources.threads or usable_threads()),
            scratch=self.folder / "scratch",
            outputs=self.folder / "outputs",
            checkpoints=checkpoints,
            shared_cache=shared_cache,
            result=self.folder / "report" / "result.json",
            isolation=self.tools.confinement.of_child(inputs=[self.folder / "inputs"], writable=mine),
        )

    def _supervise(self, order: ChildOrder) -> ChildResult:
        self.stop.check()
        vital_signs = VitalSigns(self.journal.metric, self.tools.state.root)
        supervisor = Supervisor(
            order=order,
            mark=self.mark,
            limits=Limits(
                time_seconds=self.assignment.time_limit_seconds,
                grace_seconds=self.tools.grace_seconds,
                memory_bytes=int(usable_memory_bytes() * MEMORY_SHARE),
            ),
            stop=self.stop,
            running_folder=self.tools.state.running,
            on_event=self._take_event,
            on_tick=vital_signs.tick,
            secrets=self.tools.secrets,
        )
        self._say("running", self.assignment.operation)
        result = supervisor.run()
        vital_signs.sample()
        for measurement in result.measurements:
            self.journal.metric(measurement.name, measurement.value)
        return result

    def _take_event(self, body: EventBody) -> None:
        if isinstance(body, MetricEvent):
            self.journal.metric(body.name, body.value, body.step)
            if not self._points.allows():
                return
        self.events.add(body)

    def _upload(self, order: ChildOrder, result: ChildResult) -> FinishReport:
        self._say("uploading", "")
        outputs = {}
        for port, artifacts in result.artifacts.items():
            files = tuple(self._send(name, path) for name, path in output_files(order.outputs / port))
            outputs[port] = OutputReport(artifacts=artifacts, files=files)
        return FinishReport(
            outputs=outputs,
            measurements=result.measurements,
            reports=result.reports,
            environment=self._environment(),
            environment_digest=self._environment_digest(),
            mlflow_run_id=self.tools.mlflow_run_id(self.job, self.assignment.attempt),
        )

    def _send(self, name: str, path: Path) -> FileEntry:
        return upload_file(self.routes, name, path, lambda: self.stop.check(UPLOAD_STOPS))

    def _finish(self, report: FinishReport) -> RunStatus:
        self._flush()
        try:
            job = self._report(lambda: self.routes.finish(report))
        except Conflict:
            raise
        except Unavailable as error:
            raise Stopped(StopReason.LEASE_EXPIRED) from error
        except ZooError as error:
            message = f"The registry refused the result: {error}"
            self._fail(make_failure(FailureCause.PLUGIN_ERROR, error.code, message, error.facts))
            return "FAILED"
        if job.get("result"):
            self.journal.tag("zoo.version", str(job["result"]))
        self._forget_checkpoints(job)
        return "FINISHED" if job.get("state") == JobState.SUCCEEDED else "FAILED"

    def _fail(self, failure: Failure) -> None:
        self._flush()
        logger.warning("attempt %s failed (%s): %s", self.mark, failure.cause, failure.message)
        report = FailureReport(
            **failure.model_dump(),
            environment=self._environment(),
            mlflow_run_id=self.tools.mlflow_run_id(self.job, self.assignment.attempt),
        )
        try:
            self._forget_checkpoints(self._report(lambda: self.routes.fail(report)))
        except Conflict:
            raise
        except ZooError as error:
            logger.error("the failure of attempt %s could not be reported: %s", self.mark, error)  # noqa: TRY400

    def _fail_last(self, error: Exception) -> None:
        """Report a fault that nobody foresaw; if that fails too, the lease will expire."""
        try:
            self._fail(make_failure(FailureCause.INFRASTRUCTURE, "worker-fault", f"{type(error).__name__}: {error}"))
        except Exception:
            logger.exception("the fault of attempt %s could not be reported", self.mark)

    def _end_stopped(self, reason: StopReason) -> None:
        logger.warning("attempt %s stopped: %s", self.mark, reason)
        if reason in FENCED:
            return
        self._flush()
        if reason == StopReason.CANCELLED:
            try:
                self._fail(make_failure(FailureCause.CANCELLED, "cancelled", "The job was cancelled."))
            except Conflict as error:
                logger.warning("attempt %s: %s", self.mark, error)
            return
        try:
            persistently(self.routes.release, seconds=RELEASE_PATIENCE_SECONDS)
        except ZooError as error:
            logger.warning("attempt %s could not be given back, its lease will expire: %s", self.mark, error)

    def _report(self, call: Callable[[], Answer]) -> Answer:
        return persistently(
            call, seconds=REPORT_PATIENCE_SECONDS, give_up=lambda: self.stop.reason == StopReason.RELEASED
        )

    def _flush(self) -> None:
        started = time.monotonic()
        if not self.events.flush(FLUSH_SECONDS):
            logger.warning("events of attempt %s are still unsent after %.0f s", self.mark, time.monotonic() - started)

    def _forget_checkpoints(self, job: dict[str, Any]) -> None:
        if job.get("state") in FINAL_JOB_STATES:
            remove_tree(self.tools.state.checkpoint_root / self.job)

    def _environment(self) -> dict[str, Any]:
        facts = {name: value for name, value in self._determinants.items() if name not in self.tools.machine}
        facts["plugin"] = plugin_of(self.assignment.operation, self._determinants["sources"])
        facts["given_gpus"] = [asdict(gpu) for gpu in self.gpus]
        return {**self.tools.machine, **facts, "digest": digest_of(self._determinants)}

    def _environment_digest(self) -> str | None:
        """None if something was installed or edited while the attempt ran: nobody knows what made the result then."""
        unchanged = self._determinants == self._determinants_now()
        return digest_of(self._determinants) if unchanged else None

    def _determinants_now(self) -> dict[str, Any]:
        return determinants_of(self.assignment.operation, _resources(self.assignment.operation), self.gpus)

    def _say(self, state: str, message: str) -> None:
        self.events.add(StateEvent(state=state, message=message))


def _resources(operation: str) -> Resources:
    try:
        return find_operation(operation).resources
    except ZooError:  # the child will say what is wrong with it
        return Resources()


def _own_failure(error: ZooError | OSError, what: str) -> Failure:
    """A fault of the worker's own work; a new attempt, perhaps elsewhere, may go better."""
    code = error.code if isinstance(error, ZooError) else "worker-fault"
    facts = error.facts if isinstance(error, ZooError) else {"errno": error.errno}
    return make_failure(FailureCause.INFRASTRUCTURE, code, f"{what}: {error}", facts)
