"""The real registry in a process of its own, on a database of its own, with the accounts of a first start."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from tests.zoo_client.conftest import Outcome, Zoo
from tests.zoo_server.live import live_server
from zoo_client import Client

DATABASE = f"zoo_client_tests_{os.getpid()}"


@dataclass(frozen=True)
class Registry:
    """A running registry."""

    url: str
    admin_token: str
    worker_token: str
    team: str
    environ: dict[str, str]
    """What a command of the server's needs to work on the same database and store."""


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    parts = urlsplit(os.environ["ZOO_DATABASE_URL"])
    url = urlunsplit(parts._replace(path=f"/{DATABASE}"))
    with psycopg.connect(os.environ["ZOO_DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{DATABASE}"')
    keys = tmp_path_factory.mktemp("signing-keys")
    environ = {"ZOO_DATABASE_URL": url, "ZOO_SIGNING_KEYS_DIR": str(keys)}
    server = [sys.executable, "-m", "zoo_server"]
    subprocess.run([*server, "migrate", "-v", "0"], env=os.environ | environ, check=True, timeout=120)
    made = subprocess.run([*server, "bootstrap", "--json"], env=os.environ | environ, check=True, capture_output=True)
    first = json.loads(made.stdout.splitlines()[-1])
    subprocess.run([*server, "signing_key", "ensure"], env=os.environ | environ, check=True, capture_output=True)
    store: Path = tmp_path_factory.mktemp("store")
    with live_server(store, "--workers", "1", environ=environ) as live:
        with Client(live.url, first["admin_token"]) as client:
            team = next(client.teams.iterate())["name"]
        yield Registry(
            live.url, first["admin_token"], first["worker_token"], team, environ | {"ZOO_STORE_DIR": str(store)}
        )
    with psycopg.connect(os.environ["ZOO_DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{DATABASE}" WITH (FORCE)')


@pytest.fixture
def client(registry: Registry) -> Iterator[Client]:
    with Client(registry.url, registry.admin_token) as made:
        yield made


@pytest.fixture
def admin(zoo: Zoo, registry: Registry) -> Zoo:
    """``zoo`` as the administrator."""

    def run(*words: str, **options: str) -> Outcome:
        return zoo(*words, **{"ZOO_URL": registry.url, "ZOO_TOKEN": registry.admin_token, **options})

    return run
