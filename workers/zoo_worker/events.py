"""Sends an attempt's events: numbered, in batches, from a thread; buffered and bounded while the registry is away."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from zoo_sdk.errors import Conflict, ZooError
from zoo_sdk.messages import Event, EventBatch, EventBody, LogEvent, ProgressEvent, StateEvent
from zoo_worker.failures import printable

logger = logging.getLogger(__name__)

LATENCY_SECONDS = 0.5
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 10.0
BATCH_EVENTS, BATCH_CHARACTERS = 500, 2**20
BUFFER_EVENTS, BUFFER_CHARACTERS = 20_000, 16 * 2**20
MAX_MESSAGE = 8000


class EventSender:
    """Takes events from any thread at no cost.  When the buffer is full the oldest make room; a line says how many."""

    def __init__(self, send: Callable[[EventBatch], None]) -> None:
        self._send = send
        self._buffer: deque[Event] = deque()
        self._characters = 0
        self._number = 0
        self._left_out = 0
        self._wanted = True
        self._closing = False
        self._sending = False
        self._hurried = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def add(self, body: EventBody) -> None:
        """Number an event and put it into the buffer."""
        body = _sendable(body)
        with self._change:
            if not self._wanted:
                return
            self._number += 1
            self._buffer.append(Event(number=self._number, time=datetime.now(UTC), body=body))
            self._characters += _characters(body)
            while len(self._buffer) > BUFFER_EVENTS or self._characters > BUFFER_CHARACTERS:
                self._characters -= _characters(self._buffer.popleft().body)
                self._left_out += 1
            self._change.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until all is sent; False if it took longer than that."""
        with self._change:
            self._hurried = True
            self._change.notify_all()
            done = self._change.wait_for(self._is_done, seconds)
            self._hurried = False
            return done

    def close(self) -> None:
        """Stop sending; what is still in the buffer is given up."""
        with self._change:
            self._closing = True
            self._wanted = False
            self._change.notify_all()
        self._thread.join()

    def _is_done(self) -> bool:
        return not self._wanted or (not self._buffer and not self._sending)

    def _has_batch(self) -> bool:
        return self._closing or self._hurried or len(self._buffer) >= BATCH_EVENTS

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while batch := self._next_batch():
            try:
                self._send(EventBatch(events=tuple(batch)))
            except ZooError as error:
                if error.retryable:
                    self._put_back(batch)
                    self._pause(pause)
                    pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                    continue
                logger.warning("the registry refused %d events: %s", len(batch), error)
                if isinstance(error, Conflict):
                    self._give_up()
                    return
            pause = FIRST_PAUSE_SECONDS
            with self._change:
                self._sending = False
                self._change.notify_all()

    def _next_batch(self) -> list[Event]:
        """The next events, at the earliest some time after the first of them came; empty at the end."""
        with self._change:
            self._change.wait_for(lambda: self._buffer or self._closing)
            if self._closing:
                return []
            self._change.wait_for(self._has_batch, LATENCY_SECONDS)
            if self._left_out:
                self._report_left_out()
            batch: list[Event] = []
            size = 0
            while self._buffer and len(batch) < BATCH_EVENTS and size < BATCH_CHARACTERS:
                batch.append(self._buffer.popleft())
                size += _characters(batch[-1].body)
            self._characters -= size
            self._sending = True
            return [] if self._closing else batch

    def _report_left_out(self) -> None:
        first = self._buffer.popleft()
        self._characters -= _characters(first.body)
        body = LogEvent(message=f"({self._left_out + 1} events left out: the buffer was full)", stream="worker")
        self._buffer.appendleft(first.model_copy(update={"body": body}))
        self._characters += _characters(body)
        self._left_out = 0

    def _put_back(self, batch: list[Event]) -> None:
        with self._change:
            self._buffer.extendleft(reversed(batch))
            self._characters += sum(_characters(event.body) for event in batch)
            self._sending = False

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._change:
            while not self._closing and (left := deadline - time.monotonic()) > 0:
                self._change.wait(left)

    def _give_up(self) -> None:
        with self._change:
            self._wanted = False
            self._sending = False
            self._buffer.clear()
            self._characters = 0
            self._change.notify_all()


def _sendable(body: EventBody) -> EventBody:
    if isinstance(body, LogEvent | ProgressEvent | StateEvent):
        return body.model_copy(update={"message": printable(body.message)[:MAX_MESSAGE]})
    return body.model_copy(update={"name": printable(body.name)})


def _characters(body: EventBody) -> int:
    return 100 + len(getattr(body, "message", ""))
