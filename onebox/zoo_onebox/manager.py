"""The process manager: supervisord with a configuration made from :class:`Program`, spoken to over its own socket."""

import os
import shlex
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from supervisor.xmlrpc import SupervisorTransport

from zoo_onebox.home import Home
from zoo_onebox.programs import HOME_MARK, Program, Task

SOCKET_NAME = "manager.sock"
SECONDS_TO_COUNT_AS_STARTED = 10
"""A program that ends sooner is started again after 1, 2, 3 ... seconds; a later crash is answered at once."""
TRIES = 20
LAUNCHER = Path(__file__).with_name("launch.py")

HEAD = """\
[supervisord]
nodaemon = true
silent = true
logfile = %(ENV_ONEBOX_LOGS)s/supervisord.log
logfile_maxbytes = 5MB
logfile_backups = 3
pidfile = %(ENV_ONEBOX_RUN)s/supervisord.pid
{user}
[unix_http_server]
file = %(ENV_ONEBOX_SOCKETS)s/manager.sock
chmod = 0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""

SECTION = """
[program:{name}]
command = %(ENV_ONEBOX_LAUNCH)s %(ENV_ONEBOX_SPECIFICATIONS)s/{name}.json
directory = /
autostart = false
autorestart = true
startsecs = {startsecs}
startretries = {tries}
priority = {priority}
stopsignal = {signal}
stopwaitsecs = {seconds}
stopasgroup = {group}
killasgroup = true
redirect_stderr = true
stdout_logfile = %(ENV_ONEBOX_PROGRAM_LOGS)s/{name}.log
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 3
"""


@dataclass(frozen=True)
class ProgramState:
    """What supervisord says about one program."""

    name: str
    state: str
    pid: int
    started: int
    problem: str

    @property
    def stopped(self) -> bool:
        return self.state in {"STOPPED", "EXITED", "FATAL"}

    @property
    def given_up(self) -> bool:
        return self.state == "FATAL"


def launch_command(specification: Path) -> list[str]:
    """The command that becomes a task."""
    return [sys.executable, "-I", str(LAUNCHER), str(specification)]


def configuration(programs: Iterable[Program]) -> str:
    """Supervisord's configuration; paths come by its environment, so that no path can break its syntax."""
    sections = [
        SECTION.format(
            name=program.name,
            startsecs=SECONDS_TO_COUNT_AS_STARTED,
            tries=TRIES,
            priority=program.stop_stage,
            signal=program.stop_signal,
            seconds=program.stop_seconds,
            group=str(program.stop_group).lower(),
        )
        for program in programs
    ]
    return HEAD.format(user="user = root\n" if os.geteuid() == 0 else "") + "".join(sections)


class Manager:
    """supervisord as our child; every call is a question to it, nothing is remembered here."""

    def __init__(self, home: Home, sockets: Path) -> None:
        self._home = home
        self._socket = sockets / SOCKET_NAME
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the manager has not been started")
        return self._process

    def start(self, programs: Sequence[Program]) -> None:
        """Start supervisord; what its programs inherit from us passes through it."""
        config = self._home.run / "supervisord.conf"
        config.write_text(configuration(programs), encoding="utf-8")
        for program in programs:
            program.write_specification(self._home.specifications)
        environment = {
            "PATH": os.defpath,
            HOME_MARK: str(self._home.root),
            "ONEBOX_LOGS": str(self._home.logs),
            "ONEBOX_PROGRAM_LOGS": str(self._home.logs).replace("%", "%%"),  # supervisord expands this one twice
            "ONEBOX_RUN": str(self._home.run),
            "ONEBOX_SOCKETS": str(self._socket.parent),
            "ONEBOX_LAUNCH": shlex.join([sys.executable, "-I", str(LAUNCHER)]),
            "ONEBOX_SPECIFICATIONS": shlex.quote(str(self._home.specifications)),
        }
        supervisord = Task(
            name="manager",
            command=(sys.executable, "-m", "supervisor.supervisord", "-c", str(config)),
            environment=environment,
            inherited=tuple(sorted({name for program in programs for name in program.inherited})),
            adopts_orphans=True,
        )
        self._process = run_task(supervisord, self._home)

    def answers(self) -> bool:
        """Whether supervisord takes calls yet."""
        with suppress(OSError, xmlrpc.client.Error):
            return bool(self._ask("getState")["statename"] == "RUNNING")
        return False

    def states(self) -> dict[str, ProgramState]:
        """The state of every program."""
        records = cast("list[dict[str, Any]]", self._ask("getAllProcessInfo"))
        return {
            item["name"]: ProgramState(
                item["name"], item["statename"], item["pid"], item["start"], item["spawnerr"] or _exit(item)
            )
            for item in records
        }

    def start_program(self, name: str) -> None:
        """Start it without waiting; a program that has been started already is left alone."""
        self._command("startProcess", name, False)  # noqa: FBT003 (XML-RPC has no keywords)

    def stop_program(self, name: str) -> None:
        """Send the stop signal without waiting; supervisord kills what does not end in time."""
        self._command("stopProcess", name, False)  # noqa: FBT003

    def signal_program(self, name: str, number: str) -> None:
        """Send a signal to the program and its group, if it runs."""
        self._command("signalProcess", name, number)

    def runs(self) -> bool:
        """Whether supervisord still runs."""
        return self._process is not None and self._process.poll() is None

    def shut_down(self, seconds: float) -> None:
        """End supervisord, by force if it does not end in time."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _command(self, method: str, *arguments: Any) -> None:
        """A question whose refusal means that there is nothing to do."""
        with suppress(xmlrpc.client.Fault):
            self._ask(method, *arguments)

    def _ask(self, method: str, *arguments: Any) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)


def _exit(record: dict[str, Any]) -> str:
    if record["statename"] not in {"EXITED", "BACKOFF", "FATAL"}:
        return ""
    status = record["exitstatus"]
    return f"exit status {status}" if status >= 0 else "ended by a signal"


def run_task(task: Task, home: Home, *, output: int | None = None) -> subprocess.Popen[bytes]:
    """Start a task as our child in a session of its own; its standard error goes to ``logs/<name>.log``."""
    specification = task.write_specification(home.specifications)
    environment = {name: os.environ[name] for name in task.inherited if name in os.environ}
    with (home.logs / f"{task.name}.log").open("ab") as log:
        return subprocess.Popen(
            launch_command(specification),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log if output is None else output,
            stderr=log,
            start_new_session=True,
        )
