"""Brings all tasks up, each as soon as what it needs is there, many at once."""

import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BufferedRandom
from pathlib import Path
from typing import IO

import psutil

from zoo_onebox.home import Home
from zoo_onebox.leftovers import descendants, end_processes
from zoo_onebox.manager import Manager, ProgramState, run_task
from zoo_onebox.programs import Program, Step, Task
from zoo_onebox.report import Report
from zoo_sdk.errors import Unavailable

LOG_LIMIT = 256 * 1024
CRASHES_AT_START = 3


class StartFailed(Unavailable):
    """A part did not come up; the message ends with the last lines of its log."""

    code = "start-failed"


@dataclass
class _Active:
    task: Task
    began: float
    log_offset: int
    process: subprocess.Popen[bytes] | None = None
    output: IO[bytes] | BufferedRandom | None = None
    starts: set[int] = field(default_factory=set)


class Startup:
    """A loop's worth of work per :meth:`advance`; nothing blocks longer than a readiness question."""

    def __init__(self, home: Home, tasks: Sequence[Task], manager: Manager, report: Report) -> None:
        names = {task.name for task in tasks}
        unknown = sorted({need for task in tasks for need in task.needs} - names)
        if unknown:
            raise ValueError(f"tasks need what is not there: {unknown}")
        self._home = home
        self._manager = manager
        self._report = report
        self._waiting = list(tasks)
        self._active: dict[str, _Active] = {}
        self._done: set[str] = set()
        self._required = {task.name for task in tasks if task.required}
        self.seconds: dict[str, float] = {}

    @property
    def ready(self) -> bool:
        """Whether everything that is required is up."""
        return self._required <= self._done

    @property
    def done(self) -> list[str]:
        """Names of what is up or done."""
        return sorted(self._done)

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to bring up."""
        return not self._waiting and not self._active

    @property
    def under_way(self) -> list[str]:
        """Titles of what is being brought up now."""
        return [item.task.title or item.task.name for item in self._active.values()]

    def advance(self) -> None:
        """Start what can start, look at what has been started.

        Raises:
            StartFailed: a required task failed or took too long.

        """
        for task in [task for task in self._waiting if self._done.issuperset(task.needs)]:
            self._waiting.remove(task)
            self._active[task.name] = self._begin(task)
        states = self._manager.states() if self._active else {}
        for item in list(self._active.values()):
            if self._is_done(item, states):
                self._finish(item)

    def abort(self) -> None:
        """End the steps that still run; programs are the manager's."""
        for item in self._active.values():
            if item.process is not None and item.process.poll() is None:
                with suppress(psutil.Error):
                    end_processes([psutil.Process(item.process.pid), *descendants(item.process.pid)], seconds=10)
                item.process.wait()
        self._active.clear()
        self._waiting.clear()

    def _begin(self, task: Task) -> _Active:
        item = _Active(task=task, began=time.monotonic(), log_offset=_size(self._log(task)))
        if isinstance(task, Step):
            # An unnamed file: what a step prints (tokens) is never in a log, and cannot block it as a full pipe would.
            item.output = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the step has finished)
            item.process = run_task(task, self._home, output=item.output.fileno())
        else:
            self._manager.start_program(task.name)
        return item

    def _is_done(self, item: _Active, states: dict[str, ProgramState]) -> bool:
        task = item.task
        if time.monotonic() - item.began > task.seconds:
            return self._fail(item, f"is not ready after {task.seconds:.0f} s")
        if item.process is not None:
            status = item.process.poll()
            if status:
                return self._fail(item, f"ended with exit status {status}")
            return status == 0
        state = states[task.name]
        if state.pid:
            item.starts.add(state.pid)
        if state.given_up or len(item.starts) > CRASHES_AT_START:
            return self._fail(item, f"does not stay up ({state.problem or 'it ends at once'})")
        return isinstance(task, Program) and state.pid != 0 and task.ready(self._log_since(item))

    def _finish(self, item: _Active) -> None:
        del self._active[item.task.name]
        self._done.add(item.task.name)
        if isinstance(item.task, Step) and item.output is not None:
            item.output.seek(0)
            text = item.output.read(LOG_LIMIT).decode(errors="replace")
            item.output.close()
            item.task.finished(text)
        self.seconds[item.task.name] = time.monotonic() - item.began
        if item.task.title:
            self._report.done(item.task.title, self.seconds[item.task.name])

    def _fail(self, item: _Active, what: str) -> bool:
        log = self._log(item.task)
        tail = "\n".join(f"    {line}" for line in self._log_since(item).splitlines()[-15:])
        text = f"{item.task.title or item.task.name} {what}. Its log ({log}) ends:\n{tail or '    (nothing)'}\n"
        if item.task.required:
            raise StartFailed(text)
        self._report.warn(f"{text}The Zoo works without it; the manager goes on trying.")
        del self._active[item.task.name]
        return False

    def _log(self, task: Task) -> Path:
        return self._home.logs / f"{task.name}.log"

    def _log_since(self, item: _Active) -> str:
        with suppress(FileNotFoundError), self._log(item.task).open("rb") as stream:
            size = _size(self._log(item.task))
            # After a rotation the file is shorter than where it was.
            stream.seek(max(item.log_offset, size - LOG_LIMIT) if size >= item.log_offset else 0)
            return stream.read(LOG_LIMIT).decode(errors="replace")
        return ""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
