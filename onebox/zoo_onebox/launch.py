"""Becomes one program of the one-machine Zoo; run by path, standard library only, so that it costs milliseconds.

``python -I launch.py SPECIFICATION.json`` reads what :mod:`zoo_onebox.programs` wrote, then

- takes secrets from their files, or from its own environment, into the program's environment: they are never
  arguments (which ``ps`` shows) and never part of the specification;
- gives up root for the program's user, where there is one;
- asks the kernel to signal the program when its parent dies, so that ``kill -9`` of the manager leaves nobody;
- becomes the program (``exec``): same process, same id.
"""

import ctypes
import json
import os
import pwd
import signal
import sys
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def set_process_control(option: int, value: int) -> None:
    """Call ``prctl(2)``, where the system has it (Linux)."""
    if not sys.platform.startswith("linux"):
        return
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}, {value}): {os.strerror(number)}")


def adopt_orphans() -> None:
    """Make this process the parent of its descendants' orphans, so that they can be found and ended."""
    set_process_control(PR_SET_CHILD_SUBREAPER, 1)


def become_user(name: str) -> None:
    """Give up root for good: groups first, then the user."""
    entry = pwd.getpwnam(name)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def die_with_parent(number: int, parent: int) -> None:
    """Be signalled when the parent dies; also when it died before we could ask."""
    set_process_control(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def program_environment(specification: dict[str, Any]) -> dict[str, str]:
    """The program's whole environment: what the specification says, and the secrets that it only names."""
    environment: dict[str, str] = dict(specification["environment"])
    for name in specification["inherited"]:
        if os.environ.get(name):
            environment[name] = os.environ[name]
    for name, path in specification["secret_files"].items():
        environment[name] = Path(path).read_text(encoding="utf-8").strip()
    return environment


def main() -> None:
    """Become the program that the specification describes."""
    parent = os.getppid()
    specification = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    environment = program_environment(specification)
    os.umask(0o077)
    if specification["adopts_orphans"]:
        adopt_orphans()
    if specification["user"]:
        become_user(specification["user"])
    os.chdir(specification["directory"])
    # After the change of user: the kernel forgets the request when the credentials change.
    die_with_parent(getattr(signal, f"SIG{specification['orphan_signal']}"), parent)
    command = specification["command"]
    os.execve(command[0], command, environment)  # noqa: S606


if __name__ == "__main__":
    main()
