"""Runs the rest of the program in the background; the foreground waits until that is ready or has failed."""

import os
import signal
from types import FrameType


class Background:
    """The background's side: the terminal is still there until :meth:`ready`."""

    def __init__(self, writer: int) -> None:
        self._writer = writer

    def ready(self) -> None:
        """Let the foreground end with success, and let go of its terminal."""
        empty = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(empty, descriptor)
        os.close(empty)
        os.write(self._writer, b"r")
        os.close(self._writer)


def detach() -> Background:
    """Fork: the caller goes on in the background; the foreground never returns from here.

    It exits with 0 when the background says :meth:`Background.ready`, else with the background's exit status.
    SIGINT and SIGTERM to the foreground stop the background.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.setsid()
        return Background(writer)
    os.close(writer)

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        os.kill(child, signal.SIGTERM)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    if os.read(reader, 1):
        os._exit(0)
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)
