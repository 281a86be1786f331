"""Keys are forgotten after a day."""

import pytest

from tests.zoo_server.jobs.conftest import Submit
from zoo_server.jobs import chores
from zoo_server.jobs.models import IdempotencyKey
from zoo_server.jobs.services.clock import in_seconds

pytestmark = pytest.mark.django_db


def test_a_key_is_forgotten_after_a_day(submit: Submit) -> None:
    first = submit(key="abc").json()["id"]
    IdempotencyKey.objects.update(created_at=in_seconds(-23 * 3600))
    chores.forget_idempotency_keys()
    assert submit(key="abc").json()["id"] == first
    IdempotencyKey.objects.update(created_at=in_seconds(-25 * 3600))
    chores.forget_idempotency_keys()
    assert submit(key="abc").json()["id"] != first
