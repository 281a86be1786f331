"""Shortcuts for tests of uploads and downloads."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from rest_framework.test import APIClient

from tests.zoo_server.factories import make_token
from tests.zoo_server.live import LiveServer, live_server

UPLOADS = "/api/v1/uploads"


def digest_of(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


@pytest.fixture(autouse=True)
def store(settings: Any, tmp_path: Path) -> Path:
    """A store of the test's own."""
    settings.ZOO_STORE_DIR = tmp_path / "store"
    return tmp_path / "store"


def send(client: APIClient, upload: str, offset: int, data: bytes, **headers: str) -> Any:
    """PATCH one part."""
    return client.generic(
        "PATCH",
        f"{UPLOADS}/{upload}",
        data,  # type: ignore[arg-type]  # bytes are what it wants
        content_type="application/offset+octet-stream",
        headers={"Upload-Offset": str(offset), **{name.replace("_", "-"): value for name, value in headers.items()}},
    )


Opener = Callable[..., str]


@pytest.fixture
def open_session(api: APIClient) -> Opener:
    """Open a session of team vision; answers its id."""

    def opened(size: int, **more: Any) -> str:
        answer = api.post(UPLOADS, {"team": "vision", "size": size, **more}, format="json")
        assert answer.status_code == 201, answer.content
        return str(answer.json()["id"])

    return opened


@pytest.fixture
def upload_bytes(api: APIClient, open_session: Opener) -> Callable[..., dict[str, Any]]:
    """Upload bytes in one part; answers the completed session."""

    def uploaded(data: bytes, *, filename: str = "") -> dict[str, Any]:
        upload = open_session(len(data), filename=filename)
        assert send(api, upload, 0, data).status_code == 204
        answer = api.post(f"{UPLOADS}/{upload}/complete", {"sha256": digest_of(data)}, format="json")
        assert answer.status_code == 200, answer.content
        result: dict[str, Any] = answer.json()
        return result

    return uploaded


@pytest.fixture
def live(transactional_db: None, store: Path) -> Iterator[LiveServer]:
    """A gunicorn of the test's own."""
    with live_server(store) as server:
        yield server


@pytest.fixture
def http(live: LiveServer, member: Any) -> Iterator[httpx.Client]:
    """An HTTP client of the live server with a token of the curator of team vision."""
    headers = {"Authorization": f"Bearer {make_token(member)[1]}"}
    with httpx.Client(base_url=live.url, headers=headers, timeout=60) as client:
        yield client
