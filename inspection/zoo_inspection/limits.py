"""How much an inspection may read, keep and take, and the two ways in which it ends early."""

from dataclasses import dataclass
from time import thread_time

STEPS_BETWEEN_LOOKS = 512
"""Looking at the clock costs about as much as a small step."""


class Malformed(Exception):
    """The bytes do not fit the format that they began as."""


class LimitReached(Exception):
    """The file may be fine, but looking at all of it would cost too much."""


@dataclass(frozen=True)
class Limits:
    """The bounds of one inspection.  They keep it below 256 MiB of memory and 10 s whatever the file holds.

    ``seconds`` of the thread's processor time (by the wall's clock, a busy machine would find files suspicious that an
    idle one finds clean); ``steps`` of parsing (one field, opcode or element each); ``read`` bytes in all and
    ``piece`` bytes at once; ``rows`` of a table that is told.
    """

    seconds: float = 8.0
    steps: int = 4_000_000
    read: int = 512 * 2**20
    piece: int = 16 * 2**20
    rows: int = 500


class Budget:
    """What is left of the limits of one inspection, shared by all that takes part in it."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.deadline = thread_time() + limits.seconds
        self.steps = 0
        self.read = 0

    def step(self, count: int = 1) -> None:
        """Account for small steps; raises :class:`LimitReached`."""
        before = self.steps
        self.steps = before + count
        if before // STEPS_BETWEEN_LOOKS != self.steps // STEPS_BETWEEN_LOOKS:
            if self.steps > self.limits.steps:
                raise LimitReached(f"it takes more than {self.limits.steps} steps to look at")
            self.check_time()

    def spend(self, size: int) -> None:
        """Account for ``size`` bytes that are read at once; raises :class:`LimitReached`."""
        if size > self.limits.piece:
            raise LimitReached(f"a piece of {size} bytes is above the {self.limits.piece} that are read at once")
        self.read += size
        if self.read > self.limits.read:
            raise LimitReached(f"more than {self.limits.read} bytes would have to be read")
        self.check_time()

    def check_time(self) -> None:
        """Raise :class:`LimitReached` when the time is over."""
        if thread_time() > self.deadline:
            raise LimitReached(f"it takes longer than {self.limits.seconds:g} s to look at")
