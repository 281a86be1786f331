"""What the tests of training share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.zoo_torch.samples import SMALL, Outcome, npz_digits, perform
from zoo_sdk.context import InputItem

Train = Callable[..., Outcome]


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return npz_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture
def train(tmp_path: Path, digits: InputItem) -> Train:
    """Run ``torch.train`` for two short epochs below ``tmp_path / name``."""

    def run(
        name: str = "out", *, init: InputItem | None = None, data: InputItem | None = None, **changes: Any
    ) -> Outcome:
        params = {"architecture": None if init else "zoo:conv_tiny", **SMALL, **changes}
        context = {name: params.pop(name) for name in ("seed", "cancelled") if name in params}
        ports: dict[str, Any] = {"data": data or digits, **({"init": init} if init else {})}
        return perform("torch.train", tmp_path / name, ports, **context, **params)

    return run
