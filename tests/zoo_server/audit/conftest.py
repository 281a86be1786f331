"""Shortcuts for tests of the audit log."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from tests.zoo_server.factories import make_team
from zoo_server.audit.models import AuditEvent
from zoo_server.audit.services import record_event
from zoo_server.rest.principals import SYSTEM


@pytest.fixture
def record() -> Callable[..., AuditEvent]:
    """Record one event in a transaction of its own."""

    def one(action: str = "team.tested", **details: Any) -> AuditEvent:
        with transaction.atomic():
            team = make_team()
            return record_event(actor=SYSTEM, action=action, subject=team, team=team.name, details=details)

    return one


@pytest.fixture
def tamper() -> Callable[..., None]:
    """Run SQL as an intruder with the database's highest rights would: with all triggers off."""

    def run(sql: str, *values: Any) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(sql, values)

    return run
