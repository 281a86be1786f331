"""What an operation's process gives up before any code of a plugin runs: network, other people's files, privileges.

Each step is irrevocable and holds for everything that the process starts.  Which steps a machine allows is found out
by trying them in a process of their own (``python -m zoo_worker.isolation``), when the worker starts.
"""

import ctypes
import fcntl
import json
import os
import resource
import socket
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo_worker.landlock import confine_files

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 4, 38
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
CAPABILITY_VERSION = 0x20080522
MOST_PROCESSES = 16_384
DEVICES = Path("/dev")
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Isolation:
    """What a child gives up.

    ``network``: it gets a network of its own, in which only the loopback is up (several processes of one operation
    speak over it).  ``files``: it opens nothing but what lies below ``readable`` and ``writable``.  ``user``: it
    becomes this user (uid and gid) for good.  With each of them it loses its capabilities too.
    """

    network: bool = False
    files: bool = False
    user: tuple[int, int] | None = None
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """``network`` and ``privileges``, as far as they are given up."""
        return (*(["network"] if self.network else []), *(["privileges"] if self.files or self.user else []))


def isolate(wanted: Isolation) -> None:
    """Give up what is wanted.  The process must have one thread only.

    Raises:
        OSError: the system refuses one of the steps; nothing may be run then.

    """
    if wanted.network:
        _leave_network()
    if wanted.user is not None:
        _become(*wanted.user)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold what the process had in memory
    if not wanted.words:
        return
    _checked(_LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if wanted.files:
        confine_files(wanted.readable, wanted.writable)
    _drop_capabilities()


def _leave_network() -> None:
    """A network namespace of our own; without the right to make one, inside a user namespace of our own."""
    user, group = os.geteuid(), os.getegid()
    if _LIBC.unshare(CLONE_NEWNET) != 0:
        _checked(_LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNET))
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(control, SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def _become(user: int, group: int) -> None:
    resource.setrlimit(resource.RLIMIT_NPROC, (MOST_PROCESSES, MOST_PROCESSES))
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    _checked(_LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))  # else its own /proc/self would be root's


def _drop_capabilities() -> None:
    header = struct.pack("Ii", CAPABILITY_VERSION, 0)
    _checked(_LIBC.capset(header, struct.pack("6I", *[0] * 6)))


def _checked(answer: int) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main(arguments: Sequence[str] = sys.argv[1:]) -> int:
    """Try an isolation, then see whether what an operation needs can still be reached: files to read, folders to fill.

    The argument is JSON: ``{"isolation": {...}, "needed": [paths]}``.  It imports little: a worker waits for it.
    """
    trial = json.loads(arguments[0])
    given = trial["isolation"]
    paths = {name: tuple(map(Path, given.get(name, ()))) for name in ("readable", "writable")}
    wanted = Isolation(**(given | paths))
    isolate(wanted)
    for path in trial.get("needed", ()):
        with Path(path).open("rb"):
            pass
    for folder in wanted.writable:
        if folder.is_dir() and DEVICES not in folder.parents:
            mark = folder / f".trial-{os.getpid()}"
            mark.touch()
            mark.unlink()
    return 0


if __name__ == "__main__":
    try:
        code = main()
    except OSError as refusal:
        sys.exit(f"{refusal.strerror or refusal} {refusal.filename or ''}".strip())
    sys.exit(code)
