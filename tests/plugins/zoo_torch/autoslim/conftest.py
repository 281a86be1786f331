"""A supernet and a search in it, made once."""

import pytest

from tests.plugins.zoo_torch.autoslim.samples import SEARCH, SUPERNET
from tests.plugins.zoo_torch.samples import Outcome, npz_digits, perform
from zoo_sdk.context import InputItem


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return npz_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def supernet(digits: InputItem, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return perform("torch.slim_supernet", tmp_path_factory.mktemp("supernet"), {"data": digits}, **SUPERNET)


@pytest.fixture(scope="session")
def search(supernet: Outcome, digits: InputItem, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    ports = {"supernet": supernet.item, "data": digits}
    return perform("torch.slim_search", tmp_path_factory.mktemp("search"), ports, **SEARCH)
