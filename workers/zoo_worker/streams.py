"""Reading what a child writes: lines of bounded length at a bounded rate."""

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

READ_BYTES = 64 * 2**10
_LINE_END = re.compile(rb"[\r\n]+")


def bounded_lines(descriptor: int, limit: int) -> Iterator[bytes]:
    """Lines from a pipe until it is closed.  A carriage return ends a line too (progress bars); of a line longer than
    ``limit`` bytes the rest is left out.
    """
    waiting = b""
    overlong = False
    while chunk := os.read(descriptor, READ_BYTES):
        *complete, waiting = _LINE_END.split(waiting + chunk)
        for line in complete:
            if not overlong and line:
                yield line[:limit]
            overlong = False
        if len(waiting) > limit:
            if not overlong:
                yield waiting[:limit]
            overlong = True
            waiting = b""
    if waiting and not overlong:
        yield waiting[:limit]


@dataclass
class RateLimit:
    """A token bucket: ``burst`` at once, then ``per_second``.  Counts what it refused."""

    per_second: float
    burst: float
    refused: int = 0
    clock: Callable[[], float] = time.monotonic
    _tokens: float = field(init=False)
    _filled_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._tokens = self.burst
        self._filled_at = self.clock()

    def allows(self) -> bool:
        """Take one token if there is one."""
        now = self.clock()
        self._tokens = min(self.burst, self._tokens + (now - self._filled_at) * self.per_second)
        self._filled_at = now
        if self._tokens < 1:
            self.refused += 1
            return False
        self._tokens -= 1
        return True

    def take_refused(self) -> int:
        """How many were refused since the last call."""
        count, self.refused = self.refused, 0
        return count
