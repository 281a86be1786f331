"""Finds and ends the processes that a killed Zoo left behind, and orphans while one runs."""

import os
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress

import psutil

from zoo_onebox.home import Home
from zoo_onebox.programs import HOME_MARK


def marked_processes(home: Home) -> list[psutil.Process]:
    """Processes of this home: they carry its mark in their environment, which children inherit."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with suppress(psutil.Error, OSError):
            if process.environ().get(HOME_MARK) == str(home.root):
                found.append(process)
    return found


def family_of(number: int) -> dict[str, float]:
    """A process and all its descendants with the times of their creation, for ``zoo.json``."""
    family = {}
    with suppress(psutil.Error):
        for process in (psutil.Process(number), *descendants(number)):
            with suppress(psutil.Error):
                family[str(process.pid)] = process.create_time()
    return family


def noted_processes(home: Home) -> list[psutil.Process]:
    """Processes that ``zoo.json`` names, if they are still the same ones, with all their descendants."""
    found = []
    for number, started in home.read_note().get("processes", {}).items():
        with suppress(psutil.Error, ValueError):
            process = psutil.Process(int(number))
            same = abs(process.create_time() - float(started)) < 1.0
            if same and process.status() != psutil.STATUS_ZOMBIE:
                found += [process, *process.children(recursive=True)]
    return found


def end_leftovers(home: Home, servers: Sequence[psutil.Process] = ()) -> list[str]:
    """End what an earlier run left, the manager first (it stops the others in order), ``servers`` last.

    Returns the names of what was found.
    """
    server_numbers = {server.pid for server in servers}
    found = {process.pid: process for process in (*marked_processes(home), *noted_processes(home))}
    others = [process for number, process in found.items() if number not in server_numbers and number != os.getpid()]
    names = sorted({_name(process) for process in (*others, *servers)})
    managers = [process for process in others if _is_manager(process)]
    end_processes(managers, seconds=60)
    end_processes(others, seconds=10)
    for server in servers:
        with suppress(psutil.Error):
            server.send_signal(signal.SIGINT)
            server.send_signal(signal.SIGCONT)
    wait_gone(servers, seconds=30)
    end_processes(servers, seconds=1)
    return names


def end_processes(processes: Iterable[psutil.Process], seconds: float) -> None:
    """SIGTERM, then SIGKILL for those that do not end in time."""
    waiting = [process for process in processes if process.is_running()]
    for process in waiting:
        with suppress(psutil.Error):
            process.terminate()
    alive = wait_gone(waiting, seconds)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    wait_gone(alive, seconds=10)


def wait_gone(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until they have ended; returns those that have not.

    A zombie has ended: in a container without an init process nobody may ever collect it.
    """
    deadline = time.monotonic() + seconds
    alive = [process for process in processes if not _has_ended(process)]
    while alive and time.monotonic() < deadline:
        time.sleep(0.05)
        alive = [process for process in alive if not _has_ended(process)]
    return alive


def _has_ended(process: psutil.Process) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)  # collects it where it is ours, also by adoption
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def descendants(number: int) -> list[psutil.Process]:
    """All children, grandchildren ... of a process."""
    with suppress(psutil.Error):
        return psutil.Process(number).children(recursive=True)
    return []


class OrphanHunter:
    """Ends processes whose program died without them: the manager adopts them, and nobody needs them any more.

    A process counts as an orphan when it was one at two looks in a row, so that what is just ending may end.
    """

    def __init__(self, manager: int) -> None:
        self._manager = manager
        self._suspects: set[psutil.Process] = set()

    def look(self, programs: Iterable[int]) -> list[str]:
        """One look; returns the names of what was ended.  ``programs``: process ids that the manager watches."""
        known = set(programs)
        try:
            children = set(psutil.Process(self._manager).children())
        except psutil.Error:
            return []
        orphans = {child for child in children if child.pid not in known}
        doomed = orphans & self._suspects
        self._suspects = orphans - doomed
        victims = [member for orphan in doomed for member in (orphan, *descendants(orphan.pid))]
        names = sorted({_name(victim) for victim in victims})
        end_processes(victims, seconds=5)
        return names


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return str(process.name())
    return "process"


def _is_manager(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "supervisor.supervisord" in process.cmdline()
    return False
