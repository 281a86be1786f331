"""One child process from start to end: its streams, its limits, and the exact cause of its end."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from zoo_sdk.messages import EventBody, LogEvent
from zoo_sdk.vocabulary import FailureCause
from zoo_worker.failures import make_failure, printable
from zoo_worker.handover import MAX_EVENT_BYTES, MAX_RESULT_BYTES, ChildOrder, ChildResult
from zoo_worker.processes import (
    child_environment,
    group_memory_bytes,
    kernel_oom_kills,
    recorded_child,
    signal_group,
)
from zoo_worker.stopping import FENCED, Stop, Stopped, StopReason
from zoo_worker.streams import RateLimit, bounded_lines

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.05
MEMORY_POLL_SECONDS = 1.0
DRAIN_SECONDS = 3.0
OUTSIDE_TERM_SECONDS = 2.0
MAX_LINE_BYTES = 4000
LINES_PER_SECOND, LINES_AT_ONCE = 50, 1000
TAIL_LINES = 30
_EVENT: TypeAdapter[EventBody] = TypeAdapter(EventBody)

Breach = Literal["time", "memory"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When the child is ended; ``grace_seconds`` lie between SIGTERM and SIGKILL."""

    time_seconds: float
    grace_seconds: float
    memory_bytes: int | None = None


