"""Worker processes that decode pictures."""

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.plugins.zoo_torch.samples import npz_digits
from zoo_sdk.artifacts import DatasetDescription, Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, OutOfMemory
from zoo_torch.loading import default_workers, evaluation_batches, load
from zoo_vision.datasets import ImageSplit, open_split


class Numbers:
    """Item n is n and the process that made it."""

    def __getitem__(self, number: int, /) -> tuple[int, int]:
        return number, os.getpid()


class Broken:
    def __getitem__(self, number: int, /) -> int:
        if number == 2:
            raise InvalidInput("Picture 2 is wrong.", hint="Replace it.", facts={"file": "2.png"})
        return number


class Dying:
    def __getitem__(self, number: int, /) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return number


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_items_come_in_order_whoever_makes_them(workers: int) -> None:
    items = list(load(Numbers(), 10, workers))
    assert [number for number, _ in items] == list(range(10))
    makers = {maker for _, maker in items}
    assert (makers == {os.getpid()}) if workers == 0 else (os.getpid() not in makers and len(makers) == workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_refused_picture_is_said_as_if_there_were_no_worker(workers: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        list(load(Broken(), 5, workers))
    error = caught.value
    assert (error.detail, error.hint, error.facts) == ("Picture 2 is wrong.", "Replace it.", {"file": "2.png"})


def test_a_killed_worker_is_said_to_be_out_of_memory() -> None:
    with pytest.raises(OutOfMemory, match="fewer loader_workers"):
        list(load(Dying(), 5, 1))


def test_workers_end_with_the_loop_even_where_sigterm_is_handled() -> None:
    former = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        items = load(Numbers(), 1000, 2)
        next(items)
        assert len(multiprocessing.active_children()) == 2
        items.close()  # type: ignore[attr-defined]
        del items
        assert multiprocessing.active_children() == []
    finally:
        signal.signal(signal.SIGTERM, former)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> ImageSplit:
    root = tmp_path_factory.mktemp("photographs")
    generator = np.random.default_rng(0)
    for number in range(30):
        folder = root / "test" / ("even", "odd")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        height, width = generator.integers(30, 60, 2)
        Image.fromarray(generator.integers(0, 256, (height, width, 3)).astype(np.uint8)).save(
            folder / f"{number:02}.png"
        )
    description = DatasetDescription(
        format="image-folder", classes=("even", "odd"), splits={"test": {"folder": "test"}}
    )
    return open_split(InputItem(reference="digits/photographs@1", folder=root, dataset=description), "test")


@pytest.mark.parametrize("limit", [None, 13])
def test_an_evaluation_sees_what_the_split_itself_gives(photographs: ImageSplit, limit: int | None) -> None:
    preprocessing = Preprocessing(channels=3, resize=24, crop=(20, 20), label_offset=1)
    assert default_workers(photographs) == 2
    for (inputs, labels), (expected, expected_labels) in zip(
        evaluation_batches(photographs, preprocessing, 8, limit=limit),
        photographs.batches(preprocessing, 8, limit=limit),
        strict=True,
    ):
        np.testing.assert_array_equal(inputs, expected)
        np.testing.assert_array_equal(labels, expected_labels)


def test_arrays_in_memory_need_no_worker(tmp_path: Path) -> None:
    assert default_workers(open_split(npz_digits(tmp_path), "train")) == 0
