"""One run of a set of tasks: start them, watch them, stop them in order and leave nothing behind."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from zoo_onebox.home import Home
from zoo_onebox.launch import adopt_orphans
from zoo_onebox.leftovers import OrphanHunter, descendants, end_leftovers, end_processes, family_of
from zoo_onebox.manager import Manager, ProgramState
from zoo_onebox.programs import Program, Task
from zoo_onebox.report import Report
from zoo_onebox.signals import StopSignals
from zoo_onebox.startup import StartFailed, Startup

LOOK_SECONDS = 1.0
ORPHAN_LOOK_SECONDS = 5.0
RETRY_SECONDS = 60.0
"""After so long a program that the manager has given up is tried again."""


class ManagerLost(StartFailed):
    """The process manager itself has died, and what it ran with it."""

    code = "manager-lost"


class Session:
    """Runs ``tasks`` until a stop signal.

    ``on_ready`` is called once when all that is required is up.  ``servers`` gives the processes to be ended last if
    all else fails (a database server does not like to be killed).
    """

    def __init__(self, home: Home, tasks: Sequence[Task], sockets: Path, report: Report) -> None:
        self._home = home
        self._programs = {task.name: task for task in tasks if isinstance(task, Program)}
        self._report = report
        self._manager = Manager(home, sockets)
        self._startup = Startup(home, tasks, self._manager, report)
        self._sockets = sockets
        self._seen: dict[str, ProgramState] = {}
        self._given_up: dict[str, float] = {}
        self.facts: dict[str, Any] = {}
        self.on_ready: Callable[[], None] = lambda: None
        self.servers: Callable[[], list[psutil.Process]] = list

    def run(self, signals: StopSignals) -> None:
        """Start everything and watch it until the first stop signal; then stop everything.

        Raises:
            StartFailed: a part did not come up (all have been stopped again).
            ManagerLost: the process manager died (all have been stopped).

        """
        adopt_orphans()
        try:
            self._start(signals)
            self._watch(signals)
        finally:
            self._stop(signals)

    def _start(self, signals: StopSignals) -> None:
        self._manager.start(list(self._programs.values()))
        began = time.monotonic()
        while not self._manager.answers():
            if not self._manager.runs() or time.monotonic() - began > 30:
                raise StartFailed(f"The process manager does not start; see {self._home.logs / 'manager.log'}.")
            signals.wait(0.02)
        with self._report.console.status("") as status:
            while not self._startup.ready and not signals.count:
                self._startup.advance()
                self._note("starting")
                status.update(f"[dim]starting {', '.join(self._startup.under_way)}[/dim]")
                signals.wait(0.05)
        if self._startup.ready:
            self._note("ready")
            self.on_ready()

    def _watch(self, signals: StopSignals) -> None:
        hunter = OrphanHunter(self._manager.process.pid)
        next_hunt = 0.0
        while not signals.count:
            if not self._manager.runs():
                raise ManagerLost("The process manager has died.", hint=f"See {self._home.logs / 'supervisord.log'}.")
            if not self._startup.finished:
                self._startup.advance()
            hunt = time.monotonic() >= next_hunt
            states = self._note("ready", processes=hunt)
            self._retry_given_up(states)
            if hunt:
                next_hunt = time.monotonic() + ORPHAN_LOOK_SECONDS
                for name in hunter.look(state.pid for state in states.values()):
                    self._report.warn(f"ended an orphaned {name}: the program that started it is gone")
            signals.wait(LOOK_SECONDS if self._startup.finished else 0.2)

    def _note(self, state: str, *, processes: bool = False) -> dict[str, ProgramState]:
        """Tell what changed since the last look; keep ``zoo.json`` true, with ``processes`` down to grandchildren."""
        try:
            states = self._manager.states()
        except OSError:
            return self._seen  # it has just died; the loop sees it next
        changed = self._seen != states or (self.facts.get("state"), self.facts.get("ready")) != (
            state,
            self._startup.done,
        )
        for name, now in states.items():
            before = self._seen.get(name)
            if before is not None and before.pid and now.pid != before.pid:
                self._tell_crash(name, now)
        self._seen = states
        family = family_of(self._manager.process.pid) if changed or processes else {}
        if changed or (processes and self.facts.get("processes") != family):
            self.facts |= {
                "state": state,
                "ready": self._startup.done,
                "pid": os.getpid(),
                "sockets": str(self._sockets),
                "pids": {item.name: item.pid for item in states.values() if item.pid},
                "processes": family,
            }
            self._home.write_note(self.facts)
        return states

    def _tell_crash(self, name: str, now: ProgramState) -> None:
        title = self._programs[name].title or name
        log = self._home.logs / f"{name}.log"
        what = (
            f"was started again (process {now.pid})"
            if now.pid
            else f"will be started again ({now.problem or now.state})"
        )
        if now.given_up:
            what = f"ends again and again; next try in {RETRY_SECONDS:.0f} s"
        self._report.warn(f"{title} has crashed and {what}; see {log}")

    def _retry_given_up(self, states: dict[str, ProgramState]) -> None:
        for name, state in states.items():
            if not state.given_up:
                self._given_up.pop(name, None)
            elif time.monotonic() - self._given_up.setdefault(name, time.monotonic()) > RETRY_SECONDS:
                del self._given_up[name]
                self._manager.start_program(name)

    def _stop(self, signals: StopSignals) -> None:
        if signals.count:
            self._report.say("stopping (once more to hurry)")
        asked = signals.count
        self._startup.abort()
        self.facts["state"] = "stopping"
        if self._manager.runs():
            with suppress(OSError):
                self._home.write_note(self.facts)
                for stage in sorted({program.stop_stage for program in self._programs.values()}, reverse=True):
                    self._stop_stage(stage, signals, asked)
        self._manager.shut_down(seconds=30)
        servers = self.servers()
        numbers = {server.pid for server in servers}
        end_processes([item for item in descendants(os.getpid()) if item.pid not in numbers], seconds=5)
        end_leftovers(self._home, servers)

    def _stop_stage(self, stage: int, signals: StopSignals, asked: int) -> None:
        waiting = {name for name, program in self._programs.items() if program.stop_stage == stage}
        waiting = {name for name in waiting if not self._manager.states()[name].stopped}
        began = time.monotonic()
        for name in waiting:
            self._manager.stop_program(name)
        while waiting:
            if signals.count > asked:
                for name in waiting:
                    self._manager.signal_program(name, "QUIT" if stage == 0 else "KILL")
            states = self._manager.states()
            for name in sorted(name for name in waiting if states[name].stopped):
                waiting.discard(name)
                self._report.stopped(self._programs[name].title or name, time.monotonic() - began)
            if waiting:
                signals.wait(0.05)
