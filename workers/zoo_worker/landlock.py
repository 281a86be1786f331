"""Linux' Landlock: a process forbids itself, for good and for all that it starts, every file but those that it names.

See ``Documentation/userspace-api/landlock.rst`` of the kernel.  It needs neither root nor a container's permission.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""System calls; the same numbers on every architecture."""
ASK_VERSION = 1
RULE_PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = (1 << bit for bit in range(4))
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
FIRST_RIGHTS = (1 << 13) - 1
"""The rights that the first version of Landlock knows."""
READING = EXECUTE | READ_FILE | READ_DIR
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
"""Rights that may be given for what is no folder."""
SCOPES = 0b11
"""No abstract socket and no signal reaches beyond the confined processes."""
_LIBC = ctypes.CDLL(None, use_errno=True)


def landlock_version() -> int:
    """The version that the kernel speaks; 0: it has none, or it is turned off."""
    return max(int(_LIBC.syscall(CREATE_RULESET, None, 0, ASK_VERSION)), 0)


def confine_files(readable: Iterable[Path], writable: Iterable[Path]) -> None:
    """From now on only what lies below these paths can be opened; what does not exist is passed over.

    The caller has set ``no_new_privs``.  Access to other processes' memory and environment (``/proc/PID/environ``)
    is refused as well, and from version 6 on, signals to processes outside.

    Raises:
        OSError: the kernel refuses.

    """
    version = landlock_version()
    rights = FIRST_RIGHTS
    for since, right in ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEV)):
        rights |= right if version >= since else 0
    attributes = struct.pack("QQQ", rights, 0, SCOPES)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _checked(_LIBC.syscall(CREATE_RULESET, attributes, size, 0))
    try:
        for paths, given in ((readable, READING | IOCTL_DEV), (writable, rights)):
            for path in paths:
                _allow(ruleset, path, given & rights)
        _checked(_LIBC.syscall(RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # not here, or not for us: then nothing is allowed there
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= OF_FILES
        _checked(_LIBC.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0))
    finally:
        os.close(descriptor)


def _checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer
