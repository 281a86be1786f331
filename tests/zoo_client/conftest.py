"""Fixtures of the client's tests: a home of the test's own, and the small server that misbehaves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.zoo_client.byte_server import ByteServer


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the developer's login, journals or proxies."""
    home = tmp_path / "home"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    for name in (
        "ZOO_URL",
        "ZOO_TOKEN",
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def server() -> Iterator[ByteServer]:
    made = ByteServer()
    yield made
    made.stop()
