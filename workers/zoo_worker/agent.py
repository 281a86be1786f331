"""The worker's agent: registers, turns a message into a claimed attempt, and gives attempts back when it shuts down."""

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from zoo_sdk.discovery import discover_operations
from zoo_sdk.errors import Conflict, InvalidInput, ZooError
from zoo_sdk.messages import RegistrationReply, WorkerRegistration
from zoo_sdk.operations import MAX_GPUS, OperationManifest
from zoo_worker.attempt import Attempt, Tools
from zoo_worker.cache import InputCache
from zoo_worker.claims import Claim, Claims
from zoo_worker.confinement import Confinement, find_confinement
from zoo_worker.conversions import conversion_facts
from zoo_worker.determinants import environment_digests
from zoo_worker.events import EventSender
from zoo_worker.gpus import GpuSlots
from zoo_worker.journal import Journal, RunStatus, journal_path, start_entry
from zoo_worker.lease import LeaseKeeper
from zoo_worker.machine import describe_machine
from zoo_worker.mlflow_mirror import MlflowMirror
from zoo_worker.processes import kill_leftovers
from zoo_worker.registry import Registry, persistently
from zoo_worker.settings import WorkerSettings
from zoo_worker.state import StateFolder
from zoo_worker.stopping import Stop, StopReason

logger = logging.getLogger(__name__)

FOREVER_SECONDS = 10 * 365 * 24 * 3600.0
MIRROR_CLOSE_SECONDS = 5.0
END_SECONDS = 60.0


class ShuttingDown(ZooError):
    """The worker was told to stop while it was still starting."""

    code = "shutting-down"


