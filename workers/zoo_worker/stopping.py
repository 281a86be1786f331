"""Why an attempt has to stop before its work is done, told from one thread to another."""

import threading
from collections.abc import Container
from enum import StrEnum


class StopReason(StrEnum):
    """Who wants the attempt to stop."""

    CANCELLED = "cancelled"
    """The registry: somebody cancelled the job."""
    RELEASED = "released"
    """This worker: it shuts down, another one goes on."""
    LEASE_EXPIRED = "lease-expired"
    """The registry did not answer for as long as the lease lasts: it may have given the job away."""
    LEASE_LOST = "lease-lost"
    """The registry: the attempt is no longer ours."""


_WEIGHT = {reason: weight for weight, reason in enumerate(StopReason)}
FENCED = frozenset({StopReason.LEASE_EXPIRED, StopReason.LEASE_LOST})
"""Another worker may be at the same job already: no grace."""


class Stopped(Exception):
    """Raised at a safe point of the worker's own work once a stop was asked for."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Stop:
    """The wish to stop; a weightier reason replaces a lighter one."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.RLock()  # a signal handler may come while its own thread holds it
        self._reason: StopReason | None = None
        self._at_once = False

    @property
    def reason(self) -> StopReason | None:
        """Why, or None to go on."""
        return self._reason

    @property
    def at_once(self) -> bool:
        """Whether the child gets no time to reach a safe point."""
        return self._at_once or self._reason in FENCED

    def request(self, reason: StopReason, *, at_once: bool = False) -> None:
        """Ask for the stop."""
        with self._lock:
            self._at_once = self._at_once or at_once
            if self._reason is None or _WEIGHT[reason] > _WEIGHT[self._reason]:
                self._reason = reason
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Sleep until a stop is asked for; returns whether it was."""
        return self._event.wait(seconds)

    def check(self, reasons: Container[StopReason] = frozenset(StopReason)) -> None:
        """Raise :class:`Stopped` if a stop was asked for, for one of ``reasons``."""
        if self._reason is not None and self._reason in reasons:
            raise Stopped(self._reason)
