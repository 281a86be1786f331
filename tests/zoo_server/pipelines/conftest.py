"""Fixtures of the tests of pipelines: those of jobs, and a way to start a recipe."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.zoo_server.jobs.conftest import base, broker, data, hands, store, teacher, valkey
from tests.zoo_server.jobs.scenes import Hands
from tests.zoo_server.pipelines.scenes import Scene
from zoo_server.catalog.models import Version
from zoo_server.rest.principals import Principal

__all__ = ["base", "broker", "data", "hands", "store", "teacher", "valkey"]
Start = Callable[..., Scene]


@pytest.fixture
def start(principal: Principal, hands: Hands, data: Version) -> Start:
    """Start a recipe as the curator of team vision, with ``vision/pictures@1`` as its input ``data``."""

    def started(text: str, **changes: Any) -> Scene:
        inputs = {"data": str(data)} | changes.pop("inputs", {})
        return Scene.start(principal, hands, text, inputs=inputs, **changes)

    return started