class Agent:
    """One per worker process.  :meth:`run` may be called from several threads."""

    def __init__(self, settings: WorkerSettings, queues: Iterable[str] | None = None) -> None:
        self.settings = settings
        self._queues = tuple(settings.queues if queues is None else queues)
        self._installed: tuple[OperationManifest, ...] = ()
        self._operations: tuple[OperationManifest, ...] = ()
        self._machine = describe_machine(worker=settings.name, image=settings.image)
        self._registry = Registry(settings.url, settings.token)
        self._state: StateFolder | None = None
        self._cache: InputCache | None = None
        self._mirror: MlflowMirror | None = None
        self._confinement = Confinement()
        self._beat_seconds = 20.0
        self._presence = threading.Thread(target=self._stay_known, name="presence", daemon=True)
        self._shutting_down = threading.Event()
        self._at_once = False
        self._stops: set[Stop] = set()
        self._changed = threading.Condition(threading.RLock())  # a signal handler may come while its thread holds it
        self._claims = Claims(
            registry=self._registry,
            worker=settings.name,
            slots=GpuSlots(settings.gpus),
            register=self._register,
            shutting_down=self._shutting_down,
        )

    def start(self) -> None:
        """Take the state folder, clean up after a killed predecessor, and register: waits until the registry answers.

        Raises:
            Conflict: another worker uses the state folder, or an operation clashes with a known one.
            PermissionDenied: the token is not a worker's.
            ShuttingDown: :meth:`shut_down` was called meanwhile.

        """
        if not self.settings.token:
            raise InvalidInput("ZOO_WORKER_TOKEN is not set.", hint="Make a token with the scope `worker` and set it.")
        self._state = StateFolder(self.settings.state)
        self._state.lock()
        for mark in kill_leftovers(self._state.running):
            logger.warning("attempt %s was left over from a killed worker", mark)
        self._state.sweep()
        self._cache = InputCache(self._state.cache, self.settings.cache_bytes)
        self._installed = tuple(spec.manifest for spec in discover_operations().values())
        self._operations = self._offered()
        self._confinement = find_confinement(self.settings.isolation, self.settings.user, self._state)
        self._machine["isolation"] = self._confinement.title
        if not self.settings.gpus and any(name.endswith(".gpu") for name in self._queues):
            logger.warning("serving %s, but no GPU was found: no such job will come", ", ".join(self._queues))
        reply = self._register_at_last()
        self._beat_seconds = float(reply.heartbeat_seconds)
        logger.info("registered as %s with %d operations", self.settings.name, len(self._operations))
        uri = self.settings.mlflow_tracking_uri or reply.mlflow_tracking_uri
        if uri:
            self._mirror = MlflowMirror(self._state.journals, uri, self._report_run, self._registry.parent_run)
            self._mirror.start()
        self._presence.start()

    def run(self, job: str) -> RunStatus | None:
        """Claim and carry out a job; None if there was nothing to do: somebody else has it, or the registry is away."""
        try:
            job = str(UUID(job))
        except ValueError:
            logger.error("a message names %r, which is no job; dropped", job[:100])  # noqa: TRY400
            return None
        stop = Stop()
        with self._stoppable(stop), self._claims.claimed(job, stop) as claim:
            return None if claim is None else self._carry_out(claim, stop)

    def shut_down(self, *, at_once: bool = False) -> None:
        """Have all attempts stopped and given back; safe in a signal handler.  ``at_once``: without grace."""
        self._shutting_down.set()
        with self._changed:
            self._at_once = self._at_once or at_once
            for stop in self._stops:
                stop.request(StopReason.RELEASED, at_once=at_once)

    def close(self) -> None:
        """Wait for the attempts to end, and let go of everything."""
        self.shut_down()
        with self._changed:
            self._changed.wait_for(lambda: not self._stops, self.settings.grace_seconds + END_SECONDS)
        if self._mirror is not None:
            self._mirror.close(MIRROR_CLOSE_SECONDS)
        if self._presence.is_alive():
            self._presence.join(END_SECONDS)
        self._registry.close()
        if self._state is not None:
            self._state.unlock()

    @contextmanager
    def _stoppable(self, stop: Stop) -> Iterator[None]:
        with self._changed:
            self._stops.add(stop)
            if self._shutting_down.is_set():
                stop.request(StopReason.RELEASED, at_once=self._at_once)
        try:
            yield
        finally:
            with self._changed:
                self._stops.discard(stop)
                self._changed.notify_all()

    def _carry_out(self, claim: Claim, stop: Stop) -> RunStatus:
        if self._state is None or self._cache is None:
            raise Conflict("The agent has not been started.")
        assignment = claim.assignment
        job, number = str(assignment.job_id), assignment.attempt
        logger.info("job %s attempt %d: %s", job, number, assignment.operation)
        routes = self._registry.attempt(job, number)
        events = EventSender(routes.events)
        lease = LeaseKeeper(
            renew=routes.heartbeat,
            stop=stop,
            granted_at=claim.granted_at,
            lease_seconds=assignment.lease_seconds,
            beat_seconds=min(self._beat_seconds, assignment.lease_seconds / 3),
        )
        entry = start_entry(assignment, worker=self.settings.name, url=self.settings.url)
        journal = Journal(journal_path(self._state.journals, job, number), entry)
        self._wake_mirror()
        events.start()
        lease.start()
        status: RunStatus = "KILLED"
        try:
            status = Attempt(
                assignment=assignment,
                gpus=claim.gpus,
                routes=routes,
                stop=stop,
                events=events,
                journal=journal,
                tools=self._tools(),
            ).run()
        finally:
            lease.close()
            events.close()
            journal.end(status)
            self._wake_mirror()
        logger.info("job %s attempt %d: %s", job, number, status)
        return status

    def _tools(self) -> Tools:
        if self._state is None or self._cache is None:
            raise Conflict("The agent has not been started.")
        return Tools(
            state=self._state,
            cache=self._cache,
            shared_cache_bytes=self.settings.shared_cache_bytes,
            grace_seconds=self.settings.grace_seconds,
            machine=self._machine,
            secrets=(self.settings.token, self.settings.broker_url),
            confinement=self._confinement,
            mlflow_run_id=lambda job, number: self._mirror.run_id(job, number) if self._mirror else None,
        )

    def _offered(self) -> tuple[OperationManifest, ...]:
        return tuple(manifest for manifest in self._installed if set(manifest.queues) & set(self._queues))

    def _register(self) -> RegistrationReply:
        digests = environment_digests(self._operations, self.settings.gpus)
        return self._registry.register(
            WorkerRegistration(
                name=self.settings.name,
                queues=self._queues,
                operations=self._operations,
                gpus=tuple(gpu.name[:200] for gpu in self.settings.gpus[:MAX_GPUS]),
                environment=self._machine | conversion_facts(self._installed, self._queues),
                environment_digests=digests.without_gpus,
                gpu_environment_digests=digests.with_gpus,
            )
        )

    def _register_at_last(self) -> RegistrationReply:
        try:
            return persistently(
                self._register,
                seconds=FOREVER_SECONDS,
                give_up=self._shutting_down.is_set,
                wait=self._shutting_down.wait,
            )
        except ZooError as error:
            if error.retryable:
                raise ShuttingDown("The worker was stopped before the registry answered.") from error
            raise

    def _stay_known(self) -> None:
        """Register again and again: that is how the registry knows that an idle worker is alive."""
        while not self._shutting_down.wait(self._beat_seconds):
            try:
                self._register()
            except ZooError as error:
                logger.warning("the registry does not take our registration: %s", error)

    def _report_run(self, job: str, attempt: int, run_id: str) -> dict[str, Any]:
        return self._registry.attempt(job, attempt).mlflow_run(run_id)

    def _wake_mirror(self) -> None:
        if self._mirror is not None:
            self._mirror.wake()
