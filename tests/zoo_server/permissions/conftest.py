"""The broker of the tests of jobs: a real one."""

from tests.zoo_server.jobs.conftest import broker, valkey

__all__ = ["broker", "valkey"]
