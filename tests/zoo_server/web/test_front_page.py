"""The front page says what this is and links to the places."""

from django.test import Client


def test_the_front_page_links_to_models_documentation_and_administration(client: Client):
    answer = client.get("/")
    page = answer.content.decode()
    assert answer.status_code == 200
    for target in ("/api/v1/models", "/api/docs", "/admin/"):
        assert f'href="{target}"' in page
    assert "zoo login http://testserver" in page


def test_the_front_page_only_answers_reading(client: Client):
    assert client.head("/").status_code == 200
    assert client.post("/").status_code == 405


def test_the_front_page_is_protected_by_headers(client: Client):
    answer = client.get("/")
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_an_unknown_page_is_no_problem_document(client: Client):
    answer = client.get("/nowhere")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")
