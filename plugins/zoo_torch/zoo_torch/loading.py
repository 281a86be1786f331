"""Worker processes that decode pictures ahead of the network, and batches of a split for evaluation."""

import os
import signal
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.errors import InvalidInput, OutOfMemory
from zoo_torch.processes import die_with_parent
from zoo_vision.datasets import ImageSplit, Pictures
from zoo_vision.preprocessing import prepare, reduced

PREFETCHED_ITEMS = 2
"""Of each worker process: bounds the memory of pictures that wait."""
FILE_WORKERS = 2
Item = TypeVar("Item", covariant=True)  # noqa: PLC0105 (a plain name)


class Source(Protocol[Item]):
    """Makes item n; called in a worker process, so the item holds arrays and no tensors: torch hands those over in
    shared memory, of which containers have little.
    """

    def __getitem__(self, number: int, /) -> Item: ...


def default_workers(split: ImageSplit) -> int:
    """Small pictures lie in memory, and the attempt's threads are all in use by the network; files must be decoded."""
    return 0 if split.source.in_memory else FILE_WORKERS


def load(source: Source[Item], count: int, workers: int) -> Iterator[Item]:
    """Items 0 to ``count - 1`` in order, made by ``workers`` processes ahead of time (0: in this one, when asked for).

    Raises:
        InvalidInput: as the source raised it.
        OutOfMemory: a worker process was killed.

    """
    # More processes than processors only wait for each other.
    workers = min(workers, len(os.sched_getaffinity(0)))
    loader: DataLoader[Any] = DataLoader(
        cast("Dataset[Any]", _Guarded(source)),
        batch_size=None,
        sampler=range(count),
        collate_fn=_as_is,
        num_workers=workers,
        prefetch_factor=PREFETCHED_ITEMS if workers else None,
        worker_init_fn=_begin_worker,
        # It would otherwise draw a seed for its worker processes from the generator that the network uses.
        generator=torch.Generator(),
    )
    try:
        for item in loader:
            if isinstance(item, _Refusal):
                raise InvalidInput(item.detail, hint=item.hint, facts=item.facts)
            yield item
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise OutOfMemory(
            f"A process that decodes pictures ended by itself, most likely because memory ran out: {error}",
            hint="Give fewer loader_workers or a smaller batch_size.",
        ) from error


class _Refusal(NamedTuple):
    """An :class:`InvalidInput` on its way out of a worker process; torch would hand over its text only."""

    detail: str
    hint: str
    facts: dict[str, Any]


class _Guarded:
    def __init__(self, source: Source[Any]) -> None:
        self._source = source

    def __getitem__(self, number: int, /) -> Any:
        try:
            return self._source[number]
        except InvalidInput as error:
            return _Refusal(error.detail, error.hint, error.facts)


def _as_is(item: Any) -> Any:
    return item


def _begin_worker(_number: int) -> None:
    """A worker process inherits the operation's handler of SIGTERM, which would keep it from ending."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent()


class _Chunks:
    """The pictures of an evaluation, ``size`` at a time, no larger than the preprocessing needs them."""

    def __init__(
        self, split: ImageSplit, preprocessing: Preprocessing, size: int, positions: NDArray[np.int64]
    ) -> None:
        self._split = split
        self._preprocessing = preprocessing
        self._size = size
        self._positions = positions

    def positions_of(self, number: int) -> NDArray[np.int64]:
        return self._positions[number * self._size : (number + 1) * self._size]

    def __getitem__(self, number: int, /) -> Pictures:
        pictures = self._split.source.take(self.positions_of(number))
        side = self._preprocessing.resize
        if side is None or self._split.source.in_memory:
            return pictures
        return [reduced(picture, side, self._preprocessing.interpolation) for picture in pictures]


def evaluation_batches(
    split: ImageSplit, preprocessing: Preprocessing, size: int, *, limit: int | None = None
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """What ``split.batches`` gives, decoded by worker processes where the pictures are files."""
    positions = np.linspace(0, len(split), min(limit or len(split), len(split)), endpoint=False).astype(np.int64)
    chunks = _Chunks(split, preprocessing, size, positions)
    count = -(-len(positions) // size)
    for number, pictures in enumerate(load(chunks, count, default_workers(split))):
        labels = split.labels[chunks.positions_of(number)] + preprocessing.label_offset
        yield prepare(pictures, preprocessing), labels
