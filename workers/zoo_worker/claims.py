"""Claiming a job for this worker, with the GPUs that it needs set aside first."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from zoo_sdk.errors import Conflict, NotFound, ZooError
from zoo_sdk.messages import GPUS_NEEDED, Assignment
from zoo_worker.gpus import Gpu, GpuSlots
from zoo_worker.registry import Registry, persistently
from zoo_worker.stopping import Stop, Stopped

logger = logging.getLogger(__name__)

CLAIM_PATIENCE_SECONDS = 60.0
UNKNOWN_WORKER = "unknown-worker"
"""The problem code of a registry that lost its memory of us."""


@dataclass(frozen=True)
class Claim:
    """A job that is ours.  ``granted_at``: when its lease began at the earliest, on the monotonic clock."""

    assignment: Assignment
    gpus: tuple[Gpu, ...]
    granted_at: float


@dataclass
class Claims:
    """Claims jobs under the name ``worker``; usable from several threads.  ``register`` makes us known again."""

    registry: Registry
    worker: str
    slots: GpuSlots
    register: Callable[[], object]
    shutting_down: threading.Event
    _waiting: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def claimed(self, job: str, stop: Stop) -> Iterator[Claim | None]:
        """The job, and the GPUs that it needs, which are set aside inside the block.

        None if there is nothing to do: somebody else has it, we are too small for it, we are to stop, or the registry
        is away.  In each case the registry rings again for a job that still waits.
        """
        with ExitStack() as held:
            yield self._claim(job, stop, held)

    def _claim(self, job: str, stop: Stop, held: ExitStack) -> Claim | None:
        try:
            try:
                return self._granted(job, ())
            except Conflict as error:
                if error.facts.get("code") != GPUS_NEEDED:
                    raise
                needed = int(error.facts["gpus"])
            # Not claimed while we wait: no lease runs, and a worker with free GPUs can have it.
            with self._waiting_once(job):
                gpus = held.enter_context(self.slots.taken(needed, stop))
            return self._granted(job, gpus)
        except (Conflict, NotFound, Stopped) as error:
            logger.info("job %s: nothing to do: %s", job, error)
        except ZooError as error:
            logger.warning(
                "job %s was not claimed, its message is dropped; the registry will ring again: %s", job, error
            )
        return None

    @contextmanager
    def _waiting_once(self, job: str) -> Iterator[None]:
        """The registry rings again for a job that nobody claims: of all its messages, one waits."""
        with self._lock:
            if job in self._waiting:
                raise Conflict("Another message for it waits for GPUs.")
            self._waiting.add(job)
        try:
            yield
        finally:
            with self._lock:
                self._waiting.discard(job)

    def _granted(self, job: str, gpus: tuple[Gpu, ...]) -> Claim:
        granted_at = time.monotonic()
        assignment = persistently(
            lambda: self._ask(job, len(gpus)),
            seconds=CLAIM_PATIENCE_SECONDS,
            give_up=self.shutting_down.is_set,
            wait=self.shutting_down.wait,
        )
        return Claim(assignment, gpus, granted_at)

    def _ask(self, job: str, gpus: int) -> Assignment:
        try:
            return self.registry.claim(job, self.worker, gpus)
        except Conflict as error:
            if error.facts.get("code") != UNKNOWN_WORKER:
                raise
            self.register()
            return self.registry.claim(job, self.worker, gpus)
