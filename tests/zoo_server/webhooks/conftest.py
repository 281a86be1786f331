"""A receiver on this machine, which the settings allow, and a webhook of the team's admin."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_member
from tests.zoo_server.webhooks.receiver import Receiver, receiving
from zoo_sdk.vocabulary import TeamRole
from zoo_server.accounts.models import Team
from zoo_server.webhooks.models import Delivery
from zoo_server.webhooks.services import telling

ROUTE = "/api/v1/teams/vision/webhooks"


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.ZOO_WEBHOOK_NETWORKS = ["127.0.0.0/8"]
    with receiving() as made:
        yield made


@pytest.fixture
def admin_api(team: Team) -> APIClient:
    return client_for(make_member(team, TeamRole.ADMIN))


@pytest.fixture
def hook(admin_api: APIClient, receiver: Receiver) -> dict[str, Any]:
    """A webhook that hears of versions and jobs; with its secret."""
    body = {"url": f"{receiver.url}/zoo?room=1", "events": ["version.*", "job.failed"], "description": "chat"}
    made = admin_api.post(ROUTE, body, format="json")
    assert made.status_code == 201, made.content
    found: dict[str, Any] = made.json()
    return found


def commit() -> None:
    """What a commit does to the audit log: chain what was written."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def told() -> int:
    """One round of the chore."""
    commit()
    telling.collect()
    return telling.deliver_due()


def wait_is_over() -> None:
    """As if the time until the next try had passed."""
    Delivery.objects.filter(state="waiting").update(due_at=timezone.now() - timedelta(seconds=1))
