"""Fixtures of the tests of pages: those of pipelines."""

from tests.zoo_server.jobs.conftest import base, data, hands, store
from tests.zoo_server.pipelines.conftest import start

__all__ = ["base", "data", "hands", "start", "store"]
