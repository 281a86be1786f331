"""Health, readiness and the API's root."""

import pytest
from django.test import Client

from zoo_server.config import views

pytestmark = pytest.mark.django_db


def test_the_health_route_answers_without_credentials(client: Client):
    assert client.get("/healthz").json() == {"status": "alive"}


def test_the_readiness_route_names_the_part_that_is_away(client: Client):
    answer = client.get("/readyz")  # the tests' broker address leads nowhere
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["facts"] == {"parts": ["broker"]}


def test_the_readiness_route_answers_when_all_parts_do(client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(views.PROBES, "broker", lambda: None)
    assert client.get("/readyz").json()["status"] == "ready"


def test_the_root_of_the_api_says_what_this_is(client: Client):
    assert client.get("/api/v1/").json() == {"name": "zoo", "version": "0.1.0", "api": 1, "mlflow_url": None}


def test_an_unknown_route_of_the_api_is_a_problem_document(client: Client):
    answer = client.get("/api/v1/nowhere")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not-found"


def test_the_documentation_is_served(client: Client):
    assert client.get("/api/docs").status_code == 200
    assert client.get("/api/schema").status_code == 200
