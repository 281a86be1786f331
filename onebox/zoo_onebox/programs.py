"""What is to be run, as data: :class:`Program` (supervised) and :class:`Step` (runs once), with what each needs."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

HOME_MARK = "ONEBOX_HOME"
"""Environment variable that every process of a home carries; it is how the next start finds what a crash left."""

SignalName = Literal["TERM", "INT", "QUIT", "KILL"]


def always(_output: str = "") -> bool:
    """A readiness check for a program that is ready as soon as it runs."""
    return True


@dataclass(frozen=True, kw_only=True)
class Task:
    """One thing to be done at start-up.

    ``needs``: names of tasks that must be ready (a program) or done (a step) before.
    ``required``: False lets the Zoo be ready before this is (MLflow, which takes its time and is never waited for).
    ``environment`` is all the task gets, but for ``inherited`` (names taken from ours) and ``secret_files``
    (variable -> file that holds the secret).
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    inherited: tuple[str, ...] = ()
    secret_files: Mapping[str, Path] = field(default_factory=dict)
    directory: Path = Path("/")
    user: str | None = None
    needs: tuple[str, ...] = ()
    required: bool = True
    title: str = ""
    seconds: float = 120.0
    orphan_signal: SignalName = "TERM"
    adopts_orphans: bool = False

    def write_specification(self, folder: Path) -> Path:
        """Write what ``launch.py`` reads; it names secrets but holds none."""
        path = folder / f"{self.name}.json"
        specification = {
            "command": list(self.command),
            "environment": dict(self.environment),
            "inherited": list(self.inherited),
            "secret_files": {name: str(file) for name, file in self.secret_files.items()},
            "directory": str(self.directory),
            "user": self.user,
            "orphan_signal": self.orphan_signal,
            "adopts_orphans": self.adopts_orphans,
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(specification, indent=1), encoding="utf-8")
        return path


@dataclass(frozen=True, kw_only=True)
class Step(Task):
    """A command that runs once per start; ``finished`` gets what it wrote to its standard output."""

    finished: Callable[[str], object] = always


@dataclass(frozen=True, kw_only=True)
class Program(Task):
    """A supervised program.

    ``stop_stage``: programs of a higher stage are stopped before those of a lower one.
    ``stop_group``: whether the stop signal goes to the whole process group (else to the program, which tells its own).
    ``ready``: called again and again with what the program has logged since its start.
    """

    stop_stage: int = 50
    stop_signal: SignalName = "TERM"
    stop_group: bool = False
    stop_seconds: int = 10
    ready: Callable[[str], bool] = always
