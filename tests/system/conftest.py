"""One whole Zoo for all tests of this folder, which therefore run in one process, one after the other."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from zoo_client.datasets import describe_dataset
from zoo_client.describing import collect_files
from zoo_client.publishing import Draft, publish

from . import running_zoo
from .running_zoo import TEAM, RunningZoo

TRAINING_SAMPLES = 1437
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZoo]:
    logging.getLogger("httpx").setLevel(logging.WARNING)  # else a failed test shows a line for each question
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))  # the client's journal of uploads
        with running_zoo.started_zoo() as running:
            yield running


@pytest.fixture(scope="session")
def digits(zoo: RunningZoo, tmp_path_factory: pytest.TempPathFactory) -> str:
    """scikit-learn's digits as a registered data set, 16x16."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = np.round(found.images * (255 / 16)).astype(np.uint8).repeat(2, axis=1).repeat(2, axis=2)
    order = np.random.default_rng(0).permutation(len(images))
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    arrays: dict[str, NDArray[np.generic]] = {}
    for split, chosen in (("train", order[:TRAINING_SAMPLES]), ("test", order[TRAINING_SAMPLES:])):
        arrays |= {f"{split}_images": images[chosen], f"{split}_labels": found.target[chosen]}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]  # numpy's stub knows no names
    files = collect_files([path])
    draft = Draft(files=files, dataset=describe_dataset(files), seal=True, repository={"licence": "BSD-3-Clause"})
    return publish(zoo.client, "datasets", f"{TEAM}/digits", draft)["reference"]
