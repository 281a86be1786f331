"""Keeps an attempt's lease: renews it from a thread of its own, and says when the attempt has to stop."""

import logging
import threading
import time
from collections.abc import Callable

from zoo_sdk.errors import LeaseLost
from zoo_sdk.messages import HeartbeatReply
from zoo_worker.stopping import Stop, StopReason

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class LeaseKeeper:
    """Renews until :meth:`close`.

    The registry's ``cancel`` and ``lease-lost`` become the same wishes on ``stop``.  When it does not answer for as
    long as the lease lasts, counted from before the last renewal that it confirmed, the lease counts as expired.
    """

    def __init__(
        self,
        *,
        renew: Callable[[], HeartbeatReply],
        stop: Stop,
        granted_at: float,
        lease_seconds: float,
        beat_seconds: float,
    ) -> None:
        self._renew = renew
        self._stop = stop
        self._expires_at = granted_at + lease_seconds
        self._beat_seconds = beat_seconds
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def close(self) -> None:
        """Stop renewing; a renewal under way is waited for."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        pause = self._beat_seconds
        while not self._closed.wait(pause):
            asked_at = time.monotonic()
            try:
                reply = self._renew()
            except LeaseLost as error:
                logger.warning("lease lost: %s", error)
                self._stop.request(StopReason.LEASE_LOST)
                return
            except Exception as error:  # noqa: BLE001 - whatever it is: without this thread nobody would stop the child
                logger.warning("the lease was not renewed: %s", error)
                pause = min(RETRY_SECONDS, self._beat_seconds)
                if time.monotonic() + pause >= self._expires_at:
                    self._stop.request(StopReason.LEASE_EXPIRED)
                    pause = self._beat_seconds
                continue
            self._expires_at = asked_at + reply.lease_seconds
            pause = self._beat_seconds
            if reply.command == "cancel":
                self._stop.request(StopReason.CANCELLED)