@dataclass(kw_only=True)
class Supervisor:
    """Runs ``order`` in a fresh process.  ``on_event`` is called from reader threads, ``on_tick`` every 0.05 s."""

    order: ChildOrder
    mark: str
    limits: Limits
    stop: Stop
    running_folder: Path
    on_event: Callable[[EventBody], None]
    on_tick: Callable[[], None] = lambda: None
    secrets: tuple[str, ...] = ()
    _tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    _breach: Breach | None = None
    _peak_bytes: int = 0

    def run(self) -> ChildResult:
        """Run the child to its end; failures of every kind come back as ``ChildResult.failure``.

        Raises:
            Stopped: the attempt was to stop, and the child did not finish its work before.

        """
        kills_before = kernel_oom_kills()
        started = time.monotonic()
        process, event_reader = self._start()
        with recorded_child(self.running_folder, pid=process.pid, mark=self.mark):
            readers = self._start_readers(process, event_reader)
            try:
                self._watch(process, started)
            finally:
                signal_group(process.pid, signal.SIGKILL)  # whatever the child left in its group
                process.wait()
                for reader in readers:
                    reader.join(DRAIN_SECONDS)
        return self._judge(process.returncode, time.monotonic() - started, kernel_oom_kills() - kills_before)

    def _start(self) -> tuple[subprocess.Popen[bytes], int]:
        reading, writing = os.pipe()
        try:
            order = self.order.model_copy(update={"event_fd": writing, "parent_pid": os.getpid()})
            path = order.result.with_name("order.json")
            path.touch(mode=0o600)
            path.write_text(order.model_dump_json(), encoding="utf-8")
            process = subprocess.Popen(
                [sys.executable, "-m", "zoo_worker.child", str(path)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(writing,),
                cwd=order.scratch, start_new_session=True,
                env=child_environment(
                    os.environ, threads=order.threads, gpus=order.gpus, scratch=order.scratch, mark=self.mark,
                    secrets=self.secrets, own_home="privileges" in order.isolation.words,
                ),
            )  # fmt: skip
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return process, reading

    def _start_readers(self, process: subprocess.Popen[bytes], event_reader: int) -> list[threading.Thread]:
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - PIPE was asked for
        calls = (
            (self._read_events, event_reader),
            (lambda descriptor: self._read_output(descriptor, "stdout"), os.dup(process.stdout.fileno())),
            (lambda descriptor: self._read_output(descriptor, "stderr"), os.dup(process.stderr.fileno())),
        )
        process.stdout.close()
        process.stderr.close()
        readers = []
        for call, descriptor in calls:
            reader = threading.Thread(
                target=_read_and_close, args=(call, descriptor), name=f"read {self.mark}", daemon=True
            )
            reader.start()
            readers.append(reader)
        return readers

    def _read_events(self, descriptor: int) -> None:
        for line in bounded_lines(descriptor, MAX_EVENT_BYTES):
            try:
                self.on_event(_EVENT.validate_json(line))
            except ValidationError:
                logger.warning("attempt %s sent a line that is no event: %r", self.mark, line[:200])

    def _read_output(self, descriptor: int, stream: Literal["stdout", "stderr"]) -> None:
        rate = RateLimit(LINES_PER_SECOND, LINES_AT_ONCE)
        for raw in bounded_lines(descriptor, MAX_LINE_BYTES):
            line = printable(raw.decode("utf-8", "replace"))
            if stream == "stderr":
                self._tail.append(line)
            if rate.allows():
                if left_out := rate.take_refused():
                    self.on_event(LogEvent(message=f"({left_out} lines of {stream} left out)", stream="worker"))
                self.on_event(LogEvent(message=line, stream=stream))
        if left_out := rate.take_refused():
            self.on_event(LogEvent(message=f"({left_out} lines of {stream} left out)", stream="worker"))

    def _watch(self, process: subprocess.Popen[bytes], started: float) -> None:
        kill_at: float | None = None
        next_memory_look = started
        while not _has_ended(process.pid):
            time.sleep(POLL_SECONDS)
            now = time.monotonic()
            if now >= next_memory_look:
                next_memory_look = now + MEMORY_POLL_SECONDS
                self._look_at_memory(process.pid)
            if self._breach is None and now - started > self.limits.time_seconds:
                self._breach = "time"
            if kill_at is None and (self._breach or self.stop.reason):
                signal_group(process.pid, signal.SIGTERM)
                kill_at = now + self.limits.grace_seconds
            if kill_at is not None and (now >= kill_at or self.stop.at_once or self._breach == "memory"):
                signal_group(process.pid, signal.SIGKILL)
            self.on_tick()

    def _look_at_memory(self, pid: int) -> None:
        used = group_memory_bytes(pid)
        limit = self.limits.memory_bytes
        if limit is not None and used > limit:
            used = group_memory_bytes(pid, exactly=True)
            if used > limit and self._breach is None:
                self._breach = "memory"
        self._peak_bytes = max(self._peak_bytes, used)

    def _judge(self, code: int, seconds: float, oom_kills: int) -> ChildResult:
        result = self._read_result() if code == 0 else None
        made_it = result is not None and result.failure is None
        if self.stop.reason in FENCED | {StopReason.CANCELLED} or (self.stop.reason and not made_it):
            raise Stopped(self.stop.reason or StopReason.CANCELLED)
        if self._breach and not made_it:
            return self._breach_failure(seconds)
        if result is not None:
            return self._explained(result)
        if code == -signal.SIGTERM:
            return self._ended_from_outside()
        if code == -signal.SIGKILL and oom_kills > 0:
            return self._failed(
                FailureCause.OUT_OF_MEMORY, "killed-for-memory",
                f"The kernel killed the operation for want of memory; it used {self._peak_bytes / 2**30:.2f} GiB.",
            )  # fmt: skip
        return self._failed(FailureCause.PLUGIN_ERROR, *_abrupt_end(code), exit_code=code)

    def _read_result(self) -> ChildResult | None:
        try:
            if self.order.result.stat().st_size > MAX_RESULT_BYTES:
                return None
            return ChildResult.model_validate_json(self.order.result.read_bytes())
        except (OSError, ValidationError):
            return None

    def _explained(self, result: ChildResult) -> ChildResult:
        if result.failure is None:
            return result
        if result.failure.cause == FailureCause.CANCELLED:  # and nobody here asked for it
            return self._ended_from_outside()
        if tail := "\n".join(self._tail):
            facts = {**result.failure.facts, "stderr": tail[-MAX_LINE_BYTES:]}
            return result.model_copy(update={"failure": result.failure.model_copy(update={"facts": facts})})
        return result

    def _ended_from_outside(self) -> ChildResult:
        # A service manager that stops the worker may send SIGTERM to every process of it, to this child first.
        if self.stop.wait(OUTSIDE_TERM_SECONDS) and self.stop.reason:
            raise Stopped(self.stop.reason)
        message = "The operation was stopped by a SIGTERM that did not come from its worker."
        return self._failed(FailureCause.INFRASTRUCTURE, "stopped-from-outside", message)

    def _breach_failure(self, seconds: float) -> ChildResult:
        if self._breach == "time":
            message = f"The operation ran for {seconds:.1f} s; its time limit is {self.limits.time_seconds:g} s."
            return self._failed(FailureCause.TIME_LIMIT, "time-limit", message)
        limit = (self.limits.memory_bytes or 0) / 2**30
        message = f"The operation used {self._peak_bytes / 2**30:.2f} GiB of memory; its limit is {limit:.2f} GiB."
        return self._failed(FailureCause.OUT_OF_MEMORY, "memory-limit", message)

    def _failed(self, cause: FailureCause, code: str, message: str, **facts: object) -> ChildResult:
        if self._tail:
            facts["stderr"] = "\n".join(self._tail)[-MAX_LINE_BYTES:]
        facts["peak_memory_bytes"] = self._peak_bytes
        return ChildResult(failure=make_failure(cause, code, message, facts))


def _read_and_close(call: Callable[[int], None], descriptor: int) -> None:
    try:
        call(descriptor)
    finally:
        os.close(descriptor)


def _has_ended(pid: int) -> bool:
    """Whether the child has ended; leaves it unreaped, so that its pid (and its group's) is not given to a stranger."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _abrupt_end(code: int) -> tuple[str, str]:
    """Code and message for a process that ended without a result."""
    if code >= 0:
        return "no-result", f"The operation's process ended with exit code {code} before the operation returned."
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return "killed", f"The operation's process was killed by signal {-code} ({name}), which its worker did not send."
