"""Keeps the stack of this thread's signal handlers, which OpenVINO replaces and may leave unmapped.

Every CPU plugin of OpenVINO (one for each ``Core`` that compiles) gives the calling thread a stack of its own for
signal handlers, as AMX needs more room, and puts the former one back when it ends.  Plugins that do not end in the
reverse order of their beginning (NNCF makes many) put back a stack that is gone.  Python's handlers run on that stack,
so the next signal, be it a SIGTERM or the SIGCHLD of an ended child, would end the process with SIGSEGV.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_LIBC = ctypes.CDLL(None, use_errno=True)


class SignalStack(ctypes.Structure):
    """``stack_t`` of sigaltstack(2) in Linux: ``flags`` is 2 (SS_DISABLE) where there is none."""

    _fields_ = [("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


def signal_stack() -> SignalStack:
    """The one that the calling thread has now."""
    found = SignalStack()
    _call(None, ctypes.byref(found))
    return found


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Afterwards, the calling thread has again the stack that it had before."""
    former = signal_stack()
    try:
        yield
    finally:
        _call(ctypes.byref(former), None)


def _call(new: object, old: object) -> None:
    if _LIBC.sigaltstack(new, old) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"sigaltstack failed with error {number}")
