"""The GPUs that a worker gives to its attempts: which ones are its own, and which of them are free."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from zoo_sdk.errors import Conflict, InvalidInput
from zoo_worker.machine import gpus as gpus_of_machine
from zoo_worker.stopping import Stop

SETTING = "ZOO_WORKER_GPUS"
VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"
NONE = "none"
LOOK_SECONDS = 0.5
"""How often somebody who waits for GPUs looks whether to stop."""


@dataclass(frozen=True)
class Gpu:
    """A GPU by its id, which is the same in every process; its number is not."""

    uuid: str
    name: str
    driver: str

    @property
    def kind(self) -> str:
        """What of it can change a result."""
        return f"{self.name}, driver {self.driver}"


def own_gpus(environ: Mapping[str, str]) -> tuple[Gpu, ...]:
    """The GPUs that the worker gives: those of ``ZOO_WORKER_GPUS``, of ``CUDA_VISIBLE_DEVICES``, or all.

    Numbers are those of ``nvidia-smi``.  A machine that tells nothing about its GPUs is believed what the setting says.

    Raises:
        InvalidInput: ``ZOO_WORKER_GPUS`` names a GPU that is not there, or one twice.

    """
    present = [Gpu(gpu["uuid"], gpu["name"], gpu["driver"]) for gpu in gpus_of_machine()]
    if SETTING in environ:
        return _chosen(environ[SETTING], present)
    if VISIBLE_DEVICES in environ:
        return _visible(environ[VISIBLE_DEVICES], present)
    return tuple(present)


def _chosen(text: str, present: Sequence[Gpu]) -> tuple[Gpu, ...]:
    if text.strip() == NONE:
        return ()
    own: list[Gpu] = []
    for word in (part.strip() for part in text.split(",")):
        gpu = _meant(word, present) if present else _untold(word)
        if gpu is None or gpu in own:
            known = ", ".join(f"{number} ({item.uuid})" for number, item in enumerate(present))
            raise InvalidInput(
                f"{SETTING}={text!r}: {word!r} is {'named twice' if gpu else 'no GPU of this machine'}.",
                hint=f"Write numbers or ids with commas, or `{NONE}`. There are: {known or 'none that we are told'}.",
                facts={"field": SETTING},
            )
        own.append(gpu)
    return tuple(own)


def _visible(text: str, present: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """As CUDA reads it: numbers, or beginnings of ids, up to the first that means no GPU."""
    own: list[Gpu] = []
    for word in text.split(","):
        gpu = _meant(word.strip(), present)
        if gpu is None or gpu in own:
            break
        own.append(gpu)
    return tuple(own)


def _meant(word: str, present: Sequence[Gpu]) -> Gpu | None:
    if word.isascii() and word.isdigit():
        return present[int(word)] if int(word) < len(present) else None
    found = [gpu for gpu in present if word.startswith("GPU-") and gpu.uuid.startswith(word)]
    return found[0] if len(found) == 1 else None


def _untold(word: str) -> Gpu | None:
    if not (word.isascii() and word.isdigit()) and not word.startswith("GPU-"):
        return None
    return Gpu(word, "GPU of an unknown kind", "unknown")


class GpuSlots:
    """Gives each GPU to one holder at a time; who asks first gets first, so many small ones cannot starve a large one.

    Usable from several threads.
    """

    def __init__(self, gpus: Iterable[Gpu]) -> None:
        self._all = tuple(gpus)
        self._free = list(self._all)
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, count: int, stop: Stop) -> Iterator[tuple[Gpu, ...]]:
        """Wait until it is our turn and so many are free; they are ours inside the block.

        Raises:
            Conflict: there are not so many.
            Stopped: a stop was asked for meanwhile.

        """
        if count > len(self._all):
            raise Conflict(f"{count} GPUs are needed; this worker has {len(self._all)}.")
        given = self._take(count, stop)
        try:
            yield given
        finally:
            with self._changed:
                self._free += given
                self._changed.notify_all()

    def _take(self, count: int, stop: Stop) -> tuple[Gpu, ...]:
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                stop.check()
                while self._waiting[0] is not ticket or len(self._free) < count:
                    self._changed.wait(LOOK_SECONDS)
                    stop.check()
                given = tuple(sorted(self._free, key=self._all.index)[:count])
                self._free = [gpu for gpu in self._free if gpu not in given]
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        return given
