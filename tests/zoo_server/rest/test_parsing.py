"""JSON bodies that are too large or too deep are refused with a problem document."""

import pytest


@pytest.mark.django_db
def test_a_json_bomb_of_brackets_is_refused(superuser_api):
    body = "[" * 200_000 + "]" * 200_000
    answer = superuser_api.post("/api/v1/teams", body, content_type="application/json")
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert "nested too deeply" in answer.json()["detail"]


@pytest.mark.django_db
def test_a_json_body_above_the_limit_is_refused_as_a_problem(superuser_api, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    answer = superuser_api.post("/api/v1/teams", '{"name": "' + "x" * 2000 + '"}', content_type="application/json")
    assert answer.status_code == 413
    assert answer["Content-Type"] == "application/problem+json"
    assert "limit of 1000 bytes" in answer.json()["detail"]
