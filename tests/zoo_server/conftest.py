"""Fixtures shared by the tests of the registry."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.backends.postgresql.operations import DatabaseOperations
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_member, make_team, make_user, principal_for
from zoo_sdk.vocabulary import Scope, TeamRole
from zoo_server.accounts.models import Team, User
from zoo_server.rest.principals import Principal

QUERY_COUNTS = Path(__file__).with_name("query_counts.json")
TRANSACTION_WORDS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-query-counts", action="store_true", help=f"Write the measured query counts to {QUERY_COUNTS.name}."
    )
    parser.addoption("--update-permissions", action="store_true", help="Write who gets which answer to permissions.md.")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> None:
    """Let the flush after a transactional test empty the append-only and sealed tables too."""
    plain = DatabaseOperations.sql_flush

    def flush_without_triggers(self: DatabaseOperations, *args: Any, **options: Any) -> list[str]:
        return ["SET LOCAL session_replication_role = replica", *plain(self, *args, **options)]

    DatabaseOperations.sql_flush = flush_without_triggers  # type: ignore[assignment, method-assign]


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    """Hash passwords quickly: the tests' passwords protect nothing."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def team(db: None) -> Team:
    return make_team("vision")


@pytest.fixture
def member(team: Team) -> User:
    """A curator of ``team``: may read, write, submit and curate."""
    return make_member(team, TeamRole.CURATOR, user=make_user("curie"))


@pytest.fixture
def principal(member: User) -> Principal:
    """The curator of ``team`` as services see it."""
    return principal_for(member)


@pytest.fixture
def api(member: User) -> APIClient:
    """A REST client with a token of the curator of ``team``."""
    return client_for(member)


@pytest.fixture
def superuser(db: None) -> User:
    return make_user("root", is_superuser=True)


@pytest.fixture
def superuser_api(superuser: User) -> APIClient:
    return client_for(superuser)


@pytest.fixture
def worker_api(db: None) -> APIClient:
    """A REST client with a worker's token (scope ``worker`` only)."""
    return client_for(make_user("worker", is_service=True), [Scope.WORKER])


@pytest.fixture
def stranger_api(db: None) -> APIClient:
    """A REST client of a user who is in no team."""
    return client_for(make_user("stranger"))


SEEN_COUNTS = pytest.StashKey[dict[tuple[str, str], int]]()


def expect_the_same_for_any_rows(request: pytest.FixtureRequest, name: str, count: int) -> None:
    """Fail when one test, run with different parameters (numbers of rows), needs different numbers of queries."""
    seen = request.config.stash.setdefault(SEEN_COUNTS, {})
    first = seen.setdefault((request.node.nodeid.partition("[")[0], name), count)
    if first != count:
        pytest.fail(f"{name} ran {count} queries, and {first} with other parameters: it depends on the rows.")


QueryCounter = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def count_queries(request: pytest.FixtureRequest) -> QueryCounter:
    """Pins how many SQL statements a block may run, by name, in query_counts.json.

    Usage: ``with count_queries("model-list"): client.get(...)``.  Statements that only mark
    transactions are not counted.  Run with ``--update-query-counts`` to write the file.
    """
    update = request.config.getoption("update_query_counts", default=False)

    @contextmanager
    def counting(name: str) -> Iterator[None]:
        with CaptureQueriesContext(connection) as captured:
            yield
        queries = [item["sql"] for item in captured if not item["sql"].startswith(TRANSACTION_WORDS)]
        expect_the_same_for_any_rows(request, name, len(queries))
        allowed = json.loads(QUERY_COUNTS.read_text())
        if update:
            QUERY_COUNTS.write_text(json.dumps(allowed | {name: len(queries)}, indent=2, sort_keys=True) + "\n")
        elif len(queries) > allowed.get(name, -1):
            listing = "\n".join(f"{number}. {sql[:300]}" for number, sql in enumerate(queries, 1))
            pytest.fail(
                f"{name} ran {len(queries)} queries; query_counts.json allows {allowed.get(name, 'none yet')}. "
                f"If that is meant, run this test with --update-query-counts.\n{listing}"
            )

    return counting
