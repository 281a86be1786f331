"""The admin pages of jobs: every table opens, and state changes go through the services."""

import pytest
from django.contrib import admin
from django.test import Client

from tests.zoo_server.jobs.conftest import Submit
from tests.zoo_server.jobs.scenes import Hands, failure, job_now
from zoo_server.accounts.models import User
from zoo_server.audit.models import AuditEvent
from zoo_server.jobs import models

pytestmark = pytest.mark.django_db
TABLES = [
    models.Operation,
    models.Worker,
    models.Job,
    models.JobInput,
    models.JobAttempt,
    models.JobEvent,
    models.JobDispatch,
    models.IdempotencyKey,
]


@pytest.fixture
def pages(superuser: User) -> Client:
    client = Client()
    client.force_login(superuser, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.mark.parametrize("model", TABLES, ids=lambda model: model.__name__)
def test_every_table_is_listed(pages: Client, submit: Submit, hands: Hands, model: type) -> None:
    job = submit(key="abc").json()["id"]
    submit(seed=2)
    hands.claim(job)
    assert admin.site.is_registered(model)
    assert pages.get(f"/admin/jobs/{model.__name__.lower()}/").status_code == 200


def test_a_job_is_cancelled_and_tried_again_by_actions(
    pages: Client, running: str, hands: Hands, superuser: User
) -> None:
    def act(action: str) -> None:
        answer = pages.post("/admin/jobs/job/", {"action": action, "_selected_action": [running]}, follow=True)
        assert answer.status_code == 200

    act("cancel")
    assert job_now(running).cancel_requested_at is not None
    assert AuditEvent.objects.get(action="job.cancel_requested").actor == superuser.username
    hands.post(running, 1, "fail", failure("cancelled"))
    act("retry")
    assert job_now(running).state == "queued"
    act("retry")
    assert job_now(running).state == "queued", "a refused action says so and changes nothing"


def test_a_job_cannot_be_edited(pages: Client, running: str) -> None:
    route = f"/admin/jobs/job/{running}/change/"
    assert pages.get(route).status_code == 200
    assert pages.post(route, {"state": "succeeded"}).status_code == 403
    assert job_now(running).state == "running"
