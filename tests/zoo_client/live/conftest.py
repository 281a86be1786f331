"""The real registry in a process of its own, on a database of its own, with the accounts of a first start."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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


@dataclass(frozen=True)
class Template:
    """A database with the accounts of a first start, to be copied; ``first``: what the bootstrap said."""

    name: str
    first: dict[str, str]


@contextmanager
def new_database(name: str, template: str = "template1") -> Iterator[str]:
    """A database until the block ends; answers its URL."""
    parts = urlsplit(os.environ["ZOO_DATABASE_URL"])
    with psycopg.connect(os.environ["ZOO_DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield urlunsplit(parts._replace(path=f"/{name}"))
    with psycopg.connect(os.environ["ZOO_DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def server_command(environ: dict[str, str], *words: str) -> str:
    """What a command of the server's prints."""
    command = [sys.executable, "-m", "zoo_server", *words]
    done = subprocess.run(command, env=os.environ | environ, check=True, capture_output=True, text=True, timeout=120)
    return done.stdout


@pytest.fixture(scope="session")
def template() -> Iterator[Template]:
    """Migrated and bootstrapped once, however many registries the tests start."""
    name = f"{DATABASE}_template"
    with new_database(name) as url:
        server_command({"ZOO_DATABASE_URL": url}, "migrate", "-v", "0")
        made = server_command({"ZOO_DATABASE_URL": url}, "bootstrap", "--json")
        yield Template(name, json.loads(made.splitlines()[-1]))


@contextmanager
def running_registry(template: Template, folder: Path, name: str, **variables: str) -> Iterator[Registry]:
    """A registry with a database, a store and a signing key of its own, until the block ends."""
    with new_database(f"{DATABASE}_{name}", template.name) as url:
        environ = {"ZOO_DATABASE_URL": url, "ZOO_SIGNING_KEYS_DIR": str(folder / "keys")} | variables
        server_command(environ, "signing_key", "ensure")
        store, first = folder / "store", template.first
        with live_server(store, "--workers", "1", environ=environ) as live:
            with Client(live.url, first["admin_token"]) as client:
                team = next(client.teams.iterate())["name"]
            environ |= {"ZOO_STORE_DIR": str(store)}
            yield Registry(live.url, first["admin_token"], first["worker_token"], team, environ)


@pytest.fixture(scope="session")
def registry(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(template, tmp_path_factory.mktemp("first"), "first") as made:
        yield made


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
