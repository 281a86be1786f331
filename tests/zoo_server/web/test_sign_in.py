"""Signing in to the pages: for everybody who has an account, staff or not."""

import re
from typing import Any

import pytest
from django.test import Client

from tests.zoo_server.factories import make_user
from zoo_server.accounts.models import User

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


@pytest.fixture
def reader() -> User:
    """Somebody who is no staff."""
    return make_user("rita", password=PASSWORD)


@pytest.fixture
def browser() -> Client:
    """As a browser: forms need their token."""
    return Client(enforce_csrf_checks=True)


def sign_in(browser: Client, name: str, password: str, following: str = "/sign-in") -> Any:
    page = browser.get(following).content.decode()
    fields = {
        "csrfmiddlewaretoken": re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[-1],
        "next": re.findall(r'name="next" value="([^"]*)"', page)[0],
    }
    return browser.post("/sign-in", fields | {"username": name, "password": password})


def test_somebody_who_is_no_staff_signs_in_and_comes_back_to_the_page(browser: Client, reader: User) -> None:
    asked = browser.get("/pipelines")
    assert (asked.status_code, asked.headers["Location"]) == (302, "/sign-in?next=/pipelines")
    answer = sign_in(browser, "rita", PASSWORD, asked.headers["Location"])
    assert (answer.status_code, answer.headers["Location"]) == (302, "/pipelines")
    page = browser.get("/pipelines")
    assert page.status_code == 200
    assert "rita" in page.content.decode()
    assert browser.get("/admin/").status_code == 302, "the admin pages stay with staff"


def test_without_a_page_to_come_back_to_the_pipelines_are_shown(browser: Client, reader: User) -> None:
    assert sign_in(browser, "rita", PASSWORD).headers["Location"] == "/pipelines"


@pytest.mark.parametrize(
    ("name", "password"),
    [("rita", "guess-7"), ("nobody", PASSWORD), ("rita\x00", PASSWORD), ("", ""), ("x" * 9999, "x")],
)
def test_wrong_credentials_are_refused_in_words_that_tell_no_secret(
    browser: Client, reader: User, name: str, password: str
) -> None:
    answer = sign_in(browser, name, password)
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "The name or the password is wrong" in page
    assert not password or password == "x" or password not in page
    assert browser.get("/pipelines").status_code == 302


def test_closed_accounts_and_machines_do_not_get_in(browser: Client) -> None:
    closed = make_user("former", password=PASSWORD)
    User.objects.filter(pk=closed.pk).update(is_active=False)
    make_user("robot", is_service=True)
    for name in ("former", "robot"):
        assert sign_in(browser, name, PASSWORD).status_code == 200
        assert browser.get("/pipelines").status_code == 302


@pytest.mark.parametrize("target", ["https://elsewhere.example/", "//elsewhere.example/", "javascript:alert(1)"])
def test_nobody_is_led_to_another_site(browser: Client, reader: User, target: str) -> None:
    answer = sign_in(browser, "rita", PASSWORD, f"/sign-in?next={target}")
    assert answer.headers["Location"] == "/pipelines"


def test_what_is_typed_comes_back_as_text(browser: Client) -> None:
    page = sign_in(browser, '"><script>alert(1)</script>', "x").content.decode()
    assert "<script>alert" not in page


def test_signing_out_ends_the_session_and_needs_the_button(browser: Client, reader: User) -> None:
    sign_in(browser, "rita", PASSWORD)
    assert browser.get("/sign-out").status_code == 405
    assert browser.post("/sign-out").status_code == 403
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.get("/pipelines").content.decode())[0]
    assert browser.post("/sign-out", {"csrfmiddlewaretoken": token}).headers["Location"] == "/"
    assert browser.get("/pipelines").status_code == 302


def test_a_form_without_its_token_is_refused(browser: Client, reader: User) -> None:
    answer = browser.post("/sign-in", {"username": "rita", "password": PASSWORD})
    assert answer.status_code == 403
